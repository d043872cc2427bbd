"""Broken pictures and depth files, by number, for a process that may crash on them: small, and without torch."""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from io import BytesIO
from typing import Any

import numpy as np
import OpenEXR
from byte_mutator import mutate
from PIL import Image, ImageCms

from glpn_cli.depth_files import FORMATS, is_depth_file, is_own_output, make_writer, read_depth, read_record
from glpn_cli.depth_files.labels import LABEL_FORMATS, make_label_writer, read_labels
from glpn_cli.depth_files.summary import DepthSummary
from glpn_cli.depth_files.uncertainty import Uncertainty, read_uncertainty
from glpn_cli.errors import InputError
from glpn_cli.images import ReadOptions, read_rgb
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, LabelMap, Provenance, Result

MAX_PIXELS = 1 << 21
_SAID_BY_OPENEXR = b"<Python Stream>: (EXR_ERR_"
"""Its library writes to standard error past Python, and offers no way to stop it."""

SIZE = (20, 24)

PICTURES: dict[str, dict[str, Any]] = {
    "PNG": {"icc_profile": True, "exif": True},
    "PNG apng": {"save_all": True},
    "PNG palette": {"mode": "P", "transparency": 3},
    "PNG 16": {"mode": "I;16"},
    "PNG bits": {"mode": "1"},
    "JPEG": {"icc_profile": True, "exif": True},
    "JPEG progressive": {"progressive": True},
    "JPEG restarting": {"restart_marker_rows": 1},
    "JPEG inks": {"mode": "CMYK"},
    "MPO": {"save_all": True},
    "WEBP": {"exif": True},
    "WEBP lossless": {"lossless": True},
    "WEBP animated": {"save_all": True},
    "GIF": {"mode": "P"},
    "GIF animated": {"mode": "P", "save_all": True},
    "TIFF": {"icc_profile": True, "exif": True},
    "TIFF pages": {"save_all": True},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "TIFF packbits": {"compression": "packbits"},
    "TIFF jpeg": {"compression": "jpeg"},
    "TIFF fax": {"compression": "group4", "mode": "1"},
    "TIFF floats": {"mode": "F"},
    "TIFF integers": {"mode": "I"},
    "TIFF lab": {"mode": "LAB"},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
    "AVIF": {"speed": 10},
    "TGA": {"compression": "tga_rle"},
    "QOI": {},
    "SGI": {},
    "PCX": {},
    "ICO": {"sizes": [(24, 20)]},
    "ICNS": {},
    "DDS": {},
    "MSP": {"mode": "1"},
    "XBM": {"mode": "1"},
    "HEIF": {"module": "pillow_heif", "opener": "register_heif_opener"},
    "JXL": {"module": "pillow_jxl"},
}


def make_picture(kind: str) -> bytes:
    options = dict(PICTURES[kind])
    mode, module, opener = (options.pop(name, None) for name in ("mode", "module", "opener"))
    if module is not None:
        try:
            plugin = importlib.import_module(module)
        except ImportError:
            return b""  # an extra that is not installed
        if opener is not None:
            getattr(plugin, opener)()
    rgb = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    images = [Image.fromarray(rgb), Image.fromarray(rgb[::-1])]
    if mode == "I;16":
        images = [Image.fromarray(rgb[..., 0].astype(np.uint16) << 8)]
    elif mode == "LAB":
        images = [ImageCms.profileToProfile(images[0], _srgb(), ImageCms.createProfile("LAB"), outputMode="LAB")]
    elif mode is not None:
        images = [image.convert(mode) for image in images]
    if options.get("save_all"):
        options["append_images"] = images[1:]
    if options.get("icc_profile"):
        options["icc_profile"] = ImageCms.ImageCmsProfile(_srgb()).tobytes()
    if options.get("exif"):
        exif = Image.Exif()
        exif[0x0112] = 6
        exif.get_ifd(0x8769).update({0x920A: 35.0, 0xA20E: 4000.0})
        options["exif"] = exif.tobytes()
    file = BytesIO()
    images[0].save(file, kind.partition(" ")[0], **options)
    return file.getvalue()


def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


class _Source:
    name = "rooms/a.jpg"

    def read_colors(self) -> Any:
        return np.full((*SIZE, 3), 128, np.uint8)


def make_result(kind: DepthKind = DepthKind.METRIC) -> Result:
    values = np.random.default_rng(0).uniform(1, 9, SIZE).astype(np.float32)
    valid = np.ones(SIZE, np.bool_)
    valid[:3, :4] = False
    provenance = Provenance("mini", "ab" * 32, limit_m=10.0, network_size=(32, 32), source_bytes=9)
    depth = DepthMap(values, kind, valid, 10.0 if kind.is_metric else None)
    return Result(depth, _Source(), provenance, Intrinsics(20, 20, 12, 10), uncertainty=values / 10)


def _own(name: str) -> bytes:
    return make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(make_result()).data


def _labels(name: str) -> bytes:
    labels = np.random.default_rng(0).integers(0, 4, SIZE, np.uint8)
    return make_label_writer(name).encode(Result(LabelMap(labels, ("a", "b", "c", "d")), _Source())).data


def _saved(write: Callable[..., Any], dtype: str, **options: Any) -> bytes:
    file = BytesIO()
    write(file, np.random.default_rng(0).uniform(1, 200, SIZE).astype(dtype), **options)
    return file.getvalue()


def _pillow(file: BytesIO, array: Any, kind: str, **options: Any) -> None:
    Image.fromarray(array).save(file, kind, **options)


def _savez(file: BytesIO, array: Any) -> None:
    np.savez_compressed(file, depth=array)


def _exr() -> bytes:
    file = BytesIO()
    with OpenEXR.File({}, dict.fromkeys(("R", "G", "B", "A", "Z"), np.ones(SIZE, np.float16))) as exr:
        exr.write(file)
    return file.getvalue()


DEPTHS: dict[str, Callable[[], bytes]] = {
    **{name: partial(_own, name) for name in FORMATS},
    **{f"{name} of labels": partial(_labels, name) for name in LABEL_FORMATS},
    "uncertainty": lambda: Uncertainty().encode(make_result()).data,
    "npy of doubles": partial(_saved, np.save, "f8"),
    "npz of shorts": partial(_saved, _savez, "u2"),
    "png of shorts": partial(_saved, _pillow, "u2", kind="PNG"),
    "png of bytes": partial(_saved, _pillow, "u1", kind="PNG"),
    "tiff of shorts": partial(_saved, _pillow, "u2", kind="TIFF"),
    "tiff of floats, lzw": partial(_saved, _pillow, "f4", kind="TIFF", compression="tiff_lzw"),
    "exr of halves": _exr,
}
NAMES = (*PICTURES, *DEPTHS)


@cache
def encoded(name: str) -> bytes:
    return make_picture(name) if name in PICTURES else DEPTHS[name]()


def read_picture(data: bytes, number: int) -> None:
    options = ReadOptions(
        MAX_PIXELS,
        orientation="exif" if number % 3 else "ignore",
        frame=int(number % 7 == 0),
        allow_truncated=number % 5 == 0,
    )
    read_rgb(data, options, at_least=(8, 8) if number % 4 == 0 else None)


def read_depth_file(data: bytes, number: int) -> None:
    is_depth_file(data)
    is_own_output(data)
    scale, kind = (None, 1000.0)[number % 2], tuple(DepthKind)[number // 2 % 4]
    for read in (
        read_record,
        partial(read_depth, depth_scale=scale, kind=kind, max_pixels=MAX_PIXELS),
        partial(DepthSummary.of, depth_scale=scale, max_pixels=MAX_PIXELS),
        partial(read_labels, max_pixels=MAX_PIXELS),
        partial(read_uncertainty, max_pixels=MAX_PIXELS),
    ):
        try:
            read(data)
        except InputError:
            continue


@cache
def _standard_error() -> Any:
    """A file in place of this process's standard error, for what libraries write there."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process runs
    os.dup2(file.fileno(), 2)
    return file


def read_mutant(number: int) -> str:
    """Read a mutant as a picture or as depth; returns what came out, or what was said to standard error."""
    written = _standard_error()
    name = NAMES[number % len(NAMES)]
    data = mutate(encoded(name), number)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            (read_picture if name in PICTURES else read_depth_file)(data, number)
            outcome = "ok"
        except InputError as error:
            outcome = error.code.value
    if warned:
        outcome = f"{name} warned: {warned[0].message}"
    if os.fstat(2).st_size:
        os.lseek(2, 0, os.SEEK_SET)
        lines = [line for line in written.read().splitlines() if not line.startswith(_SAID_BY_OPENEXR)]
        outcome = f"{name} said: {lines}" if lines else outcome
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
    return outcome
