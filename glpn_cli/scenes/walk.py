"""Walks through rooms: the path of a camera that is carried in the hand, and the frames along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glpn_cli.scenes.camera import develop, is_clear, make_pose
from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.render import Scene, design_scene, trace_picture
from glpn_cli.scenes.room import Room
from glpn_cli.scenes.world import Pose, World

FRAMES_PER_SECOND = 30.0
_TRIES = 16
_MARGIN_M = 0.12
_CHECK_EVERY = 3


@dataclass(frozen=True)
class Path:
    """A camera on its way from the pose of a scene; radians, metres and seconds.

    step, turn: what the hand does on purpose: metres a second along x, y and z, radians a second of yaw and pitch
    bob:        up and down at every step, metres
    shake:      what it does not mean to do: radians
    phases:     of the waves of both
    """

    start: Pose
    step: tuple[float, float, float]
    turn: tuple[float, float]
    bob: float
    shake: float
    phases: tuple[float, ...]

    def pose(self, time: float) -> Pose:
        """Where the camera is after `time` seconds."""
        yaw, pitch, roll = self.start.angles()
        x, y, z = (at + time * speed for at, speed in zip(self.start.position, self.step, strict=True))
        rises = math.sin(2 * math.pi * 1.9 * time + self.phases[0]) - math.sin(self.phases[0])
        return make_pose(
            (x, y, z + self.bob * rises),
            yaw + time * self.turn[0] + self._wave(time, 1),
            min(max(pitch + time * self.turn[1] + self._wave(time, 2), -1.2), 1.2),
            roll + self._wave(time, 3),
        )

    def _wave(self, time: float, which: int) -> float:
        """A slow sway with a quick tremor on it; 0 at the start."""
        a, b = self.phases[which], self.phases[-which]
        slow = math.sin(2 * math.pi * 0.7 * time + a) - math.sin(a)
        quick = math.sin(2 * math.pi * 4.3 * time + b) - math.sin(b)
        return self.shake * (slow + 0.3 * quick)


def render_frame(
    seed: int, index: int, frame: int, *, frames: int, size: tuple[int, int], focal_px: float | None = None
) -> Scene:
    """Frame `frame` of `frames` of the walk that begins where scene `index` was taken: a pure function.

    The lens, the light and the film are those of the scene; noise, and where rays are sent for light, are of the frame.
    Raises UsageError without numba.
    """
    world, room, start, camera = design_scene(seed, index, size=size, focal_px=focal_px)
    path = _choose_path(Chance(seed, index, 4), world, room, start, seconds=frames / FRAMES_PER_SECOND)
    pose = path.pose(frame / FRAMES_PER_SECOND)
    own = Chance(seed, index, 5, frame)
    light, depth, normals, labels = trace_picture(pose, camera, world, own.unit(), 3, size=size)
    rgb = develop(Chance(seed, index, 3), light, depth, grain=own.generator)
    return Scene(rgb, depth, camera, normals, labels, room.kind, pose)


def find_poses(seed: int, index: int, *, frames: int, size: tuple[int, int], focal_px: float | None) -> list[Pose]:
    """Where the camera is in each frame of a walk. Raises UsageError without numba."""
    world, room, start, _ = design_scene(seed, index, size=size, focal_px=focal_px)
    path = _choose_path(Chance(seed, index, 4), world, room, start, seconds=frames / FRAMES_PER_SECOND)
    return [path.pose(frame / FRAMES_PER_SECOND) for frame in range(frames)]


def _choose_path(chance: Chance, world: World, room: Room, start: Pose, *, seconds: float) -> Path:
    """A path that runs into nothing; where there is none, the camera turns on the spot."""
    steps = max(2, math.ceil(seconds * FRAMES_PER_SECOND / _CHECK_EVERY))
    for attempt in range(_TRIES):
        path = _propose_path(chance, start, speed=1.0 - attempt / _TRIES)
        positions = [path.pose(seconds * step / steps).position for step in range(1, steps + 1)]
        if all(_is_inside(room, place) and is_clear(world.solids, place, _MARGIN_M) for place in positions):
            return path
    return _propose_path(chance, start, speed=0.0)


def _propose_path(chance: Chance, start: Pose, *, speed: float) -> Path:
    d = chance
    yaw, _, _ = start.angles()
    way = yaw + d.weigh([(4, d.bell(0, 0.5, -1.2, 1.2)), (1, math.pi), (3, d.pick([-1, 1]) * d.between(1.2, 2.0))])
    pace = speed * d.between(0.25, 1.1)
    return Path(
        start,
        (pace * math.cos(way), pace * math.sin(way), speed * d.bell(0, 0.1, -0.3, 0.3)),
        (math.radians(d.bell(0, 14, -35, 35)), math.radians(d.bell(0, 5, -12, 12))),
        speed * d.between(0.0, 0.02),
        math.radians(d.between(0.0, 0.6)),
        tuple(d.between(0, 2 * math.pi) for _ in range(7)),
    )


def _is_inside(room: Room, position: tuple[float, float, float]) -> bool:
    """Whether a place is in the room's box of air, and not at its very walls."""
    return all(a + _MARGIN_M < x < b - _MARGIN_M for a, x, b in zip(room.low, position, room.high, strict=True))
