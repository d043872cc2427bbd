"""Memory in step with the pixels in every depth format, ours and those of others, and one limit of pixels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import misbehaviour
import numpy as np
import OpenEXR
import pytest
from depth_samples import make_result
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.depth_files import FORMATS, make_writer, read_depth
from glpn_cli.depth_files.labels import Labels, read_labels
from glpn_cli.depth_files.summary import DepthSummary
from glpn_cli.depth_files.uncertainty import Uncertainty, read_uncertainty
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Result
from glpn_cli.process_pool import Workers

UNREAD = ("color", "glb", "normals", "normals16", "normals-npz", "normals-exr")
SIDE = 2000
MOST_BYTES_A_PIXEL = 40
read_in_metres = partial(read_depth, depth_scale=1000)


def make_map(side: int) -> DepthMap:
    """A map with holes that takes next to nothing on the disk."""
    values = np.full((side, side), 2, np.float32)
    values[:, : side // 2] = 3
    valid = np.ones((side, side), np.bool_)
    valid[::7] = False
    return DepthMap(values, valid=valid, limit=10.0)


def ours(name: str, side: int) -> bytes:
    result = make_result(make_map(side), size=(side, side))
    return make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(result).data


def uncertainty(side: int) -> bytes:
    depth = make_map(side)
    result = make_result(depth)
    return Uncertainty().encode(Result(depth, result.source, result.provenance, uncertainty=depth.values)).data


def labels(side: int) -> bytes:
    depth = make_map(side)
    prediction = LabelMap(depth.values.astype(np.uint8), ("a", "b", "c", "d"), depth.valid)
    return Labels().encode(Result(prediction, make_result(depth).source)).data


def saved(write: Callable[..., Any], dtype: str, side: int, **options: Any) -> bytes:
    file = BytesIO()
    array: NDArray[Any] = np.full((side, side), 2, dtype)
    array[0, 0] = 0
    write(file, array, **options)
    return file.getvalue()


def pillow(file: BytesIO, array: NDArray[Any], kind: str, **options: Any) -> None:
    Image.fromarray(array).save(file, kind, **options)


def savez(file: BytesIO, array: NDArray[Any]) -> None:
    np.savez_compressed(file, depth=array)


def exr_of_halves(side: int) -> bytes:
    file = BytesIO()
    half = np.full((side, side), 2, np.float16)
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, dict.fromkeys("RGBAZ", half)) as exr:
        exr.write(file)
    return file.getvalue()


FILES: dict[str, tuple[Callable[..., Any], Callable[[int], bytes]]] = {
    **{name: (read_depth, partial(ours, name)) for name in FORMATS if name not in UNREAD},
    "inspected": (DepthSummary.of, partial(ours, "png16")),
    "uncertainty": (read_uncertainty, uncertainty),
    "uncertainty inspected": (DepthSummary.of, uncertainty),
    "labels": (read_labels, labels),
    "npy of doubles": (read_depth, partial(saved, np.save, "float64")),
    "npy of integers": (read_in_metres, partial(saved, np.save, "int64")),
    "npz of doubles": (read_depth, partial(saved, savez, "float64")),
    "npz of shorts": (read_in_metres, partial(saved, savez, "uint16")),
    "png of bytes": (read_in_metres, partial(saved, pillow, "uint8", kind="PNG")),
    "png of shorts": (read_in_metres, partial(saved, pillow, "uint16", kind="PNG")),
    "tiff of shorts": (read_in_metres, partial(saved, pillow, "uint16", kind="TIFF")),
    "tiff of integers, lzw": (read_in_metres, partial(saved, pillow, "int32", kind="TIFF", compression="tiff_lzw")),
    "tiff of floats, lzw": (read_depth, partial(saved, pillow, "float32", kind="TIFF", compression="tiff_lzw")),
    "exr of halves": (read_depth, exr_of_halves),
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("name", FILES)
def test_a_map_takes_at_most_forty_bytes_a_pixel_and_its_file(name: str, tmp_path: Path) -> None:
    read, make = FILES[name]
    path, small = tmp_path / "x", tmp_path / "small"
    path.write_bytes(make(SIDE))
    small.write_bytes(make(8))
    with Workers(1, modules=("glpn_cli.depth_files.summary", "OpenEXR")) as workers:
        workers.run(misbehaviour.read_and_forget, read, small, about="x")
        before = workers.run(misbehaviour.peak_memory, about="x")
        with pytest.raises(InputError, match=r"1,000|too large") as caught:
            workers.run(misbehaviour.read_and_forget, partial(read, max_pixels=1000), path, about="x")
        assert caught.value.code is ErrorCode.TOO_LARGE
        refusing = workers.run(misbehaviour.peak_memory, about="x") - before
        workers.run(misbehaviour.read_and_forget, read, path, about="x")
        taken = workers.run(misbehaviour.peak_memory, about="x") - before
    assert refusing <= 2 * path.stat().st_size + (4 << 20), f"{refusing:,} bytes to refuse it"
    assert taken <= MOST_BYTES_A_PIXEL * SIDE * SIDE + path.stat().st_size, f"{taken / SIDE / SIDE:.1f} bytes a pixel"
