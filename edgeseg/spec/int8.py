"""How INT8 rounds for each target: its levels, its zero points, and the step between two levels.

Quantization after training, quantization-aware training and its export all go by these. Knows neither torch nor ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgeseg.spec.model_spec import Precision

Int8Target = Literal["cpu", "tensorrt"]
"""``cpu``: ONNX Runtime's CPU kernels, which want uint8 with an offset; ``tensorrt``: int8 around zero."""

INT8_TARGETS: tuple[Int8Target, ...] = get_args(Int8Target)


@dataclass(frozen=True)
class Int8Levels:
    """The whole numbers that stand for values.

    Attributes:
        lowest, highest: of what a layer reads and returns.
        largest_weight: of weights, which have a scale for each output channel, and 0 for zero.
        precision: what the spec of an artifact says.
    """

    lowest: int
    highest: int
    largest_weight: int
    precision: Precision

    @property
    def is_symmetric(self) -> bool:
        """Whether 0 always stands for zero."""
        return self.lowest == -self.highest

    def steps(self, low: float, high: float) -> tuple[float, int]:
        """The scale, which is the step between two levels, and the zero point for values from ``low`` to ``high``."""
        scale = (high - low) / (self.highest - self.lowest)
        return scale, self.lowest - round(low / scale)

    def grey(self, mean: float) -> int:
        """The level that is taken from each pixel before the first layer, given the mean colour in levels of 0..255.

        The grey nearest to it; where 0 stands for zero, 128, for a byte less 128 is what fits int8.
        """
        return 128 if self.is_symmetric else min(max(round(mean), 0), 255)


INT8_LEVELS: dict[Int8Target, Int8Levels] = {
    # Weights of 7 bits on the CPU: without VNNI, x86 adds two products of U8S8 in 16 bits, and saturates.
    "cpu": Int8Levels(0, 255, 64, "int8-cpu"),
    "tensorrt": Int8Levels(-127, 127, 127, "int8-tensorrt"),
}
