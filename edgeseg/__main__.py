"""``python -m edgeseg``, and the ``edgeseg`` command."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from edgeseg.cli import main as run

    run()


def _interrupted(*_: object) -> None:
    """While modules are imported, which may swallow an exception, there is nothing to lose."""
    sys.stdout.flush()
    os.write(2, b"edgeseg: interrupted\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
