"""GLB: depth as a textured mesh in glTF 2.0's binary form, in metres, upright, seen from where the picture was taken.

The camera stands at the origin and looks along -z, with y up, as glTF's cameras do. The picture is an unlit texture:
its light is in it already. The record stands in `asset.extras`. Specification: Khronos, glTF 2.0, sections 3 and 4.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.depth_files.base import EncodedFile, StoredDepth
from glpn_cli.depth_files.record import PROGRAM, SOFTWARE
from glpn_cli.depth_files.space import SpaceFormat, read_point_colors
from glpn_cli.errors import ErrorCode, InputError, OutputError
from glpn_cli.geometry import Axes, find_hanging, find_parting
from glpn_cli.prediction import DepthMap, Intrinsics, Result

SIGNATURE = b"glTF"
_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")
_JSON_AT = _HEADER.size + _CHUNK.size
_OWN_HEAD = f'{{"asset":{{"extras":{{"Software":"{PROGRAM} '.encode()
_FLOAT, _UINT = 5126, 5125
_VERTICES, _FACES = 34962, 34963
# Larger textures are more than viewers take.
_MAX_TEXTURE = 4096
_JPEG_QUALITY = 90


class Glb(SpaceFormat):
    """Depth as a mesh, in the colours of the picture; painted by depth where that is not at hand."""

    format: ClassVar[str] = "glb"
    extension: ClassVar[str] = ".glb"
    map: ClassVar[str] = "mesh"
    own_marks: ClassVar[tuple[tuple[bytes, int], ...]] = ((_OWN_HEAD, _JSON_AT),)
    uses: ClassVar[tuple[str, ...]] = ("edge_cull", "max_faces")
    usual: ClassVar[Axes] = Axes.OPENGL
    any_axes: ClassVar[bool] = False

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file is glTF in its binary form."""
        return head.startswith(SIGNATURE)

    @classmethod
    def peek(cls, head: bytes) -> Mapping[str, str]:
        """The record in the extras of the asset, which stands first."""
        start = head.find(b'{"Software"', _JSON_AT, _JSON_AT + len(_OWN_HEAD))
        end = head.find(b"}", start)  # the record's texts are flat, and escaped
        if start < 0 or end < 0:
            return {}
        try:
            text = json.loads(head[start : end + 1])
        except ValueError:
            return {}
        return {key: value for key, value in text.items() if isinstance(value, str)}

    @classmethod
    def ends_whole(cls, head: bytes, tail: bytes, length: int) -> bool:  # noqa: ARG003
        """Whether it is as long as its header says."""
        return int.from_bytes(head[8:12], "little") == length

    @classmethod
    def decode(cls, data: bytes, **asked: Any) -> StoredDepth:  # noqa: ARG003
        """Refuse: a thinned mesh is no depth map any more (InputError)."""
        raise InputError(
            "this is a mesh, not a depth map",
            hint="Give the picture or the depth map that it was made of.",
            code=ErrorCode.UNSUPPORTED,
        )

    def encode(self, result: Result) -> EncodedFile:
        """The GLB file. Raises OutputError where no three neighbouring pixels have a depth."""
        depth = self.depth_of(result)
        record, camera = self.make_record(result, depth)
        rows, columns = _thin(depth.size, self.cloud.max_faces)
        points, faces = self._triangulate(depth, camera, rows, columns)
        places = (np.stack(np.broadcast_arrays(columns, rows[:, None]), axis=2) + np.float32(0.5)).reshape(-1, 2)
        # Vertices that no triangle uses are left out.
        used, faces = np.unique(faces, return_inverse=True)
        if not used.size:
            why = "no neighbouring pixels have a depth, so there is no surface"
            raise OutputError(why, hint="Write points with -f ply.", code=ErrorCode.RANGE)
        height, width = depth.size
        blobs = [
            np.ascontiguousarray(points[used], "<f4"),
            np.ascontiguousarray(places[used] / (width, height), "<f4"),
            np.ascontiguousarray(faces.reshape(-1), "<u4"),
            np.frombuffer(_encode_texture(read_point_colors(result, depth)), np.uint8),
        ]
        return EncodedFile(_assemble(blobs, camera, depth.size, record.to_text()), record)

    def _triangulate(
        self, depth: DepthMap, camera: Intrinsics, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """The points (N, 3) of a grid of pixels, in glTF's axes, and the triangles (M, 3) that face the camera."""
        grid = np.ix_(rows, columns)
        kept = np.ones(depth.size, np.bool_) if depth.valid is None else depth.valid
        if self.cloud.edge_cull:
            kept = kept & ~find_hanging(depth, camera)
        z = np.where(kept[grid], depth.values[grid], np.float32(1))
        x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
        points = np.stack([z * x, z * y[:, None], z], axis=2).astype(np.float32).reshape(-1, 3)
        index = np.where(kept[grid], np.arange(z.size).reshape(z.shape), -1)
        corners = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
        faces = np.concatenate(
            [np.stack([corners[each] for each in order], axis=2).reshape(-1, 3) for order in ((0, 1, 2), (2, 1, 3))]
        )
        faces = faces[(faces >= 0).all(axis=1)]
        if self.cloud.edge_cull and faces.size:
            stride = max(np.diff(rows).max(), np.diff(columns).max())
            faces = faces[~find_parting(points[faces, 2], camera, stride=float(stride))]
        return points @ self.axes.from_camera.T, faces


def _thin(size: tuple[int, int], max_faces: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows and columns of a grid with at most so many triangles, evenly spread, from border to border."""
    cells = [side - 1 for side in size]
    stride = max(1.0, math.sqrt(2 * cells[0] * cells[1] / max_faces))
    rows, columns = (
        np.unique(np.rint(np.linspace(0, cell, max(1, math.floor(cell / stride)) + 1)).astype(np.intp))
        for cell in cells
    )
    return rows, columns


def _encode_texture(colors: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(colors)
    image.thumbnail((_MAX_TEXTURE, _MAX_TEXTURE))
    file = BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _assemble(blobs: list[NDArray[Any]], camera: Intrinsics, size: tuple[int, int], text: Mapping[str, str]) -> bytes:
    """The file of positions, places in the texture, triangles and the texture."""
    positions, places, faces, texture = blobs
    views, body = [], bytearray()
    for blob, target in ((positions, _VERTICES), (places, _VERTICES), (faces, _FACES), (texture, None)):
        view = {"buffer": 0, "byteOffset": len(body), "byteLength": blob.nbytes}
        views.append(view if target is None else {**view, "target": target})
        body += blob.tobytes()
        body += bytes(-len(body) % 4)
    height, width = size
    tree = {
        "asset": {"extras": dict(text), "generator": SOFTWARE, "version": "2.0"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0, "name": "depth"}, {"camera": 0, "name": "camera"}],
        "cameras": [
            {
                "type": "perspective",
                "perspective": {
                    "yfov": 2 * math.atan2(height / 2, camera.fy),
                    "aspectRatio": width * camera.fy / (height * camera.fx),
                    "znear": 0.01,
                },
            }
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [
            {
                "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 1},
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": 3, "mimeType": "image/jpeg"}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(positions),
                "type": "VEC3",
                "min": positions.min(axis=0).tolist(),
                "max": positions.max(axis=0).tolist(),
            },
            {"bufferView": 1, "componentType": _FLOAT, "count": len(places), "type": "VEC2"},
            {"bufferView": 2, "componentType": _UINT, "count": len(faces), "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(body)}],
    }
    head = json.dumps(tree, separators=(",", ":")).encode("ascii")
    head += b" " * (-len(head) % 4)
    chunks = _CHUNK.pack(len(head), b"JSON") + head + _CHUNK.pack(len(body), b"BIN\0") + body
    return _HEADER.pack(SIGNATURE, 2, _HEADER.size + len(chunks)) + chunks
