"""Times as people write them: ``2h``, ``30m``, ``1h30m``."""

from __future__ import annotations

import re

from edgeseg.errors import InputError

_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS_S = (86400, 3600, 60, 1)
_LONGEST_S = 365 * 86400


def seconds_of(text: str) -> int:
    """Days, hours, minutes and seconds, any of them left out, in seconds.

    Raises:
        InputError: no such text, no time at all, or more than a year.
    """
    found = _FORM.fullmatch("".join(text.split()).lower())
    numbers = found.groups() if found and len(text) < 80 else ()
    seconds = sum(int(number or 0) * unit for number, unit in zip(numbers, _UNITS_S, strict=False))
    if not 0 < seconds <= _LONGEST_S:
        raise InputError(f"time_budget is {text!r:.80}", "Write it as 2h, 30m or 1h30m")
    return seconds
