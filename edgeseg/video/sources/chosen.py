"""The sources that a RunConfig names: by the names of their streams, and opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeseg.data.image_files import IMAGE_SUFFIXES, natural_order
from edgeseg.run_config import RunConfig
from edgeseg.video.sources.base import Source
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.sources.registry import open_source
from edgeseg.video.sources.sources_file import checked, named, read_sources

Given = str | list[Path]
"""A URI or path, or image files that are one stream."""


def chosen_sources(config: RunConfig, note: Callable[[str], None]) -> dict[str, Given]:
    """The sources of a run, by the names of their streams.

    Args:
        config: where it names none, the first camera is taken, or the synthetic street where there is no camera.
        note: told which was taken then.

    Raises:
        InputError: the file that lists them cannot be used, or names that are none.
    """
    if isinstance(config.sources, str | Path):
        return dict(read_sources(Path(config.sources)))
    if config.sources is not None:
        return dict(checked({name: str(uri) for name, uri in config.sources.items()}, "sources"))
    if config.camera is not None:
        return dict(named([f"camera:{config.camera}"]))
    source = config.source
    uris = [os.fspath(uri) for uri in ([source] if isinstance(source, str | Path) else source)]
    if len(uris) > 1 and all(map(_is_image, uris)):
        return {"images": _in_order(uris)}
    return dict(named(uris)) if uris else _default(note)


def open_given(given: Given, config: RunConfig, truth: LabelFolder | None) -> Source:
    """Open one of them; raises as :func:`edgeseg.video.sources.registry.open_source`."""
    if isinstance(given, list):
        from edgeseg.video.sources.image import ImageSource

        return ImageSource(given, truth, bit_depth=config.bit_depth)
    return open_source(given, labels=truth, on_lost=config.on_lost, allow_gst=config.gst, bit_depth=config.bit_depth)


def _default(note: Callable[[str], None]) -> dict[str, Given]:
    from edgeseg.video.sources.camera import camera_devices

    devices = camera_devices()
    uri = f"camera:{devices[0].removeprefix('/dev/video')}" if devices else "synthetic:"
    note(f"no source given: taking {devices[0] if devices else 'the synthetic street, as there is no camera'}")
    return {uri: uri}


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and os.path.isfile(name)


def _in_order(names: Sequence[str]) -> list[Path]:
    """As given; but where that is the shell's order, as of an unquoted pattern, ``frame_2`` before ``frame_10``."""
    paths = [Path(name) for name in names]
    is_sorted = list(names) in (sorted(names), sorted(names, key=str.casefold))
    return natural_order(paths) if is_sorted else paths
