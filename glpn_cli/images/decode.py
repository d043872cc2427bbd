"""From the bytes of any picture to upright 8-bit sRGB, or a clear InputError."""

from __future__ import annotations

import ctypes
import importlib
import logging
import math
import re
import struct
import threading
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cache
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageOps, _imaging
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.completeness import check_jpeg, check_jpeg2000, check_png, check_tiff
from glpn_cli.images.exr import ExrImageFile
from glpn_cli.images.formats import (
    CAMERA_RAW,
    EXR,
    HEAD_BYTES,
    HEIF,
    ICONS,
    JPEG,
    JPEG2000,
    PNG,
    TIFF,
    Foreign,
    PictureFormat,
    check_pixels,
    recognise,
    wrap_decode_errors,
)
from glpn_cli.images.picture import TINY, AtLeast, ContentId, Picture, PictureWarning, ReadOptions
from glpn_cli.images.pixel_modes import flatten

# Where more frames than one mean that something is left out: not so in icons, layered drawings, and photographs with
# a second picture for stereo or brightness.
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "TIFF", "HEIF", "JXL"})

# The largest picture that Pillow decodes by its own rules.
_PILLOW_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)

# A quarter of white, for colours of 16 bits, which Pillow brings to 8.
_DARK_FROM_16 = 64

# Orientations that exchange width and height, and how to take each back.
_TURNED = frozenset({5, 6, 7, 8})
_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# EXIF's units of a sensor's resolution in millimetres, and the diagonals that sensors have: phones to medium format.
_SENSOR_UNITS_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SENSORS_MM = (2.0, 90.0)
# Cameras round the sides that they write by some pixels.
_SHAPES_DIFFER = 0.02

# TIFF's NewSubfileType, SubIFDs and DNGVersion: a reduced first page with the real one below it is a camera's.
_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706


def decode(
    stream: BinaryIO, options: ReadOptions, *, label: str, name: str, at_least: AtLeast | None = None
) -> Picture:
    """Read one picture from a seekable stream, which may be closed afterwards.

    label:    what error messages call it.
    name:     its file name, for the one format without a signature.
    at_least: how few pixels will do; only JPEG makes use of it.

    Raises InputError with the code that says why not.
    """
    content = ContentId.of(stream)  # first: decoders may close the stream
    kind = _recognise(stream, label=label, name=name)
    with _quiet_pillow(), wrap_decode_errors(kind, label, options):
        if kind in ICONS:
            _check_icon(stream, options, label)  # Pillow decodes them as it opens them
        with closing(_open(stream, kind, label)) as image:
            _check_pixels(image.size, options, label)
            _select_frame(image, options, label)
            is_animated = image.format in _ANIMATED and getattr(image, "is_animated", False)
            enough = at_least if kind is JPEG else None
            shrunk_from = _shrink(image, enough, options)
            has_colors_of_16_bits = image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)
            if has_colors_of_16_bits and options.white is not None:
                raise InputError(
                    f"{label} has colours of 16 bits, of which only the upper 8 are read: --white is for greys",
                    hint="Stretch it to its full range with another program first.",
                    code=ErrorCode.UNSUPPORTED,
                )
            # Asked before decoding: Pillow turns TIFFs itself and forgets how.
            turned_by_pillow = _orientation(image) if kind is TIFF and options.orientation == "ignore" else 1
            is_short = _load(image, stream, kind, options, enough)
            _check_pixels(image.size, options, label)

            focal, is_panorama = _focal_35mm(image), b":ProjectionType" in _xmp(image)
            is_cropped = _is_cropped(image, shrunk_from or image.size[::-1])
            upright: Image.Image = image
            if options.orientation == "exif":
                with _metadata_may_be_broken():
                    ImageOps.exif_transpose(image, in_place=True)
            elif turned_by_pillow in _TURN_BACK:
                upright = image.transpose(_TURN_BACK[turned_by_pillow])
            flat = flatten(upright, opened=image, white=options.white)

    full_size = shrunk_from or flat.full_size
    found = {
        PictureWarning.ANIMATED: is_animated,
        PictureWarning.TRUNCATED: is_short,
        PictureWarning.PANORAMA: is_panorama,
        PictureWarning.CROPPED: focal is not None and is_cropped,
        PictureWarning.TINY: min(full_size) < TINY,
        PictureWarning.DARK: has_colors_of_16_bits and 0 < flat.rgb.max() < _DARK_FROM_16,
    }
    warnings = (warning for warning, is_so in found.items() if is_so)
    told = (*warnings, *flat.warnings)
    return replace(flat, full_size=full_size, focal_35mm=focal, warnings=told, content=content)


def from_pillow(image: Image.Image) -> Picture:
    """Make a picture of an image that a caller opened or made with Pillow; the image stays as it is.

    Raises InputError as `decode` does: Pillow reads a file's pixels only when they are asked for.
    """
    filename = getattr(image, "filename", "")
    label = f"the image {filename!r}" if filename else "the image"
    if 0 in image.size:
        raise InputError(f"{label} has no pixels: it is {image.width}x{image.height}")
    with _quiet_pillow(), wrap_decode_errors(PictureFormat(image.format or image.mode, ""), label, ReadOptions()):
        image.load()
        focal = _focal_35mm(image)
        upright = None
        with _metadata_may_be_broken():
            upright = ImageOps.exif_transpose(image)
        return replace(flatten(upright or image.copy(), opened=image), focal_35mm=focal)


def _recognise(stream: BinaryIO, *, label: str, name: str) -> PictureFormat:
    """The format, which is one that may be opened."""
    head = stream.read(HEAD_BYTES)
    end = stream.seek(0, 2)
    stream.seek(max(0, end - 32))
    found = recognise(head, tail=stream.read(), name=name)
    stream.seek(0)
    if isinstance(found, Foreign):
        raise found.error(label)
    return found


def _open(stream: BinaryIO, kind: PictureFormat, label: str) -> ImageFile:
    """Let the one opener of the format read the header; no other opener sees the bytes."""
    try:
        module = importlib.import_module(kind.module)
    except ImportError as error:
        raise InputError(
            f"{label} is a {kind.name} picture, which needs more than is installed",
            hint=f"Run: pip install 'glpn-cli[{kind.extra}]'" if kind.extra else "Reinstall Pillow.",
            code=ErrorCode.UNSUPPORTED,
        ) from error
    if kind is HEIF and kind.name not in Image.OPEN:
        module.register_heif_opener()  # pillow_heif's, which waits to be asked
    # Not Image.open, which has a limit of its own for the number of pixels. Without a file name nothing is mapped into
    # memory, where a file that shrinks meanwhile would kill the process.
    factory = ExrImageFile if kind is EXR else Image.OPEN[kind.name][0]
    image: ImageFile = factory(stream, "")
    if kind is TIFF:
        silence_libtiff()
        tags = getattr(image, "tag_v2", {})
        if _DNG_VERSION in tags or (_SUB_IFDS in tags and int(tags.get(_SUBFILE_TYPE, 0)) & 1):
            raise CAMERA_RAW.error(label)
    return image


def _select_frame(image: ImageFile, options: ReadOptions, label: str) -> None:
    if options.frame == 0:
        return
    count = getattr(image, "n_frames", 1)
    if options.frame >= count:
        has = f"{count} frames" if count > 1 else "one frame"
        message = f"{label} has no frame {options.frame}: it has {has}, counted from 0"
        raise InputError(message, hint="Choose another with --frame.", code=ErrorCode.USAGE)
    for frame in range(1, options.frame + 1):
        image.seek(frame)
        _check_pixels(image.size, options, label)  # each may be larger than the one before, and is decoded for the next


def _check_pixels(size: tuple[int, int], options: ReadOptions, label: str) -> None:
    check_pixels((size[1], size[0]), options.max_pixels, label=label)


def _check_icon(stream: BinaryIO, options: ReadOptions, label: str) -> None:
    """Check the pictures inside an ICO, CUR or ICNS file, whose own headers may say more than the directory."""
    head = stream.read(6)
    starts = []
    if head.startswith(b"icns"):
        at, end = 8, stream.seek(0, 2)
        while 0 < at < end:
            stream.seek(at + 4)
            starts.append(at + 8)
            at = at + length if (length := int.from_bytes(stream.read(4), "big")) else end
    else:
        directory = stream.read(16 * int.from_bytes(head[4:6], "little"))
        starts = [int.from_bytes(directory[at + 12 : at + 16], "little") for at in range(0, len(directory), 16)]
    for start in starts:
        stream.seek(start)
        inner = stream.read(128)
        if inner.startswith(b"\x89PNG") and len(inner) >= 24:
            _check_pixels(struct.unpack_from(">II", inner, 16), options, label)
        elif (found := inner.find(b"ihdr")) >= 0 and len(inner) >= found + 12:
            height, width = struct.unpack_from(">II", inner, found + 4)
            _check_pixels((width, height), options, label)
        elif inner.startswith(b"\x28\0\0\0") and len(inner) >= 12:
            width, height = struct.unpack_from("<ii", inner, 4)
            _check_pixels((abs(width), abs(height) // 2), options, label)
    stream.seek(0)


def _shrink(image: ImageFile, at_least: AtLeast | None, options: ReadOptions) -> tuple[int, int] | None:
    """Have JPEG's decoder leave out pixels that are not needed; returns the upright full (H, W) if it does."""
    if at_least is None:
        return None
    width, height = image.size
    turned = options.orientation == "exif" and _orientation(image) in _TURNED
    full_size = (width, height) if turned else (height, width)
    enough = at_least(full_size) if callable(at_least) else at_least
    if enough is None:
        return None
    image.draft(None, enough if turned else enough[::-1])
    return None if image.size == (width, height) else full_size


def _load(
    image: ImageFile, stream: BinaryIO, kind: PictureFormat, options: ReadOptions, at_least: AtLeast | None
) -> bool:
    """Decode the pixels; says whether some are missing, which only `allow_truncated` lets pass.

    Pillow's own switch for this, LOAD_TRUNCATED_IMAGES, is process-wide and would let other threads' pictures pass too.
    """
    missing: list[bool] = []
    if options.allow_truncated and kind is JPEG:
        _end_when_cut_short(image, missing)
    width, height = image.size
    try:
        with _allowed_pixels(width * height) if width * height > _PILLOW_PIXELS else nullcontext():
            image.load()
        if kind is JPEG2000:
            check_jpeg2000(stream)
        if kind is PNG and not image.tell():
            check_png(stream, image)
        if kind is TIFF and not image.tell():
            check_tiff(stream, image)
        if kind is JPEG and not missing and not image.tell():
            check_jpeg(stream, image, lambda other: _decode_jpeg(other, at_least, options))
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        if not options.allow_truncated or not _has_pixels(image) or getattr(error, "errno", None):
            raise
        image.tile = []  # what was decoded stays, and Pillow is content with it
        missing.append(True)
    return bool(missing)


def _end_when_cut_short(image: ImageFile, missing: list[bool]) -> None:
    """Tell JPEG's decoder at the end of the data that the picture ends there; it fills the rest."""
    read = image.load_read  # type: ignore[attr-defined]

    def read_or_end(size: int) -> bytes:
        data: bytes = read(size)
        if data or missing:
            return data
        missing.append(True)
        return b"\xff\xd9"

    image.load_read = read_or_end  # type: ignore[attr-defined]


def _decode_jpeg(stream: BinaryIO, at_least: AtLeast | None, options: ReadOptions) -> Image.Image:
    image = JpegImageFile(stream)
    _shrink(image, at_least, options)
    image.load()
    return image


def _has_pixels(image: ImageFile) -> bool:
    try:
        return image.im is not None
    except AssertionError:
        return False


def _orientation(image: Image.Image) -> int:
    orientation = 1
    with _metadata_may_be_broken():
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return orientation  # noqa: RET504 (of broken metadata: 1)


def _focal_35mm(image: Image.Image) -> float | None:
    """The 35 mm equivalent focal length that EXIF tells, or that follows from the lens and the sensor; mm."""
    focal = 0.0
    with _metadata_may_be_broken():
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        focal = float(exif.get(ExifTags.Base.FocalLengthIn35mmFilm, 0))  # 0: the camera does not know
        if focal <= 0:
            focal = _focal_from_sensor(exif, image.size)
    return focal if 0 < focal < math.inf else None


def _focal_from_sensor(exif: dict[int, Any], size: tuple[int, int]) -> float:
    """The 35 mm equivalent of FocalLength by the diagonal of the sensor, as the pixels per length on it tell.

    0 where the two make no sensor that cameras have.
    """
    unit_mm = _SENSOR_UNITS_MM.get(int(exif.get(ExifTags.Base.FocalPlaneResolutionUnit, 2)), 0.0)
    across = float(exif[ExifTags.Base.FocalPlaneXResolution])
    down = float(exif.get(ExifTags.Base.FocalPlaneYResolution, across))
    width = int(exif.get(ExifTags.Base.ExifImageWidth, 0)) or size[0]
    height = int(exif.get(ExifTags.Base.ExifImageHeight, 0)) or size[1]
    diagonal_mm = math.hypot(width / across * unit_mm, height / down * unit_mm)
    if not _SENSORS_MM[0] <= diagonal_mm <= _SENSORS_MM[1]:
        return 0.0
    return float(exif[ExifTags.Base.FocalLength]) * math.hypot(36, 24) / diagonal_mm


def _is_cropped(image: Image.Image, size: tuple[int, int]) -> bool:
    """Whether a picture of (H, W) has another shape than the one that its EXIF says its camera took."""
    shape = 0.0
    with _metadata_may_be_broken():
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = int(exif[ExifTags.Base.ExifImageWidth]), int(exif[ExifTags.Base.ExifImageHeight])
        shape = max(taken) / min(taken) if min(taken) > 0 else 0.0
    return shape > 0 and abs(max(size) / min(size) / shape - 1) > _SHAPES_DIFFER


def _xmp(image: Image.Image) -> bytes:
    """The picture's XMP, in which panoramas say how they are projected (GPano)."""
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return found.encode("utf-8", "replace") if isinstance(found, str) else bytes(found)


@contextmanager
def _metadata_may_be_broken() -> Iterator[None]:
    """Go on without metadata that cannot be parsed: the pixels are fine."""
    try:
        yield
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (whatever a parser of foreign bytes trips over)
        return


# Pillow's process-wide switches, set while reads run and put back when the last of them ends. `catch_warnings` cannot
# do this: it is not safe across threads.
_FILTER = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)

# Without any handler Python writes to stderr what Pillow logs of a damaged TIFF.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_lock = threading.Lock()
_readers = 0
_allowed: list[int] = []
_usual_limit: int | None = None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow's own warnings (bombs, odd metadata, palettes) from the user, in every thread."""
    global _readers  # noqa: PLW0603 (it guards a list that is the process's)
    with _lock:
        _readers += 1
        # Asked each time, because someone else's catch_warnings may have undone it meanwhile.
        if _FILTER not in python_warnings.filters:
            python_warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                with suppress(ValueError):
                    python_warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]  # typeshed: a read-only sequence


@cache
def silence_libtiff() -> None:
    """Keep libtiff from writing to stderr, past Python, what our own errors tell; for the whole process.

    Where Pillow has libtiff built in, its functions cannot be found, and nothing is changed.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


@contextmanager
def _allowed_pixels(pixels: int) -> Iterator[None]:
    """Let Pillow decode pictures of so many pixels, which our own limit has let pass."""
    global _usual_limit  # noqa: PLW0603 (as above)
    with _lock:
        if not _allowed:
            _usual_limit = Image.MAX_IMAGE_PIXELS
        _allowed.append(pixels)
        _set_limit()
    try:
        yield
    finally:
        with _lock:
            _allowed.remove(pixels)
            _set_limit()


def _set_limit() -> None:
    Image.MAX_IMAGE_PIXELS = None if _usual_limit is None else max([_usual_limit, *_allowed])
