"""The values that travel: a Frame enters, a Result leaves."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.spec import ModelSpec
from edgeseg.spec.palette import colorize
from edgeseg.spec.placement import Placement

ImageU8 = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, C-contiguous, in host memory."""

LabelsU8 = NDArray[np.uint8]
"""(H, W) uint8 class indices; 255 is "no label"."""


_SQUARE = Fraction(1)

_counting = threading.Lock()
"""One for all: a frame's sinks ask at about the same time, each from a thread of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a source, and when it was taken.

    Attributes:
        rgb_u8: (H, W, 3) uint8 RGB.
        index: position in the source, counting every frame the source delivered, dropped ones included.
        captured_s: ``time.monotonic()`` when the frame reached us, in seconds; its age is measured from here.
        pts_s: presentation time from the container, in seconds; None where the source has none.
        name: file stem for sources that have files, else empty.
        labels_u8: (H, W) uint8 ground truth where the source knows it; 255 is "no label".
        pixel_aspect: how wide a pixel is shown for its height; other than 1 in anamorphic video.
    """

    rgb_u8: ImageU8
    index: int
    captured_s: float
    pts_s: float | None = None
    name: str = ""
    labels_u8: LabelsU8 | None = None
    pixel_aspect: Fraction = _SQUARE

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb_u8.shape[0], self.rgb_u8.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The labels of one image.

    Attributes:
        labels: (H, W) uint8 class indices at the size of the image that was given.
        spec: names and colours of the classes, and all else about the model.
        latency_ms: milliseconds spent in ``preprocess``, ``infer``, ``postprocess``, and ``refine`` when refined.
    """

    labels: LabelsU8
    spec: ModelSpec
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    _areas: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def class_areas(self) -> dict[str, float]:
        """The fraction of the image that each class covers, by class name, classes in order.

        The pixels are counted once, for whoever asks first.
        """
        with _counting:
            if not self._areas:
                counts = cv2.calcHist([self.labels], [0], None, [256], [0, 256]).ravel()  # thrice as fast as bincount
                names = enumerate(self.spec.class_names)
                self._areas.update((name, float(counts[i]) / self.labels.size) for i, name in names)
        return dict(self._areas)

    def colorize(self) -> ImageU8:
        """The labels as colours: (H, W, 3) uint8 RGB."""
        return colorize(self.labels, self.spec.colors)


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What the network says of an image, before it is made into labels.

    Attributes:
        input_u8: (H, W, 3) uint8 RGB as the network saw it: at the model's input size, or all its tiles in one.
        output: (1, C, h, w) float32 logits or (1, H, W) uint8 labels of that, as the model's spec says.
        placement: where in it the image itself lies.
        latency_ms: milliseconds spent in ``preprocess`` and ``infer``; of images that passed the network together,
            the time of all.
    """

    input_u8: ImageU8
    output: NDArray[np.float32] | NDArray[np.uint8]
    placement: Placement
    latency_ms: Mapping[str, float]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the image itself."""
        return self.placement.picture


@dataclass(slots=True, eq=False)
class Result:
    """What a frame has become on its way through the stages; each stage fills in its part.

    Attributes:
        frame: the frame as it was captured.
        inference: set by the Segment stage on the inference thread, and taken away when labels are made of it.
        segmentation: set by the Segment stage.
        overlay_rgb_u8: (H, W, 3) uint8 RGB picture for people, set by the Overlay stage.
        latency_ms: milliseconds by stage name, in the order the stages ran.
        stream: name of the stream it belongs to, where a run has several; else empty.
    """

    frame: Frame
    inference: Inference | None = None
    segmentation: Segmentation | None = None
    overlay_rgb_u8: ImageU8 | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    stream: str = ""


def check_image(image: ImageU8, what: str = "image") -> None:
    """Raise InputError unless ``image`` is (H, W, 3) uint8 with H, W >= 1."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"{what} is {type(image).__name__}", "Pass a NumPy array (H, W, 3) uint8 RGB")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"{what} has shape {image.shape} and dtype {image.dtype}", "Pass (H, W, 3) uint8 RGB")
