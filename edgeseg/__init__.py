"""edgeseg: real-time semantic segmentation for edge devices.

Examples:
    >>> import edgeseg
    >>> seg = edgeseg.Segmenter.open("street")
    >>> labels = seg(image).labels

    >>> for result in edgeseg.stream("street.mp4"):
    ...     print(result.segmentation.class_areas())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgeseg.plugins import modules_of

if TYPE_CHECKING:
    from edgeseg.errors import EdgesegError as EdgesegError
    from edgeseg.refine import crf as crf
    from edgeseg.run_config import RunConfig as RunConfig
    from edgeseg.segmenter import Segmenter as Segmenter
    from edgeseg.spec import ModelSpec as ModelSpec
    from edgeseg.spec.crf_params import CrfParams as CrfParams
    from edgeseg.types import Frame as Frame
    from edgeseg.types import Result as Result
    from edgeseg.types import Segmentation as Segmentation
    from edgeseg.video.pipeline import Pipeline as Pipeline
    from edgeseg.video.running import run as run
    from edgeseg.video.sources.registry import open_source as open_source
    from edgeseg.video.stage import Overlay as Overlay
    from edgeseg.video.stage import Segment as Segment
    from edgeseg.video.streaming import stream as stream
    from edgeseg.video.web.sink import WebSink as WebSink

__version__ = "0.1.0"

_HOME = {
    "CrfParams": "edgeseg.spec.crf_params",
    "EdgesegError": "edgeseg.errors",
    "Frame": "edgeseg.types",
    "ModelSpec": "edgeseg.spec",
    "Overlay": "edgeseg.video.stage",
    "Pipeline": "edgeseg.video.pipeline",
    "Result": "edgeseg.types",
    "RunConfig": "edgeseg.run_config",
    "Segment": "edgeseg.video.stage",
    "Segmentation": "edgeseg.types",
    "Segmenter": "edgeseg.segmenter",
    "WebSink": "edgeseg.video.web.sink",
    "open_source": "edgeseg.video.sources.registry",
    "run": "edgeseg.video.running",
    "stream": "edgeseg.video.streaming",
}
_MODULES = {"crf": "edgeseg.refine.crf"}
_load_module = modules_of(__name__)
__all__ = [
    "CrfParams",
    "EdgesegError",
    "Frame",
    "ModelSpec",
    "Overlay",
    "Pipeline",
    "Result",
    "RunConfig",
    "Segment",
    "Segmentation",
    "Segmenter",
    "WebSink",
    "open_source",
    "run",
    "stream",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a module such as ``edgeseg.crf``, when it is first used: ``import edgeseg`` is cheap."""
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(_MODULES[name])
    return _load_module(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
