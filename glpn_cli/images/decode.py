"""From the bytes of any picture to upright 8-bit sRGB, or a clear InputError."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import BinaryIO

from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images.content import CAMERA_RAW, HEAD_BYTES, JPEG, JPEG2000, PNG, TIFF, Foreign, PictureFormat, recognise
from glpn_cli.images.picture import TINY, AtLeast, Picture, PictureWarning, ReadOptions
from glpn_cli.images.pillow_switches import granted, quiet
from glpn_cli.images.pixel_modes import flatten
from glpn_cli.images.png_chunks import check_pixel_chunks
from glpn_cli.images.refusals import explained, refuse_foreign

# Where more frames than one mean that something is left out: not so in icons, layered drawings, and photographs with
# a second picture for stereo or brightness.
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "TIFF", "HEIF", "JXL"})

# The largest picture that Pillow decodes by its own rules.
_PILLOW_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)

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
    kind = _recognise(stream, label=label, name=name)
    with quiet(), explained(kind, label, options), closing(_open(stream, kind, label)) as image:
        warnings = []
        _check_pixels(image, options, label)
        _select_frame(image, options, label)
        if image.format in _ANIMATED and getattr(image, "is_animated", False):
            warnings.append(PictureWarning.ANIMATED)
        shrunk_from = _shrink(image, at_least, options) if at_least is not None and kind is JPEG else None

        # Asked before decoding, since Pillow turns this one format itself and forgets how.
        turned_by_pillow = _orientation(image) if kind is TIFF and options.orientation == "ignore" else 1
        if _load(image, stream, kind, options):
            warnings.append(PictureWarning.TRUNCATED)
        _check_pixels(image, options, label)

        focal = _focal_35mm(image)
        upright: Image.Image = image
        if options.orientation == "exif":
            with _metadata_may_be_broken():
                ImageOps.exif_transpose(image, in_place=True)
        elif turned_by_pillow in _TURN_BACK:
            upright = image.transpose(_TURN_BACK[turned_by_pillow])

        flat = flatten(upright, opened=image)
        height, width, _ = flat.rgb.shape
        full_size = shrunk_from or (height, width)
        if min(full_size) < TINY:
            warnings.append(PictureWarning.TINY)
    return Picture(flat.rgb, full_size, flat.valid, focal, (*warnings, *flat.warnings))


def adopt(image: Image.Image) -> Picture:
    """The picture in an image that somebody else opened or made with Pillow; the image stays as it is.

    Raises InputError as `decode` does: Pillow reads a file's pixels only when they are asked for.
    """
    filename = getattr(image, "filename", "")
    label = f"the image {filename!r}" if filename else "the image"
    if 0 in image.size:
        raise InputError(f"{label} has no pixels: it is {image.width}x{image.height}")
    with quiet(), explained(PictureFormat(image.format or image.mode, ""), label, ReadOptions()):
        image.load()
        focal = _focal_35mm(image)
        upright = None
        with _metadata_may_be_broken():
            upright = ImageOps.exif_transpose(image)
        flat = flatten(upright or image.copy(), opened=image)
    return Picture(flat.rgb, flat.rgb.shape[:2], flat.valid, focal, flat.warnings)


def _recognise(stream: BinaryIO, *, label: str, name: str) -> PictureFormat:
    """The format, which is one that may be opened."""
    head = stream.read(HEAD_BYTES)
    end = stream.seek(0, 2)
    stream.seek(max(0, end - 32))
    found = recognise(head, tail=stream.read(), name=name)
    stream.seek(0)
    if isinstance(found, Foreign):
        raise refuse_foreign(found, label)
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
    if kind.name not in Image.OPEN:
        module.register_heif_opener()  # pillow_heif's, which waits to be asked
    # Not Image.open, which has a limit of its own for the number of pixels. Without a file name nothing is mapped into
    # memory, where a file that shrinks meanwhile would kill the process.
    factory, _ = Image.OPEN[kind.name]
    image: ImageFile = factory(stream, "")
    if kind is TIFF:
        tags = getattr(image, "tag_v2", {})
        if _DNG_VERSION in tags or (_SUB_IFDS in tags and int(tags.get(_SUBFILE_TYPE, 0)) & 1):
            raise refuse_foreign(CAMERA_RAW, label)
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
        _check_pixels(image, options, label)  # each may be larger than the one before, and is decoded for the next


def _check_pixels(image: Image.Image, options: ReadOptions, label: str) -> None:
    width, height = image.size
    if width * height > options.max_pixels:
        raise InputError(
            f"{label} has {width * height:,} pixels ({width}x{height}), more than the {options.max_pixels:,} allowed",
            hint=f"Allow it with --max-pixels {width * height}.",
            code=ErrorCode.TOO_LARGE,
        )


def _shrink(image: ImageFile, at_least: AtLeast, options: ReadOptions) -> tuple[int, int] | None:
    """Have JPEG's decoder leave out pixels that nobody will miss; returns the upright full (H, W) if it does."""
    width, height = image.size
    turned = options.orientation == "exif" and _orientation(image) in _TURNED
    full_size = (width, height) if turned else (height, width)
    enough = at_least(full_size) if callable(at_least) else at_least
    if enough is None:
        return None
    image.draft(None, enough if turned else enough[::-1])
    return None if image.size == (width, height) else full_size


def _load(image: ImageFile, stream: BinaryIO, kind: PictureFormat, options: ReadOptions) -> bool:
    """Decode the pixels; says whether some are missing, which only `allow_truncated` lets pass.

    Pillow's own switch for this, LOAD_TRUNCATED_IMAGES, is process-wide and would let other threads' pictures pass too.
    """
    missing: list[bool] = []
    if options.allow_truncated and kind is JPEG:
        _end_when_cut_short(image, missing)
    width, height = image.size
    try:
        with granted(width * height) if width * height > _PILLOW_PIXELS else nullcontext():
            image.load()
        if kind is JPEG2000 and not _has_end_of_codestream(stream):
            raise EOFError("its data has no end")  # noqa: TRY301 (told like what the decoders notice themselves)
        if kind is PNG:
            check_pixel_chunks(stream)
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


def _has_end_of_codestream(stream: BinaryIO) -> bool:
    """Whether JPEG 2000's end marker is there: its decoder takes a stream that ends before the first tile for grey."""
    end = stream.seek(0, 2)
    for start in (max(0, end - 65536), 0):
        stream.seek(start)
        if b"\xff\xd9" in stream.read():
            return True
    return False


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
    """EXIF's FocalLengthIn35mmFilm, mm; 0 there means that the camera does not know."""
    focal = 0.0
    with _metadata_may_be_broken():
        focal = float(image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
    return focal if 0 < focal < math.inf else None


@contextmanager
def _metadata_may_be_broken() -> Iterator[None]:
    """Go on without metadata that cannot be parsed: the pixels are fine."""
    try:
        yield
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (whatever a parser of foreign bytes trips over)
        return
