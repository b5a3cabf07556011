"""Walkers and cyclists: limbs as tapered capsules in three dimensions, so that they are right from every side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeseg.synthetic import classes
from edgeseg.synthetic.camera import NEAR_M, Floats, Pose
from edgeseg.synthetic.canvas import Shot
from edgeseg.synthetic.facades import pick
from edgeseg.synthetic.light import Color, Light, lit, mix

SKIN: tuple[Color, ...] = ((196, 150, 124), (176, 128, 102), (120, 82, 62), (206, 164, 140))
HAIR: tuple[Color, ...] = ((44, 34, 28), (26, 22, 20), (104, 80, 54), (120, 116, 112))
COATS: tuple[Color, ...] = (
    (30, 32, 38), (44, 46, 52), (28, 30, 34), (56, 50, 44), (36, 44, 70), (110, 28, 30), (90, 94, 98), (150, 146, 138)
)  # fmt: skip
TROUSERS: tuple[Color, ...] = ((32, 34, 42), (44, 52, 72), (26, 26, 28), (70, 64, 56))
VESTS: tuple[Color, ...] = ((180, 188, 54), (30, 32, 36), (40, 42, 48), (130, 34, 34), (50, 74, 110), (60, 62, 66))

Joint = tuple[float, float, float]
Limb = tuple[Joint, Joint, float, float, Color]
"""From, to (right, up, forward in metres), radii at both, colour."""


class Person:
    """What does not change as they move: height, clothes."""

    def __init__(self, rng: np.random.Generator, light: Light) -> None:
        self.scale = float(rng.normal(1.0, 0.06))
        # A body is round: between the light on its sides and from above.
        brightness = 0.5 * (light.ambient + light.on((0.0, 0.5, -0.87))) * 0.75
        self.skin = lit(pick(rng, SKIN, 8), brightness)
        self.hair = lit(pick(rng, HAIR, 6), brightness)
        self.coat = lit(pick(rng, COATS, 8), brightness)
        self.trousers = lit(pick(rng, TROUSERS, 6), brightness)
        self.vest = lit(pick(rng, VESTS, 8), brightness)
        self.metal = lit(pick(rng, ((40, 40, 42), (90, 30, 30), (60, 66, 78), (150, 152, 154)), 8), brightness)
        self.long_coat = bool(rng.random() < 0.35)
        self.bag = float(rng.choice([-1.0, 0.0, 0.0, 1.0]))
        self.helmet = bool(rng.random() < 0.4)

    def draw_walking(self, shot: Shot, pose: Pose, phase: float) -> None:
        """Draw them walking.

        Args:
            shot: the frame.
            pose: where their feet are.
            phase: of the stride, in radians.
        """
        swing = 0.42 * np.sin(phase)
        dark = mix(self.trousers, (0, 0, 0), 0.35)
        limbs: list[Limb] = []
        for side in (-1.0, 1.0):
            a = float(swing * side)
            bend = 0.25 + 0.45 * max(0.0, float(np.cos(phase)) * side)
            hip = (0.09 * side, 0.9, 0.0)
            knee = (0.09 * side, 0.9 - 0.44 * np.cos(a), 0.44 * np.sin(a))
            ankle = (0.09 * side, knee[1] - 0.42 * np.cos(a - bend), knee[2] + 0.42 * np.sin(a - bend))
            lift = min(ankle[1] - 0.05, 0.0)
            knee, ankle = (knee[0], knee[1] - lift, knee[2]), (ankle[0], ankle[1] - lift, ankle[2])
            limbs += [
                (hip, knee, 0.1, 0.068, self.trousers),
                (knee, ankle, 0.068, 0.048, mix(self.trousers, (0, 0, 0), 0.15)),
                (ankle, (ankle[0], ankle[1] - 0.01, ankle[2] + 0.17), 0.05, 0.038, dark),
                ((0.08 * side, 0.93, 0.0), (0.11 * side, 1.38, 0.0), 0.115, 0.1, self.coat),
            ]
            elbow = (0.26 * side, 1.13, -0.22 * a)
            hand = (0.25 * side, 0.9, -0.22 * a * 2 + 0.08)
            sleeve = mix(self.coat, (0, 0, 0), 0.12)
            limbs += [
                ((0.2 * side, 1.39, 0.0), elbow, 0.062, 0.05, sleeve),
                (elbow, hand, 0.05, 0.038, sleeve),
                (hand, (hand[0], hand[1] - 0.06, hand[2]), 0.036, 0.03, self.skin),
            ]
            if self.long_coat:
                limbs.append(((0.06 * side, 0.95, 0.0), (0.09 * side, 0.62, 0.25 * a), 0.13, 0.13, self.coat))
        if self.bag:
            limbs.append(((0.3 * self.bag, 0.95, -0.05), (0.3 * self.bag, 0.7, -0.05), 0.06, 0.12, dark))
        limbs += self._head(1.4, 0.0, self.hair)
        self._draw(shot, limbs, pose, classes.PEDESTRIAN)

    def draw_cycling(self, shot: Shot, pose: Pose, phase: float) -> None:
        """Draw them on a bicycle; arguments as for walking, the phase is of the pedals."""
        limbs: list[Limb] = []
        m = self.metal
        hub_back, hub_front, crank = (0.0, 0.34, -0.52), (0.0, 0.34, 0.52), (0.0, 0.3, -0.05)
        seat, head = (0.0, 0.92, -0.22), (0.0, 0.88, 0.36)
        for p, q in (
            (hub_back, crank),
            (crank, seat),
            (crank, head),
            (seat, head),
            (hub_back, seat),
            (hub_front, head),
        ):
            limbs.append((p, q, 0.022, 0.022, m))
        limbs.append(((-0.27, 1.0, 0.38), (0.27, 1.0, 0.38), 0.02, 0.02, m))
        limbs.append(((0.0, 0.96, -0.32), (0.0, 0.97, -0.12), 0.07, 0.03, (18.0, 18.0, 18.0)))
        for side in (-1.0, 1.0):
            pedal = phase + (math.pi if side > 0 else 0.0)
            foot = (0.11 * side, 0.3 + 0.17 * math.sin(pedal), -0.02 + 0.17 * math.cos(pedal))
            knee = (0.12 * side, (0.98 + foot[1]) / 2 + 0.12, 0.22 + 0.3 * foot[2])
            limbs += [
                ((0.1 * side, 0.98, -0.2), knee, 0.1, 0.07, self.trousers),
                (knee, foot, 0.068, 0.048, mix(self.trousers, (0, 0, 0), 0.15)),
                (foot, (foot[0], foot[1] - 0.03, foot[2] + 0.16), 0.048, 0.036, (24.0, 22.0, 22.0)),
                ((0.08 * side, 1.02, -0.2), (0.12 * side, 1.43, 0.08), 0.12, 0.105, self.vest),
                ((0.2 * side, 1.42, 0.1), (0.27 * side, 1.2, 0.22), 0.058, 0.046, mix(self.vest, (0, 0, 0), 0.12)),
                ((0.27 * side, 1.2, 0.22), (0.25 * side, 1.03, 0.38), 0.046, 0.036, mix(self.vest, (0, 0, 0), 0.12)),
            ]
        limbs += self._head(1.45, 0.14, self.vest if self.helmet else self.hair)
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        x, z = pose.x_m, pose.z_m
        cos, sin = math.cos(pose.heading_rad), math.sin(pose.heading_rad)
        haze = shot.light.haze_at(z)
        for hub in (hub_back, hub_front):
            rim = np.stack([0.0 * angle, hub[1] + 0.32 * np.sin(angle), hub[2] + 0.32 * np.cos(angle)], axis=1)
            px, py, pz = rim.T
            points = shot.view.project(x + px * cos + pz * sin, py, z - px * sin + pz * cos)
            shot.canvas.polyline(
                points, mix((20, 20, 21), shot.light.haze, haze), classes.BICYCLIST, 0.06 * shot.view.scale(z), True
            )
        self._draw(shot, limbs, pose, classes.BICYCLIST)

    def _head(self, neck_y: float, neck_z: float, cap: Color) -> list[Limb]:
        y, z = neck_y, neck_z
        return [
            ((0, y, z), (0, y + 0.14, z + 0.02), 0.055, 0.05, self.skin),
            ((0, y + 0.2, z + 0.05), (0, y + 0.27, z + 0.04), 0.085, 0.09, self.skin),
            ((0, y + 0.23, z - 0.03), (0, y + 0.3, z + 0.01), 0.09, 0.095, cap),
        ]

    def _draw(self, shot: Shot, limbs: Sequence[Limb], pose: Pose, label: int) -> None:
        x, z, heading = pose.x_m, pose.z_m, pose.heading_rad
        if z < NEAR_M + 0.8:
            return
        width = 0.3 * shot.view.scale(z)
        if width < 6:  # so far away, arms and feet are less than a pixel
            limbs = [limb for limb in limbs if max(limb[2], limb[3]) > 0.065]
        joints = np.array([[p, q] for p, q, *_ in limbs]) * self.scale
        radii = np.array([[r0, r1] for _, _, r0, r1, _ in limbs]) * self.scale
        cos, sin = np.cos(heading), np.sin(heading)
        px = x + joints[..., 0] * cos + joints[..., 2] * sin
        pz = z - joints[..., 0] * sin + joints[..., 2] * cos
        middle = shot.view.project(px, joints[..., 1], pz)
        size = radii * shot.view.focal_px / np.maximum(pz, NEAR_M)
        haze = shot.light.haze_at(z)
        feet = shot.view.project(np.array([x]), 0.0, np.array([z]))[0]
        if width > 3:
            shot.canvas.darken(
                feet + np.array([[-1, -0.2], [0, -0.35], [1, -0.2], [1, 0.1], [0, 0.3], [-1, 0.1]]) * width, 0.35
            )
        order = np.argsort(-pz.mean(axis=1), kind="stable")
        colors = [limbs[i][4] for i in order]
        outlines = _capsules(middle[order], size[order])
        if width > 10:
            toward = np.array([0.3 * math.copysign(1.0, shot.light.sun[0]), -0.18])
            shine = _capsules(middle[order] + size[order][..., None] * toward, size[order] * 0.5)
            outlines = np.stack([outlines, shine], axis=1)
            colors = [c for color in colors for c in (color, mix(color, (255, 255, 255), 0.09))]
        corners = outlines.shape[-2]
        spans = [(i * corners, (i + 1) * corners) for i in range(len(colors))]
        shot.canvas.polygons(outlines.reshape(-1, 2), spans, colors, label, haze)


def _capsules(ends: Floats, radii: Floats) -> Floats:
    """(n, 2, 2) pixel ends with (n, 2) radii to (n, 12, 2) outlines."""
    axis = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(axis[:, 1], axis[:, 0])[:, None]
    half = np.linspace(np.pi / 2, 3 * np.pi / 2, 6)[None, :]
    back = np.stack([np.cos(angle + half), np.sin(angle + half)], axis=-1)
    return np.concatenate(
        [ends[:, None, 0] + back * radii[:, None, 0:1], ends[:, None, 1] - back * radii[:, None, 1:2]], axis=1
    )
