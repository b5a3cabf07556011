"""One frame being drawn: what every drawing function needs."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.synthetic.camera import View
from edgeseg.synthetic.canvas import Canvas
from edgeseg.synthetic.light import Light


@dataclass(frozen=True)
class Shot:
    """The canvas, the camera's view of the street at this moment, and the light."""

    canvas: Canvas
    view: View
    light: Light
