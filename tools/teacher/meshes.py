"""Furniture as textured meshes: the libraries of Sweet Home 3D, read from its .sh3f archives at their real sizes."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Floats = NDArray[np.float32]
_CATALOGUE = "PluginFurnitureCatalog.properties"
_NOT_INDOORS = ("Exterior", "Vehicles", "Doors and windows", "Staircases")
_MOST_TEXELS = 256
_LEAST_OPACITY = 0.5


@dataclass(frozen=True, eq=False)
class Paint:
    """A material: its linear colour (3,), or a texture, linear (h, w, 3), v upwards."""

    colour: _Floats
    texture: _Floats | None = None

    def at(self, uv: _Floats) -> _Floats:
        """Linear colours (N, 3) at texture coordinates (N, 2), which repeat."""
        if self.texture is None:
            return np.broadcast_to(self.colour, (len(uv), 3))
        height, width = self.texture.shape[:2]
        u, v = np.nan_to_num(uv).T % 1.0
        return self.texture[((1 - v) * height).astype(int) % height, (u * width).astype(int) % width]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A piece in the frame of `scenes.parts`: metres, its back at +y, z up, the origin on the floor under its middle.

    words:   of its name and tags
    size:    along x, y and z, metres
    lifted:  how far over the floor it hangs, metres
    corners: float32 (N, 3, 3), of triangles; `normals` alike, `uv` (N, 3, 2)
    rows:    int (N,), the triangles' rows in `paints`
    """

    words: frozenset[str]
    size: tuple[float, float, float]
    lifted: float
    corners: _Floats
    normals: _Floats
    uv: _Floats
    rows: NDArray[np.int64]
    paints: tuple[Paint, ...]

    @property
    def reach(self) -> float:
        """Half of its diagonal, metres."""
        return 0.5 * math.hypot(*self.size)


@dataclass
class _Obj:
    """An OBJ file as it is read."""

    points: list[list[float]] = field(default_factory=list)
    uv: list[list[float]] = field(default_factory=list)
    normals: list[list[float]] = field(default_factory=list)
    faces: list[list[tuple[int, int, int]]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def read_library(folder: Path, *, most_triangles: int) -> list[Mesh]:
    """The furniture of all archives in a folder that stands indoors and is not too fine."""
    meshes: list[Mesh] = []
    for file in sorted(folder.glob("*.sh3f")):
        with zipfile.ZipFile(file) as archive:
            for entry in _read_catalogue(archive.read(_CATALOGUE).decode("latin-1")):
                try:
                    mesh = read_mesh(archive, entry)
                except (KeyError, ValueError, IndexError) as error:
                    print(f"left out: {entry['model']}: {error!r}")
                    continue
                if mesh is not None and len(mesh.corners) <= most_triangles:
                    meshes.append(mesh)
    return meshes


def _read_catalogue(text: str) -> Iterator[dict[str, str]]:
    """The entries of a catalogue that are furniture for rooms."""
    entries: dict[str, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*?)\s*$", text, re.MULTILINE):
        entries.setdefault(number, {})[key] = value
    for entry in entries.values():
        is_wall = entry.get("doorOrWindow") == "true" or entry.get("category") in _NOT_INDOORS
        if not is_wall and entry["model"].endswith(".obj"):
            yield entry


def read_mesh(archive: zipfile.ZipFile, entry: Mapping[str, str]) -> Mesh | None:
    """The mesh of an entry of a catalogue, at the size that it says; None where nothing of it is opaque."""
    name = entry["model"].lstrip("/")
    folder = name.rpartition("/")[0]
    obj, paints = _Obj(), dict[str, tuple[float, Paint]]()
    now = ""
    for line in archive.read(name).decode("latin-1").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "v":
            obj.points.append([float(number) for number in rest.split()[:3]])
        elif word == "vt":
            obj.uv.append([float(number) for number in rest.split()[:2]])
        elif word == "vn":
            obj.normals.append([float(number) for number in rest.split()[:3]])
        elif word == "mtllib" and f"{folder}/{rest.strip()}" in archive.namelist():
            paints |= _read_paints(archive, folder, rest.strip())
        elif word == "usemtl":
            now = rest.strip()
        elif word == "f" and paints.get(now, (1.0,))[0] >= _LEAST_OPACITY:
            corners = [_read_corner(corner, obj) for corner in rest.split()]
            obj.faces += [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
            obj.names += [now] * (len(corners) - 2)
    return _make_mesh(obj, {each: paint for each, (_, paint) in paints.items()}, entry) if obj.faces else None


def _read_corner(text: str, obj: _Obj) -> tuple[int, int, int]:
    """Indices from 0 of point, texture coordinates and normal; -1 for what is not said."""
    counts = (len(obj.points), len(obj.uv), len(obj.normals))
    numbers = [int(each or 0) for each in [*text.split("/"), "", ""][:3]]
    point, uv, normal = (
        n - 1 if n > 0 else (n + count if n < 0 else -1) for n, count in zip(numbers, counts, strict=True)
    )
    return point, uv, normal


def _read_paints(archive: zipfile.ZipFile, folder: str, name: str) -> dict[str, tuple[float, Paint]]:
    """Opacity and paint of each material of an MTL file."""
    found: dict[str, tuple[float, Paint]] = {}
    now = ""
    for line in archive.read(f"{folder}/{name}").decode("latin-1").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "newmtl":
            now = rest.strip()
            found[now] = (1.0, Paint(np.full(3, 0.33, np.float32)))
        elif now and word == "Kd":
            found[now] = (found[now][0], Paint(_linear(np.array(rest.split()[:3], np.float32)), found[now][1].texture))
        elif now and word == "d":
            found[now] = (float(rest.split()[-1]), found[now][1])
        elif now and word == "map_Kd" and f"{folder}/{rest.strip()}" in archive.namelist():
            picture = Image.open(io.BytesIO(archive.read(f"{folder}/{rest.strip()}"))).convert("RGB")
            picture.thumbnail((_MOST_TEXELS, _MOST_TEXELS))
            texture = _linear(np.asarray(picture, np.float32) / 255)
            found[now] = (found[now][0], Paint(found[now][1].colour, texture))
    return found


def _make_mesh(obj: _Obj, paints: Mapping[str, Paint], entry: Mapping[str, str]) -> Mesh:
    """The triangles of a file, turned into our frame and brought to the size of the catalogue."""
    index = np.array(obj.faces)
    points = np.array(obj.points, np.float32)
    turn = entry.get("modelRotation")
    if turn is not None:
        points = points @ np.array(turn.split(), np.float32).reshape(3, 3).T
    corners = points[index[:, :, 0]]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.repeat(flat[:, None], 3, axis=1)
    if turn is None and obj.normals and (index[:, :, 2] >= 0).all():
        normals = np.array(obj.normals, np.float32)[index[:, :, 2]]
    uv = np.array(obj.uv, np.float32)[index[:, :, 1]] if obj.uv else np.zeros((*index.shape[:2], 2), np.float32)
    width, depth, height = (float(entry[key]) / 100 for key in ("width", "depth", "height"))
    low, high = corners.min((0, 1)), corners.max((0, 1))
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2], np.float32)
    factor = np.array([width, height, depth], np.float32) / np.maximum(high - low, 1e-6)
    normals = _z_up(normals / factor)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    names = sorted(set(obj.names))
    kept = np.linalg.norm(flat, axis=1) > 1e-9
    return Mesh(
        words=frozenset(re.findall(r"[a-z]+", f"{entry['name']} {entry.get('tags', '')}".lower())),
        size=(width, depth, height),
        lifted=float(entry.get("elevation", 0)) / 100,
        corners=_z_up((corners - foot) * factor)[kept].astype(np.float32),
        normals=normals[kept].astype(np.float32),
        uv=uv[kept].astype(np.float32),
        rows=np.array([names.index(name) for name in obj.names])[kept],
        paints=tuple(paints.get(name, Paint(np.full(3, 0.22, np.float32))) for name in names),
    )


def _z_up(vectors: _Floats) -> _Floats:
    """From OBJ's frame (y up, the front at +z) to ours (z up, the back at +y)."""
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1)


def _linear(srgb: _Floats) -> _Floats:
    return np.asarray(np.clip(srgb, 0, 1) ** np.float32(2.2), np.float32)
