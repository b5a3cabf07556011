"""What is kept of a dense CRF that is trained with the network before it (CRF-RNN, Zheng 2015).

The CRF is no part of the network: its parameters become those in the ModelSpec, where ``refine crf`` finds them on
every road that edgeseg has for it, and the network is quantized and exported as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim.swa_utils import AveragedModel

from edgeseg.models.mean_field import MeanField
from edgeseg.spec.crf_params import CrfParams
from edgeseg.train.ema import warm_ema

REFINED_MIOU = "val_miou_crf"
"""The figure in such a checkpoint's spec: as ``val_miou``, of the labels that its CRF has refined."""

_RATE = 10.0
"""The learning rate of the CRF's weights, which are about ten where those of a network are a tenth, as a factor."""


class LearnedCrf:
    """A mean-field layer that learns, and the exponential moving average of its weights.

    Args:
        layer: on its device.
        decay: of the average, per step.
    """

    def __init__(self, layer: MeanField, decay: float) -> None:
        self.layer = layer
        self._average = AveragedModel(layer, multi_avg_fn=warm_ema(decay))

    @property
    def averaged(self) -> MeanField:
        """The layer with the moving average of the weights."""
        layer = self._average.module
        assert isinstance(layer, MeanField)
        return layer

    def start(self, params: CrfParams) -> None:
        """Begin from these.

        Raises:
            InputError: they are for other classes, or have further terms.
        """
        for layer in (self.layer, self.averaged):
            layer.start(params)

    def update(self) -> None:
        """Take the weights after a step into the average."""
        self._average.update_parameters(self.layer)

    def parameter_group(self) -> dict[str, object]:
        """For an optimizer: its costs are no weights that should decay to nothing."""
        return {"params": [*self.layer.parameters()], "weight_decay": 0.0, "rate": _RATE}

    def state(self) -> dict[str, Any]:
        """What steps change, and what they began from."""
        params = self.layer.params.to_dict()
        return {"params": params, "layer": self.layer.state_dict(), "average": self._average.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.start(CrfParams.from_dict(state["params"]))
        self.layer.load_state_dict(state["layer"])
        self._average.load_state_dict(state["average"])
