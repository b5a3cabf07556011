"""From a RunConfig to its Pipeline: the sources, stages and sinks of a run, on the command line and in Python alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from edgeseg import weights
from edgeseg.run_config import RunConfig
from edgeseg.segmenter import Segmenter
from edgeseg.settings import SettingError
from edgeseg.video.faults import Tell, log_fault
from edgeseg.video.pipeline import Pipeline, Watch
from edgeseg.video.sinks.base import NullSink, Sink, shows_overlay
from edgeseg.video.sinks.outputs import files_of
from edgeseg.video.sinks.per_stream import Streams
from edgeseg.video.sinks.registry import open_outputs, try_outputs
from edgeseg.video.sources.base import Source, StreamInfo
from edgeseg.video.sources.chosen import Given, chosen_sources, open_given
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.stage import Overlay, Score, Segment, Stage, smoother_for

Note = Callable[[str], None]
"""Told in a line what people should know: what was chosen, where the page is."""

log_note: Note = logging.getLogger("edgeseg").info
"""For those who did not say whom to tell."""


@dataclass
class OpenRun:
    """A run whose parts are open.

    Attributes:
        config: what it is.
        segmenter: the model, of whoever opened it.
        sources: by the names of their streams.
        sinks: where results go.
        truth: the label files of ``config.labels``.
        is_reported: whether somebody reads the report, which is what scores go into.
        reads: files that are read beside the sources.
        note: told what people should know.
        has_pipeline: whether there is one, which closes sources and sinks.
    """

    config: RunConfig
    segmenter: Segmenter
    sources: dict[str, Source]
    sinks: list[Sink]
    truth: LabelFolder | None
    is_reported: bool
    reads: Sequence[Path]
    note: Note
    has_pipeline: bool = field(default=False, init=False)

    @property
    def infos(self) -> list[StreamInfo]:
        """What is known of the streams."""
        return [source.info for source in self.sources.values()]

    def stages(self) -> list[Stage]:
        """What is done to each frame, in order."""
        return [stage for make in STAGES if (stage := make(self)) is not None]

    def pipeline(self, *, watch: Watch | None = None, tell: Tell = log_fault) -> Pipeline:
        """What runs it, and closes sources and sinks then; to be asked for once.

        Args:
            watch, tell: see :class:`edgeseg.video.pipeline.Pipeline`.

        Raises:
            SinkError: an output that is an input, or another output.
            ModelError: the model cannot do what the configuration asks for.
        """
        pipeline = Pipeline(
            list(self.sources.values()),
            self.stages(),
            self.sinks,
            names=list(self.sources) if len(self.sources) > 1 else None,
            max_frames=self.config.max_frames,
            drop_policy=self.config.drop_policy,
            max_latency_ms=self.config.max_latency_ms,
            watch=watch,
            tell=tell,
            inputs=self.reads,
        )
        self.has_pipeline = True
        return pipeline


def _segment(run: OpenRun) -> Stage:
    spec = run.segmenter.spec
    return Segment(run.segmenter, smoother_for(run.config.temporal, run.infos, spec))


def _overlay(run: OpenRun) -> Stage | None:
    """Where somebody looks at it; the web page paints its own."""
    wanted = any(map(shows_overlay, run.sinks))
    return Overlay(run.config.opacity, run.config.threads) if wanted else None


def _score(run: OpenRun) -> Stage | None:
    """Where there is ground truth: the user's, or what a source brings of the model's classes."""
    spec = run.segmenter.spec
    if not run.is_reported:
        return None
    if run.truth is not None:
        return Score(spec.num_classes)
    brought = [info for info in run.infos if info.label_names is not None]
    for info in brought:
        if info.label_names != spec.class_names:
            run.note(f"no mIoU: the labels of {info.uri} are of other classes than the model's")
    wanted = any(info.label_names == spec.class_names for info in brought)
    return Score(spec.num_classes) if wanted else None


STAGES: tuple[Callable[[OpenRun], Stage | None], ...] = (_segment, _overlay, _score)
"""What makes each stage of a run, in order; None where the run does without it."""


class Assembly:
    """A run that is looked at, and not opened yet.

    What can be wrong is told here, before a model is loaded: which sources there are, whether outputs can be written,
    and that none is what the run reads.

    Args:
        config: the run.
        note: told what people should know; goes to the log ``edgeseg`` if left out.
        reads: files that are read besides, such as the one that the configuration was read from.

    Attributes:
        config: as given, with the token that its file holds.
        given: the sources by the names of their streams.

    Raises:
        InputError: settings that do not go together, or files of them that cannot be used.
        SinkError: an output that cannot be, or that is an input or another output.
        ModelError: no such model.
    """

    def __init__(self, config: RunConfig, *, note: Note = log_note, reads: Sequence[Path] = ()) -> None:
        self.config = config
        self.given = chosen_sources(config, note)
        if config.labels is not None and len(self.given) > 1:
            raise SettingError("{labels} belong to one source", "Run each source with its own")
        self._note = note
        self._reads = [*_read_besides(config), *reads]
        if config.web is not None and config.web_token_file is not None:
            from edgeseg.video.web.address import read_token

            # Once: a pipe gives it a single time.
            config = self.config = replace(config, web_token=read_token(config.web_token_file), web_token_file=None)
        files = (file for given in self.given.values() for file in _files_of(given))
        try_outputs(config, Streams(dict.fromkeys(self.given), note), chain(self._reads, files))

    @contextmanager
    def open(self, segmenter: Segmenter, loop: Sink | None = None) -> Iterator[OpenRun]:
        """Open sources and outputs; what no pipeline closes is closed at the end of the block.

        Args:
            segmenter: the model; it stays open.
            loop: where results go as well, of which no report is wanted then.

        Raises:
            SourceError: a source that cannot be opened.
            SinkError: an output that cannot.
            DatasetError: labels that do not fit the frames or the model.
        """
        config = self.config
        with ExitStack() as opened:
            truth = None if config.labels is None else LabelFolder.for_model(config.labels, segmenter.spec)
            sources: dict[str, Source] = {}
            for name, given in self.given.items():
                sources[name] = open_given(given, config, truth)
                opened.callback(sources[name].close)
            sinks = open_outputs(config, Streams({name: one.info for name, one in sources.items()}, self._note))
            sinks = sinks if loop is None else [loop, *sinks]
            run = OpenRun(
                config, segmenter, sources, sinks or [NullSink()], truth, loop is None, self._reads, self._note
            )
            try:
                yield run
            finally:
                for sink in () if run.has_pipeline else sinks:
                    opened.callback(sink.close)


def _read_besides(config: RunConfig) -> Iterator[Path]:
    """The files that a run reads beside its sources; a model's name stands for the file that ships."""
    yield from (shipped.path for shipped in weights.shipped())
    if config.model is not None:
        path = weights.find(config.model)
        yield from (path, path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.data"))
    if config.labels is not None:
        yield config.labels
        described = (folder / "dataset.yaml" for folder in config.labels.absolute().parents)
        yield from (path for path in described if path.is_file())
    if isinstance(config.sources, Path):
        yield config.sources
    if config.web_token_file is not None:
        yield config.web_token_file


def _files_of(given: Given) -> list[Path]:
    return given if isinstance(given, list) else files_of(given)
