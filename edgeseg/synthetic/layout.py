"""What stands and moves along one street, drawn once from the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgeseg.synthetic.buildings import Fence, House
from edgeseg.synthetic.camera import FAR_M, STREET_M, Floats
from edgeseg.synthetic.canvas import Shot
from edgeseg.synthetic.classes import TREE
from edgeseg.synthetic.facades import FENCE_M
from edgeseg.synthetic.furniture import Furniture
from edgeseg.synthetic.ground import GroundPlan
from edgeseg.synthetic.light import Light
from edgeseg.synthetic.people import Person
from edgeseg.synthetic.trees import draw_tree
from edgeseg.synthetic.vehicles import Vehicle, draw_kind

Draw = Callable[[Shot, float], None]
"""Draws an item; the last argument is how far ahead it is, in metres."""


@dataclass(frozen=True)
class Item:
    """Something that stands still.

    Attributes:
        s_m: where along the street.
        behind_m: what lies up to this much farther than it is drawn after it.
        draw: draws it.
    """

    s_m: float
    behind_m: float
    draw: Draw


@dataclass(frozen=True)
class Mover:
    """Something that moves along the street at constant speed, or keeps its distance before the camera.

    Attributes:
        start_m: distance ahead of the camera at time 0.
        speed_mps: against the street, forward positive.
        draw: draws it, given how far ahead it is and the time in seconds.
    """

    start_m: float
    speed_mps: float
    draw: Callable[[Shot, float, float], None]


@dataclass(frozen=True)
class Traffic:
    """The lanes, in metres from the centre line, and the camera's speed."""

    camera_mps: float
    lane_left_m: float
    lane_right_m: float
    parked: tuple[bool, bool]

    @classmethod
    def draw(cls, rng: np.random.Generator, plan: GroundPlan) -> Traffic:
        """Lanes on a road of that width; parked cars narrow them."""
        parked = tuple(bool(rng.random() < 0.5) and plan.road_m > 4.1 for _ in range(2))
        free = [plan.road_m - (1.95 if p else 0.1) for p in parked]
        return cls(float(rng.uniform(5, 10)), -max(free[0] / 2, 1.1), max(free[1] / 2, 1.1), (parked[0], parked[1]))


class Layout:
    """Everything that stands and moves."""

    def __init__(self, rng: np.random.Generator, plan: GroundPlan, traffic: Traffic, light: Light) -> None:
        self._rng, self._plan, self._traffic, self._light = rng, plan, traffic, light
        self.items: list[Item] = []
        self.movers: list[Mover] = []
        self._street_trees = [draw_tree(rng, str(rng.choice(["bare", "leafy"], p=[0.7, 0.3])), light) for _ in range(3)]
        self._trees = [*self._street_trees, *(draw_tree(rng, kind, light) for kind in ("bare", "evergreen"))]
        for side in (-1, 1):
            self._line_side(side)
        self._place_movers()

    def _line_side(self, side: int) -> None:
        rng, light = self._rng, self._light
        houses = {
            style: [House.make(rng, style, light, side) for _ in range(count)]
            for style, count in (("shop", 4), ("house", 4), ("office", 1))
        }
        fences = [Fence.make(rng, kind, light, side) for kind in ("railings", "boards", "mesh", "hedge", "wall")]
        edge = self._plan.pavement_m[0 if side < 0 else 1]
        green = self._plan.grass[0 if side < 0 else 1]
        weights = np.array([0.2, 0.5, 0.05, 0.25] if green else [0.45, 0.28, 0.12, 0.15])
        s = 0.0
        while s < STREET_M - 6:
            zone = str(rng.choice(["shop", "house", "office", "park"], p=weights))
            stop = min(s + rng.uniform(25, 80), STREET_M)
            fence = fences[int(rng.integers(len(fences)))]
            garden = 0.0 if zone in ("shop", "office") else float(rng.uniform(2.0, 5.0))
            if zone == "park":
                s = self._park(side, edge, fence, s, stop)
                continue
            while s < stop:
                house = houses[zone][int(rng.integers(len(houses[zone])))]
                if s + house.width_m > STREET_M:
                    s = STREET_M
                    break
                if self._plan.in_junction(side, s, house.width_m):
                    s += 2.0
                    continue
                self._add_house(house, side, s, edge + garden)
                if garden:
                    self._add_fence(fence, side, s, edge + 0.05, house.width_m)
                    if rng.random() < 0.35:
                        self._add_tree(side, s + rng.uniform(1, house.width_m), edge + garden * 0.55, rng.uniform(3, 6))
                s += house.width_m + (float(rng.uniform(1, 5)) if garden and rng.random() < 0.5 else 0.0)
        self._line_pavement(side, edge)

    def _park(self, side: int, edge: float, fence: Fence, start: float, stop: float) -> float:
        s = start
        while s < stop:
            length = min(FENCE_M, STREET_M - s)
            if not self._plan.in_junction(side, s, length):
                if self._rng.random() < 0.9:
                    self._add_fence(fence, side, s, edge + 0.05, length)
                for depth in (2.0, 4.5, 8.0):
                    if self._rng.random() < 0.75:
                        at = s + self._rng.uniform(0, length)
                        self._add_tree(side, at, edge + depth + self._rng.uniform(-0.5, 1.5), self._rng.uniform(5, 13))
            s += length
        return s

    def _line_pavement(self, side: int, edge: float) -> None:
        rng, road = self._rng, self._plan.road_m
        kinds = ["lamp", *rng.choice(["round_sign", "triangle_sign", "board", "traffic_light", "bollard"], 4)]
        pieces = [Furniture.make(rng, str(kind), self._light, side) for kind in kinds]
        avenue = rng.random() < 0.35
        for s in np.arange(rng.uniform(0, 14), STREET_M - 2, 7.0):
            at = float(s + rng.uniform(-2, 2)) % STREET_M
            if self._plan.in_junction(side, at, 0.5):
                continue
            roll = rng.random()
            if roll < 0.62:
                piece = pieces[0] if roll < 0.18 else pieces[int(rng.integers(1, len(pieces)))]
                run = 4 if piece.kind == "bollard" else 1
                for i in range(run):
                    self._add_furniture(piece, at + 1.6 * i, side * (road + 0.45))
            elif avenue and roll < 0.85:
                self._add_tree(side, at, road + 0.8, rng.uniform(5, 9))
            if roll > 0.85 and not self._traffic.parked[0 if side < 0 else 1] and rng.random() < 0.4:
                self._add_fence(Fence.make(rng, "railings", self._light, side), side, at, road + 0.25, FENCE_M)
        if self._traffic.parked[0 if side < 0 else 1]:
            cars = [Vehicle(rng, draw_kind(rng).replace("bus", "van"), self._light, turned=side > 0) for _ in range(6)]
            density = rng.uniform(0.35, 0.9)
            for s in np.arange(0, STREET_M - 6, 6.2):
                if rng.random() < density and not self._plan.in_junction(side, float(s) - 3, 6.0):
                    car = cars[int(rng.integers(len(cars)))]
                    self._add_parked(car, float(s), side * (road - 0.15 - car.shape.width / 2))

    def _add_house(self, house: House, side: int, s: float, d: float) -> None:
        def draw(shot: Shot, ahead: float) -> None:
            house.draw(shot, ahead, side * d)

        self.items.append(Item(s, house.width_m + 9.0, draw))

    def _add_fence(self, fence: Fence, side: int, s: float, d: float, length: float) -> None:
        done = 0.0
        while length - done > 0.5:
            part = min(FENCE_M, length - done)
            self._add_fence_part(fence, s + done, side * d, part)
            done += part

    def _add_fence_part(self, fence: Fence, s: float, d: float, length: float) -> None:
        def draw(shot: Shot, ahead: float) -> None:
            fence.draw(shot, ahead, d, length_m=length)

        self.items.append(Item(s, length, draw))

    def _add_tree(self, side: int, s: float, d: float, height: float) -> None:
        at_kerb = d < self._plan.pavement_m[0 if side < 0 else 1]
        trees = self._street_trees if at_kerb else self._trees
        tree = trees[int(self._rng.integers(len(trees)))]

        def draw(shot: Shot, ahead: float) -> None:
            pose = shot.view.pose(ahead, side * d)
            if pose.z_m < 2.5:
                return
            k = shot.view.scale(pose.z_m)
            foot = shot.view.project(np.array(pose.x_m), 0.0, np.array(pose.z_m))
            half = height * tree.aspect / 2 * k
            box = (float(foot[0] - half), float(foot[1] - height * k), float(foot[0] + half), float(foot[1]))
            shot.canvas.sprite(box, tree.texture, tree.area, TREE, shot.light.haze_at(pose.z_m))

        self.items.append(Item(s % STREET_M, 0.0 if at_kerb else FENCE_M, draw))

    def _add_furniture(self, piece: Furniture, s: float, d: float) -> None:
        def draw(shot: Shot, ahead: float) -> None:
            pose = shot.view.pose(ahead, d)
            if pose.z_m > 2.0:
                piece.draw(shot, pose)

        self.items.append(Item(s % STREET_M, 0.0, draw))

    def _add_parked(self, car: Vehicle, s: float, d: float) -> None:
        turn = np.pi if d > 0 else 0.0

        def draw(shot: Shot, ahead: float) -> None:
            pose = shot.view.pose(ahead, d, turn)
            car.draw(shot, pose)

        self.items.append(Item(s, 0.0, draw))

    def _place_movers(self) -> None:
        rng, traffic, light = self._rng, self._traffic, self._light
        s = float(rng.uniform(10, 60))
        spacing = rng.uniform(18, 90)
        while s < STREET_M - 8:
            self._add_car(s, -traffic.camera_mps * 0.9, traffic.lane_right_m, turned=True)
            s += float(rng.uniform(9, 2 * spacing))
        if rng.random() < 0.75:
            ahead = float(rng.uniform(9, 30))
            for _ in range(int(rng.integers(1, 4))):
                self._add_car(ahead, traffic.camera_mps, traffic.lane_left_m, turned=False)
                ahead += float(rng.uniform(9, 30))
        walkers = [Person(rng, light) for _ in range(12)]
        for side in (-1, 1):
            density = rng.uniform(10, 60)
            s = float(rng.uniform(0, density))
            while s < STREET_M:
                inner, outer = self._plan.road_m + 0.9, self._plan.pavement_m[0 if side < 0 else 1] - 0.3
                group = int(rng.choice([1, 1, 2, 3]))
                speed = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(1.1, 1.5)) * (rng.random() > 0.15)
                for i in range(group):
                    d = side * float(rng.uniform(inner, max(outer, inner + 0.1)))
                    self._add_walker(walkers[int(rng.integers(len(walkers)))], s + 0.7 * i, speed, d)
                s += float(rng.exponential(density)) + 2
        for _ in range(int(rng.integers(1, 4))):
            self._add_crossing(walkers[int(rng.integers(len(walkers)))], float(rng.uniform(0, STREET_M)))
        left = traffic.lane_left_m * 2 + 0.5
        riders = [Person(rng, light) for _ in range(4)]
        for _ in range(int(rng.integers(5, 16))):
            self._add_cyclist(riders[int(rng.integers(len(riders)))], float(rng.uniform(0, STREET_M)), 4.2, left)
        for _ in range(int(rng.integers(2, 9))):
            right = traffic.lane_right_m * 2 - 0.5
            self._add_cyclist(riders[int(rng.integers(len(riders)))], float(rng.uniform(0, STREET_M)), -4.2, right)

    def _add_car(self, ahead_at_start: float, speed: float, lane: float, turned: bool) -> None:
        car = Vehicle(self._rng, draw_kind(self._rng), self._light, turned)
        phase, rate = self._rng.uniform(0, 2 * np.pi), self._rng.uniform(0.1, 0.3)
        turn = np.pi if turned else 0.0

        def draw(shot: Shot, ahead: float, time_s: float) -> None:
            pose = shot.view.pose(ahead, lane + 0.12 * np.sin(phase + rate * time_s), turn)
            car.draw(shot, pose)

        self.movers.append(Mover(ahead_at_start, speed, draw))

    def _add_walker(self, person: Person, s: float, speed: float, d: float) -> None:
        phase = self._rng.uniform(0, 2 * np.pi)
        turn = float(self._rng.uniform(0, 2 * np.pi)) if speed == 0 else (0.0 if speed > 0 else np.pi)

        def draw(shot: Shot, ahead: float, time_s: float) -> None:
            pose = shot.view.pose(ahead, d, turn)
            stride = phase + abs(speed) * time_s * 4.4 if speed else 0.0
            person.draw_walking(shot, pose, stride)

        self.movers.append(Mover(s, speed, draw))

    def _add_crossing(self, person: Person, s: float) -> None:
        """Somebody who crosses in front of the camera, and is on the pavement when it passes."""
        direction = float(self._rng.choice([-1.0, 1.0]))
        pavement = self._plan.road_m + 1.2

        def draw(shot: Shot, ahead: float, time_s: float) -> None:
            share = float(np.clip((60.0 - ahead) / 46.0, 0, 1))
            d = direction * pavement * (1 - 2 * share)
            turn = -direction * np.pi / 2 if 0 < share < 1 else 0.0
            pose = shot.view.pose(ahead, d, turn)
            stride = share * 2 * pavement * 4.4
            person.draw_walking(shot, pose, stride)

        self.movers.append(Mover(s, 0.0, draw))

    def _add_cyclist(self, person: Person, s: float, speed: float, d: float) -> None:
        phase = self._rng.uniform(0, 2 * np.pi)

        def draw(shot: Shot, ahead: float, time_s: float) -> None:
            turn = 0.0 if speed > 0 else np.pi
            pose = shot.view.pose(ahead, d, turn)
            person.draw_cycling(shot, pose, phase + 6.5 * time_s)

        self.movers.append(Mover(s, speed, draw))

    def draw(self, shot: Shot, time_s: float) -> None:
        """Draw all that is in sight, the farthest first."""
        jobs: list[tuple[float, int, Draw | None, Mover | None, float]] = []
        for i, (item, ahead) in enumerate(zip(self.items, shot.view.ahead(self._item_s).tolist(), strict=True)):
            if ahead + item.behind_m > 0 and ahead < FAR_M:
                jobs.append((ahead + item.behind_m, i, item.draw, None, ahead))
        for i, mover in enumerate(self.movers):
            travelled = (mover.speed_mps - self._traffic.camera_mps) * time_s
            ahead = float(shot.view.ahead(shot.view.s_m + mover.start_m + travelled))
            if ahead < FAR_M:
                jobs.append((ahead, -1 - i, None, mover, ahead))
        for _, _, draw, mover_, ahead in sorted(jobs, key=lambda job: (-job[0], job[1])):
            if draw is not None:
                draw(shot, ahead)
            elif mover_ is not None:
                mover_.draw(shot, ahead, time_s)

    @cached_property
    def _item_s(self) -> Floats:
        return np.array([item.s_m for item in self.items])
