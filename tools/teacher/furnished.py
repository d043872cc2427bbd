"""Rooms of `glpn scenes` in which a share of the furniture is real meshes; see README.md beside this file.

A mesh stands where the room's own piece would stand, is lit by the room's lamps, darkens what it stands on, and hides
what is behind it. The room is traced first, without it; what meshes reflect in mirrors is left out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from meshes import Mesh, read_library
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.prediction import Intrinsics
from glpn_cli.scenes import arrange
from glpn_cli.scenes.camera import develop
from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.furniture import Maker, Piece, clutter
from glpn_cli.scenes.render import design_scene, trace_picture
from glpn_cli.scenes.style import Style
from glpn_cli.scenes.world import Pose, World

LIBRARY = Path("/usr/share/sweethome3d/furniture")
"""Where Debian's package sweethome3d-furniture puts it."""
SIZE = (192, 256)
SHARES = (0.4, 0.7, 1.0)
"""Of the pieces of a room that are meshes; each as often."""
WORDS = {
    "sofa": "sofa couch settee loveseat", "chair": "chair stool armchair seat", "bar_stool": "stool chair",
    "table": "table", "coffee_table": "table", "side_table": "table bedside nightstand", "desk": "desk office table",
    "bed": "bed crib cot", "cupboard": "cupboard wardrobe cabinet dresser sideboard chest armoire closet drawer",
    "shelf": "shelf bookcase shelves rack", "plant": "plant flower ficus tree palm", "floor_lamp": "lamp",
    "fridge": "fridge refrigerator freezer oven cooker stove", "washing_machine": "washing dishwasher dryer machine",
    "toilet": "toilet wc bidet", "basin": "basin sink washbasin", "bathtub": "bath tub shower",
    "person": "man woman female male girl boy human", "tv_stand": "tv television hifi sideboard",
    "counter": "kitchen counter worktop sink oven", "piano": "piano", "boxes": "box crate basket bag case",
    "ottoman": "pouf ottoman stool", "bench": "bench",
}  # fmt: skip
"""Maker of a piece -> words, one of which the name or the tags of a mesh have."""
MOST_TRIANGLES, MOST_OF_SMALL = 10_000, 2_500
NEAREST_M = 0.12

_Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Placed:
    """A mesh in a room: its foot in metres, its heading in radians, and a factor (M, 3) for each of its paints."""

    mesh: Mesh
    foot: tuple[float, float, float]
    yaw: float
    tints: _Floats

    def turned(self, vectors: _Floats) -> _Floats:
        """Vectors of the mesh's frame in the room's."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return vectors @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)

    def seen_from(self, pose: Pose) -> tuple[float, float, float]:
        """Its middle in the camera's frame, metres."""
        middle = np.array(self.foot) + np.array([0, 0, 0.5 * self.mesh.size[2]])
        x, y, z = np.stack([pose.right, pose.down, pose.forward]) @ (middle - np.asarray(pose.position))
        return float(x), float(y), float(z)


class Furnisher:
    """Puts meshes where a room's own pieces would stand; `placed` has those of the room that was drawn last."""

    def __init__(self, library: Sequence[Mesh]) -> None:
        self.placed: list[Placed] = []
        self.random = np.random.default_rng(0)
        self.share = 0.0
        self.standing = [m for m in library if not m.lifted and 0.4 < max(m.size) < 3.5 and m.size[2] < 2.6]
        self.small = [
            m for m in library if not m.lifted and max(m.size) <= 0.45 and min(m.size) > 0.01
            and len(m.corners) <= MOST_OF_SMALL
        ]  # fmt: skip
        self.kinds = {kind: [m for m in self.standing if m.words & set(words.split())] for kind, words in WORDS.items()}
        for kind, (along, free) in arrange.PLANS.items():
            arrange.PLANS[kind] = (
                tuple((n, self.instead(m)) for n, m in along),
                tuple((n, self.instead(m)) for n, m in free),
            )
        clutter.SMALL = arrange.SMALL = (*clutter.SMALL, (14, self.add_thing))

    def instead(self, maker: Maker) -> Maker:
        """A maker of meshes, mostly of the same kind, in a share of the cases."""

        def make(style: Style) -> Piece:
            if self.random.random() > self.share:
                return maker(style)
            alike = self.kinds.get(maker.__name__, [])
            choice = alike if alike and self.random.random() < 0.85 else self.standing
            mesh = choice[int(self.random.integers(len(choice)))]
            return Piece(mesh.size[0], mesh.size[1], lambda: self.place(mesh, style), mesh.size[2])

        return make

    def add_thing(self, style: Style) -> float:
        """A small thing on a table or a shelf; returns how far it reaches, metres."""
        mesh = self.small[int(self.random.integers(len(self.small)))]
        self.place(mesh, style)
        return 0.5 * math.hypot(*mesh.size[:2])

    def place(self, mesh: Mesh, style: Style) -> None:
        """Put a mesh where the style draws, often in other colours than its own."""
        tints = np.ones((len(mesh.paints), 3), np.float32)
        if self.random.random() < 0.6:
            changed = self.random.random(len(tints)) < 0.7
            colours = np.exp(
                self.random.normal(0, 0.45, (len(tints), 1)) + self.random.normal(0, 0.35, (len(tints), 3))
            )
            tints[changed] = colours[changed]
        here = style.parts.here
        self.placed.append(Placed(mesh, (here.x, here.y, here.z), here.yaw, tints))

    def render(self, seed: int, index: int) -> tuple[NDArray[np.uint8], _Floats, Intrinsics] | None:
        """Picture (H, W, 3), depth (H, W) in metres and camera of a room; None where hardly a mesh would be seen."""
        self.placed.clear()
        self.random = np.random.default_rng([seed, index])
        self.share = float(self.random.choice(SHARES))
        view = Chance(seed, index, 2)
        world, _, pose, camera = design_scene(seed, index, size=SIZE, focal_px=None, view=view)
        if self.placed and self.random.random() < 0.75 and not any(fills_view(p, pose, camera) for p in self.placed):
            return None
        light, depth, normals, _ = trace_picture(pose, camera, world, view.unit(), 3, size=SIZE)
        near = [placed for placed in self.placed if matters(placed, pose)]
        if near:
            Picture(near, world, pose, camera, self.random).draw(light, depth, normals)
        return develop(Chance(seed, index, 3), light, depth), depth, camera


def fills_view(placed: Placed, pose: Pose, camera: Intrinsics) -> bool:
    """Whether the middle of a mesh is in the picture, and the mesh no speck there."""
    x, y, z = placed.seen_from(pose)
    is_inside = abs(x) < 0.55 * SIZE[1] / camera.fx * z and abs(y) < 0.55 * SIZE[0] / camera.fy * z
    return 0.3 < z < 6 and is_inside and max(placed.mesh.size) > 0.12 * z


def matters(placed: Placed, pose: Pose) -> bool:
    """Whether a mesh can be seen, or darken what is seen."""
    x, y, z = placed.seen_from(pose)
    reach = placed.mesh.reach
    is_near = abs(x) < 0.75 * max(z, 0) + reach + 0.4 and abs(y) < 0.65 * max(z, 0) + reach + 0.4
    return z > -reach and reach > 0.01 * max(math.hypot(x, y, z), 0.1) and is_near


class Picture:
    """Draws meshes into the picture of a room."""

    def __init__(
        self, placed: Sequence[Placed], world: World, pose: Pose, camera: Intrinsics, random: np.random.Generator
    ) -> None:
        self.placed, self.world, self.camera, self.random = placed, world, camera, random
        self.right, self.down, self.forward, self.eye = (
            np.asarray(each, np.float32) for each in (pose.right, pose.down, pose.forward, pose.position)
        )
        corners = [each.turned(each.mesh.corners) + np.array(each.foot, np.float32) for each in placed]
        self.triangles = np.concatenate(corners).astype(np.float32)
        self.normals = np.concatenate([each.turned(each.mesh.normals) for each in placed])
        self.first = np.cumsum([0, *map(len, corners)])
        self.scene = EmbreeScene()
        TriangleMesh(self.scene, self.triangles)

    def draw(self, light: _Floats, depth: _Floats, normals: _Floats) -> None:
        """Draw into linear colours (H, W, 3) and depth (H, W), in place. normals: of the room, in the camera's."""
        way = self._rays(0, 0)
        distance = self._trace(way)[0].reshape(depth.shape)
        nearer = distance < depth
        light *= self._shadow(way, depth, normals, where=~nearer)[..., None]
        glow = float(np.median(light))
        mean = np.zeros_like(light)
        for shift in (-0.25, 0.25):
            mean += 0.5 * self._paint(self._rays(shift, shift), light, depth, glow)
        light[:] = mean
        depth[nearer] = distance[nearer]

    def _rays(self, right: float, down: float) -> _Floats:
        """(H * W, 3), as long as 1 m of depth, through points beside the pixels' middles."""
        v, u = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
        a, b = (u + right - self.camera.cx) / self.camera.fx, (v + down - self.camera.cy) / self.camera.fy
        return (a[..., None] * self.right + b[..., None] * self.down + self.forward).reshape(-1, 3).astype(np.float32)

    def _trace(self, way: _Floats) -> tuple[_Floats, dict[str, NDArray[np.float32]]]:
        """Distance (N,) in lengths of the rays, infinite for none, and what Embree says of the hits."""
        hit = self.scene.run(np.broadcast_to(self.eye, way.shape).copy(), way, query="INTERSECT", output=True)
        is_hit = (hit["primID"] >= 0) & (hit["tfar"] > NEAREST_M)
        return np.where(is_hit, hit["tfar"], np.float32(np.inf)), hit

    def _is_blocked(self, start: _Floats, way: _Floats, share: float) -> NDArray[np.bool_]:
        """Whether a mesh stands in the way, up to a share of it."""
        if not len(start):
            return np.zeros(0, bool)
        ends = np.full(len(start), share, np.float32)
        return self.scene.run(np.ascontiguousarray(start), np.ascontiguousarray(way), ends, query="OCCLUDED") == 0

    def _lamps(self, spots: _Floats, normals: _Floats) -> tuple[_Floats, _Floats, NDArray[np.bool_]]:
        """Light (N, 3) of lamps and sky at points, as in `lighting`; what meshes keep away; where one is close by."""
        sky = self.world.sky
        start = (spots + 2e-3 * normals).astype(np.float32)
        came = sky[:3].astype(np.float32) * (0.8 + 0.2 * normals[:, 2:])
        lost = np.zeros_like(came)
        for row in self.world.lights:
            a, b = self.random.uniform(-1, 1, (2, len(spots), 1))
            way = row[1:4] + a * row[4:7] + b * row[7:10] - spots
            square = (way**2).sum(1)
            strength = 1 / (square + row[17])
            if row[0] > 0:
                cosine = -(way @ row[10:13]) / np.sqrt(square + row[17])
                spread = np.clip((cosine - row[16]) / (1 - row[16]) * 2.5, 0, 1) + 0.02
                strength *= np.maximum(cosine, 0) if row[0] == 1 else spread
            strength *= np.maximum((way * normals).sum(1) / np.sqrt(square + 1e-9), 0)
            light = (strength[:, None] * row[13:16]).astype(np.float32)
            which = np.flatnonzero(light.max(1) > 0.004)
            is_dark = np.zeros(len(spots), bool)
            is_dark[which] = self._is_blocked(start[which], way[which].astype(np.float32), 0.97)
            lost[is_dark] += light[is_dark]
            came[~is_dark] += light[~is_dark]
        around = self.random.normal(size=spots.shape)
        around = normals + around / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
        return came, lost, self._is_blocked(start, (0.6 * around).astype(np.float32), 1.0)

    def _shadow(self, way: _Floats, depth: _Floats, normals: _Floats, *, where: NDArray[np.bool_]) -> _Floats:
        """The share of light (H, W) that meshes leave to the room, smoothed, 1 where the room is not seen."""
        which = np.flatnonzero(where.ravel() & (depth.ravel() < 12))
        spots = (self.eye + way * depth.reshape(-1, 1))[which]
        axes = np.stack([self.right, self.down, self.forward])
        facing = (normals.reshape(-1, 3) @ axes)[which]
        facing = np.where((facing * way[which]).sum(1, keepdims=True) > 0, -facing, facing)
        left = np.zeros(len(which), np.float32)
        for _ in range(2):
            came, lost, is_close = self._lamps(spots, facing)
            dark = (lost / np.maximum(came + lost, 1e-6)).mean(1)
            left += 0.5 * (1 - 0.75 * dark) * np.where(is_close, 0.55, 1.0)
        share = np.zeros(depth.shape, np.float32)
        share.ravel()[which] = left
        known = where & (depth < 12)
        return np.where(
            known, _mean_of_25(share) / np.maximum(_mean_of_25(known.astype(np.float32)), 1e-6), np.float32(1)
        )

    def _paint(self, way: _Floats, light: _Floats, depth: _Floats, glow: float) -> _Floats:
        """Linear colours (H, W, 3) of what rays meet, a mesh or the room. glow: what surfaces send each other."""
        distance, hit = self._trace(way)
        colours = light.reshape(-1, 3).copy()
        seen = np.flatnonzero(distance < depth.ravel())
        if not len(seen):
            return colours.reshape(light.shape)
        face, b, c = hit["primID"][seen], hit["u"][seen, None], hit["v"][seen, None]
        weights = (1 - b - c, b, c)
        flat = np.cross(*(self.triangles[face, k] - self.triangles[face, 0] for k in (1, 2)))
        flat = np.where((flat * way[seen]).sum(1, keepdims=True) > 0, -flat, flat)
        normal = sum(w * self.normals[face, k] for k, w in enumerate(weights))
        normal = np.where((normal * flat).sum(1, keepdims=True) < 0, -normal, normal)
        normal = (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)).astype(np.float32)
        albedo = np.empty((len(seen), 3), np.float32)
        owner = np.searchsorted(self.first, face, side="right") - 1
        for k in np.unique(owner):
            here = owner == k
            mesh, local = self.placed[k].mesh, face[here] - self.first[k]
            uv = sum(w[here] * mesh.uv[local, corner] for corner, w in enumerate(weights))
            rows = mesh.rows[local]
            for row in np.unique(rows):
                place = np.flatnonzero(here)[rows == row]
                albedo[place] = mesh.paints[row].at(uv[rows == row]) * self.placed[k].tints[row]
        spots = (self.eye + way[seen] * distance[seen, None]).astype(np.float32)
        came, _, is_close = self._lamps(spots, normal)
        arriving = came * np.where(is_close, 0.6, 1.0)[:, None] + 0.8 * glow * (0.9 + 0.1 * normal[:, 2:])
        grazing = 1 + (normal * way[seen]).sum(1, keepdims=True) / np.linalg.norm(way[seen], axis=1, keepdims=True)
        colours[seen] = np.clip(albedo, 0.01, 0.92) * arriving + 0.12 * glow * np.maximum(grazing, 0) ** 3
        return colours.reshape(light.shape)


def _mean_of_25(values: _Floats) -> _Floats:
    """The mean over 5x5 pixels, the border repeated."""
    padded = np.pad(values, 2, mode="edge")
    height, width = values.shape
    return np.mean(
        [padded[i : i + height, j : j + width] for i in range(5) for j in range(5)], axis=0, dtype=np.float32
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path, help="a folder like those of `glpn scenes`")
    ask.add_argument("--seed", type=int, required=True)
    ask.add_argument("--first", type=int, default=0, help="the first index; several processes take different ones")
    ask.add_argument(
        "--count", type=int, required=True, help="of indices; about a quarter shows no mesh and is left out"
    )
    ask.add_argument("--library", type=Path, default=LIBRARY)
    a = ask.parse_args()
    for folder in ("rgb", "depth"):
        (a.out / folder).mkdir(parents=True, exist_ok=True)
    furnisher = Furnisher(read_library(a.library, most_triangles=MOST_TRIANGLES))
    with (a.out / ("pairs.csv" if a.first == 0 else f"pairs-{a.first}.csv")).open("w") as rows:
        rows.write("rgb_path,depth_path,depth_scale,fx,fy,cx,cy\n")
        for index in range(a.first, a.first + a.count):
            made = furnisher.render(a.seed, index)
            if made is None or np.percentile(made[1], 3) < 0.25:
                continue
            rgb, depth, camera = made
            name = f"{index:06d}.png"
            Image.fromarray(rgb).save(a.out / "rgb" / name, compress_level=1)
            millimetres = np.clip(np.round(depth * 1000), 1, 65535).astype(np.uint16)
            Image.fromarray(millimetres).save(a.out / "depth" / name, compress_level=1)
            rows.write(f"rgb/{name},depth/{name},1000,{camera.fx:.3f},{camera.fy:.3f},{camera.cx},{camera.cy}\n")
            rows.flush()


if __name__ == "__main__":
    main()
