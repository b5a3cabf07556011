"""The street scene: a drive without end down a street made of numbers, with labels that are exact."""

from __future__ import annotations

import math

import numpy as np

from edgeseg.errors import InputError
from edgeseg.synthetic import classes
from edgeseg.synthetic.camera import STREET_M, CenterLine, View
from edgeseg.synthetic.canvas import Canvas, Shot
from edgeseg.synthetic.ground import Ground, GroundPlan
from edgeseg.synthetic.layout import Layout, Traffic
from edgeseg.synthetic.lens import Lens
from edgeseg.synthetic.light import Light, mix
from edgeseg.synthetic.sky import panorama
from edgeseg.types import ImageU8, LabelsU8

SUPERSAMPLE = 2
"""Canvas pixels per picture pixel in each direction; the picture is their mean, the label is one of theirs."""

MIN_SIZE, MAX_SIZE = 32, 4096


class StreetScene:
    """A driver's view of a street, rendered with its labels.

    Every seed is another street: its course, houses, colours, light, weather, traffic and camera. The scene is a pure
    function of seed, size and time: nothing is remembered between calls, and any time can be asked for directly.

    Args:
        height, width: of the picture in pixels, MIN_SIZE..MAX_SIZE.
        seed: which street; a whole number, 0 or more.

    Raises:
        InputError: an argument of the wrong kind or out of range.
    """

    def __init__(self, height: int = 360, width: int = 480, seed: int = 0) -> None:
        for name, value, low, high in (
            ("height", height, MIN_SIZE, MAX_SIZE), ("width", width, MIN_SIZE, MAX_SIZE), ("seed", seed, 0, 2**63 - 1)
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                raise InputError(f"the street scene's {name} is {value!r}", f"Use a whole number {low}..{high}")
        self.height, self.width, self.seed = int(height), int(width), int(seed)
        rng = np.random.default_rng([self.seed, 0])
        self._light = Light.draw(rng)
        self._plan = GroundPlan.draw(rng)
        self._traffic = Traffic.draw(rng, self._plan)
        bend = float(rng.choice([0.0, 1.0, 1.0])) * rng.uniform(0.05, 0.3)
        self._line = CenterLine(
            bend * rng.dirichlet([1, 1, 1]), np.array([1.0, 2.0, 4.0]), rng.uniform(0, 2 * np.pi, 3)
        )
        # The width decides the lens, but a tall picture must not make it a telephoto.
        self._focal_px = SUPERSAMPLE * min(width, height * 16 / 9) * float(rng.uniform(0.85, 1.2))
        self._horizon = float(rng.uniform(0.42, 0.53))
        self._camera_height_m = float(rng.uniform(1.25, 1.8))
        self._yaw_rad, self._sway_phase = float(rng.normal(0, 0.05)), float(rng.uniform(0, 2 * np.pi))
        self._start_m = float(rng.uniform(0, STREET_M))
        self._bonnet = bool(rng.random() < 0.2)
        self._layout = Layout(np.random.default_rng([self.seed, 1]), self._plan, self._traffic, self._light)
        self._ground = Ground(np.random.default_rng([self.seed, 2]), self._plan, self._light)
        self._sky = panorama(
            np.random.default_rng([self.seed, 3]), self._light,
            int(SUPERSAMPLE * self.height * (self._horizon + 0.03)), SUPERSAMPLE * self.width * 3, self._focal_px,
        )  # fmt: skip
        self._lens = Lens(np.random.default_rng([self.seed, 4]), self.height, self.width, self._light.mood == "dusk")

    def render(self, time_s: float) -> tuple[ImageU8, LabelsU8]:
        """The picture (H, W, 3) uint8 RGB and its labels (H, W) uint8 at a time in seconds.

        Labels are the indices of CAMVID_NAMES; 255 only where the camera's own bonnet is in the picture.

        Raises:
            InputError: time_s is not a finite number.
        """
        if isinstance(time_s, bool) or not isinstance(time_s, int | float | np.number) or not math.isfinite(time_s):
            raise InputError(f"the street scene's time is {time_s!r}", "Pass a finite number of seconds")
        time_s = float(time_s)
        view = self._view(time_s)
        canvas = Canvas(SUPERSAMPLE * self.height, SUPERSAMPLE * self.width, self._light.haze)
        self._draw_sky(canvas, view)
        self._ground.draw(canvas, view, self._light)
        self._layout.draw(Shot(canvas, view, self._light), time_s)
        if self._bonnet:
            self._draw_bonnet(canvas)
        labels = np.ascontiguousarray(canvas.rgbl[::SUPERSAMPLE, ::SUPERSAMPLE, 3])
        return self._lens.expose(canvas.rgbl, time_s, self.seed), labels

    def _view(self, time_s: float) -> View:
        sway = self._sway_phase
        bounce = 0.002 * math.sin(5.1 * time_s + sway) + 0.004 * math.sin(0.9 * time_s)
        return View(
            self._line,
            s_m=math.fmod(self._start_m + self._traffic.camera_mps * time_s, STREET_M),
            d_m=self._traffic.lane_left_m + 0.2 * math.sin(0.37 * time_s + sway),
            height_m=self._camera_height_m,
            yaw_rad=self._yaw_rad * math.cos(0.21 * time_s) + 0.02 * math.sin(0.43 * time_s + sway),
            focal_px=self._focal_px,
            center_px=SUPERSAMPLE * self.width / 2,
            horizon_px=round(SUPERSAMPLE * self.height * (self._horizon + bounce)),
        )

    def _draw_sky(self, canvas: Canvas, view: View) -> None:
        rows = min(int(view.horizon_px), self._sky.shape[0])
        period = self._sky.shape[1]
        first = round(view.heading_rad * view.focal_px) % period
        source = self._sky[self._sky.shape[0] - rows :]
        head = min(canvas.width, period - first)
        canvas.rgbl[:rows, :head] = source[:, first : first + head]
        canvas.rgbl[:rows, head:] = source[:, : canvas.width - head]

    def _draw_bonnet(self, canvas: Canvas) -> None:
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        ellipse = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        w, h = canvas.width, canvas.height
        paint = mix((10, 11, 13), self._light.horizon, 0.05)
        for grow, shine in ((1.0, 0.0), (0.96, 0.08), (0.9, 0.04)):
            outline = ellipse * [w * 0.62 * grow, h * 0.16 * grow] + [w * 0.5, h * 1.1]
            canvas.polygon(outline, mix(paint, self._light.horizon, shine), classes.VOID)
