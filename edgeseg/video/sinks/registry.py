"""Which outputs a run can have, and how each is made of its RunConfig. A sink is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from edgeseg.plugins import Plugins, load
from edgeseg.run_config import RunConfig
from edgeseg.settings import SettingError
from edgeseg.video.sinks.base import Sink
from edgeseg.video.sinks.outputs import keep_outputs_apart
from edgeseg.video.sinks.per_stream import Streams

Maker = Callable[[RunConfig, Streams], Sink | None]
"""Makes the output of a run whose setting is given; None for none after all.

It is called twice. First ``streams`` are not open yet, nor is a model loaded: it raises what can be raised by then, and
what it makes is closed again without a result. Then the sources are open, and the sink is used.
"""

OUTPUTS = {
    "show": "edgeseg.video.sinks.window:of_run",
    "save": "edgeseg.video.sinks.video_files:of_run",
    "save_masks": "edgeseg.video.sinks.mask:of_run",
    "jsonl": "edgeseg.video.sinks.jsonl:of_run",
    "web": "edgeseg.video.web.sink:of_run",
}
"""The :data:`Maker` of each, by the field of RunConfig that asks for it."""

SINKS: Plugins[Callable[[str], Sink]] = Plugins("edgeseg.sinks", {})
"""What makes a sink of other packages' of the WHAT in ``NAME:WHAT``, by name: a class that takes a text, for one."""


def try_outputs(config: RunConfig, streams: Streams, inputs: Iterable[str | Path]) -> None:
    """See whether all can be written, before anything is loaded, opened or written.

    Args:
        config: which outputs.
        streams: not open yet.
        inputs: all that the run reads.

    Raises:
        SinkError: an output that cannot be, or that is an input or another output.
        InputError: a page that everyone could see, or a sink that nobody brings.
        ModuleNotFoundError: a package is missing that an output needs.
    """
    for uri in config.sink:
        name, colon, _ = uri.partition(":")
        if not colon or name not in SINKS:
            known = f"one of {', '.join(SINKS)}" if len(SINKS) else "what an installed package brings; none brings any"
            raise SettingError(f"{{sink}} {name} is not known", f"Write NAME:WHAT, with {known}")
    with ExitStack() as opened:
        sinks: list[Sink] = []
        for sink in _made(config, streams):
            opened.callback(sink.close)
            sinks.append(sink)
        keep_outputs_apart(sinks, (), inputs)


def open_outputs(config: RunConfig, streams: Streams) -> list[Sink]:
    """The sinks of a run, which may be none; none is left open where one of them cannot be opened."""
    with ExitStack() as opened:
        sinks: list[Sink] = []
        for sink in chain(_made(config, streams), _brought(config)):
            opened.callback(sink.close)
            sinks.append(sink)
        opened.pop_all()
        return sinks


def _made(config: RunConfig, streams: Streams) -> Iterator[Sink]:
    given = [name for name in OUTPUTS if getattr(config, name) not in (None, False)]
    if config.show is None and not given and not config.sink:
        given = ["show"]  # somebody wants to see something
    for name in given:
        make: Maker = load(OUTPUTS[name])
        sink = make(config, streams)
        if sink is not None:
            yield sink


def _brought(config: RunConfig) -> Iterator[Sink]:
    for uri in config.sink:
        name, _, what = uri.partition(":")
        yield SINKS[name](what)
