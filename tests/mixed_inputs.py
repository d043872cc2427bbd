"""Folders of pictures in every format that Pillow writes and the program takes, some of them broken; and a judge.

The judge is Pillow alone, as strict as it can be: it says which files hold a whole picture, and of which size.
"""

from __future__ import annotations

import io
import os
import random
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from byte_mutator import mutate
from PIL import Image, ImageOps

from glpn_cli.images.formats import Foreign, recognise

PICTURES = Path(__file__).parents[1] / "sample_images"

EXTENSIONS = {
    "AVIF": ".avif",
    "BLP": ".blp",
    "BMP": ".bmp",
    "DDS": ".dds",
    "DIB": ".dib",
    "GIF": ".gif",
    "ICO": ".ico",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "MPO": ".mpo",
    "MSP": ".msp",
    "PCX": ".pcx",
    "PNG": ".png",
    "PPM": ".ppm",
    "QOI": ".qoi",
    "SGI": ".sgi",
    "TGA": ".tga",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "XBM": ".xbm",
}
_WAYS: dict[str, list[dict[str, Any]]] = {
    "JPEG": [{}, {"quality": 30}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}],
    "PNG": [{}, {"compress_level": 1}, {"optimize": True}],
    "TIFF": [{}, *({"compression": name} for name in ("tiff_lzw", "tiff_deflate", "packbits", "group4", "jpeg"))],
    "WEBP": [{}, {"lossless": True}, {"quality": 20}],
    "GIF": [{}, {"interlace": 0}],
    "AVIF": [{"speed": 10}, {"speed": 10, "quality": 30}],
    "JPEG2000": [{}, {"irreversible": True}],
    "TGA": [{}, {"compression": "tga_rle"}],
    "ICO": [{"sizes": [(48, 48)]}],
}
_MODES = ("RGB", "RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16", "YCbCr")
_ODDITIES = (b"", b"not a picture at all\n", b"<!DOCTYPE html><html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Mixed:
    """A file of a mixed folder.

    size: (H, W) of the upright picture where the file is as it was saved; None where it was broken
    """

    path: Path
    size: tuple[int, int] | None


def write_mixed(folder: Path, count: int, *, seed: int) -> list[Mixed]:
    """Write pictures into `folder`, every third of them broken. The same seed writes the same bytes."""
    folder.mkdir(parents=True)
    forms = list(_forms())
    chance = random.Random(seed)
    chance.shuffle(forms)
    written = []
    for index in range(count):
        form, mode, way = forms[index % len(forms)]
        data, size = _encode(form, mode, way, index % 9)
        is_broken = index % 3 == 2
        if is_broken:
            data = mutate(data, f"{seed} {index}") if chance.random() < 0.95 else chance.choice(_ODDITIES)
        path = folder / f"{index:05}{EXTENSIONS[form]}"
        path.write_bytes(data)
        os.utime(path, (1_600_000_000, 1_600_000_000))
        written.append(Mixed(path, None if is_broken else size))
    return written


def encoded_forms() -> dict[str, bytes]:
    """One file of every form that `write_mixed` writes."""
    return {f"{form} {mode} {way}": _encode(form, mode, way, 0)[0] for form, mode, way in _forms()}


def judge(path: Path) -> tuple[int, int] | None:
    """(H, W) of the upright picture in a file, as Pillow alone sees it; None where there is none, or none whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                if image.format == "PNG" and not _is_checked(path.read_bytes()):
                    return None
                upright = ImageOps.exif_transpose(image)
                upright.convert("RGB")
                return upright.height, upright.width
    except Exception:  # noqa: BLE001 - whatever Pillow trips over
        return None


def may_be_short(path: Path) -> bool:
    """Whether a file that Pillow takes for whole may lack its end: libjpeg fills up JPEG data that end early."""
    with Image.open(path) as image:
        return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"


def _is_checked(png: bytes) -> bool:
    """Whether a PNG's pixels match their checksums, of chunks and of all together, which Pillow does not look at."""
    packed, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        chunk, checksum = png[place + 4 : place + 8 + length], png[place + 8 + length : place + 12 + length]
        if chunk.startswith(b"IDAT"):
            packed += chunk[4:]
            if checksum != struct.pack(">I", zlib.crc32(chunk)):
                return False
        place += 12 + length
    unpacking = zlib.decompressobj()
    unpacking.decompress(packed)
    return unpacking.eof


def _forms() -> Iterator[tuple[str, str, int]]:
    """Every (format, mode, way of saving) that can be written and that the program says it takes."""
    for form, extension in EXTENSIONS.items():
        for mode in dict.fromkeys(_MODES):
            for way in range(len(_WAYS.get(form, [{}]))):
                try:
                    data, _ = _encode(form, mode, way, 0)
                except (OSError, ValueError, KeyError, TypeError):
                    continue
                if not isinstance(recognise(data[:4096], tail=data[-32:], name=f"x{extension}"), Foreign):
                    yield form, mode, way


@cache
def _encode(form: str, mode: str, way: int, picture: int) -> tuple[bytes, tuple[int, int]]:
    stream = io.BytesIO()
    image = _picture(picture, mode, square=form == "ICO")
    image.save(stream, form, **_WAYS.get(form, [{}])[way])
    data = stream.getvalue()
    return data, (image.height, image.width)


@cache
def _picture(number: int, mode: str, *, square: bool) -> Image.Image:
    paths: Sequence[Path] = sorted(PICTURES.glob("*.jpg"))
    size = (48, 48) if square else (64 + 8 * (number % 3), 48 + 5 * (number % 4))
    with Image.open(paths[number % len(paths)]) as image:
        small = image.convert("RGB").resize(size)
    if mode == "I;16":
        grey = small.convert("L")
        return Image.frombytes("I;16", grey.size, b"".join(bytes((value, value)) for value in grey.tobytes()))
    return small.convert(mode)
