"""Formats told by their first bytes: pictures that may be opened, and other files, named with a way out.

Also the errors for what cannot be read.

Pillow knows more openers than these. Left out are those that start other programs (EPS), that stand for formats which
Pillow cannot decode by itself (PDF, WMF, FITS, GRIB, HDF5, MPEG), and those without a signature of their own, which
would take any bytes for a picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from glpn_cli.errors import ErrorCode, GlpnError, InputError, code_of, reason_of
from glpn_cli.images.picture import ReadOptions
from glpn_cli.images.pixel_modes import NoValuesError

# Enough for every signature here, the words in front of an SVG's tag included.
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format that may be opened.

    name:   Pillow's name for it.
    module: the module that registers its opener.
    extra:  what to install where that module is no part of Pillow.
    """

    name: str
    module: str
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A kind of file that is not opened: its name, and what to do about it."""

    words: str
    hint: str | None = None

    def error(self, label: str) -> InputError:
        """The error for something that is no picture that may be opened."""
        code = ErrorCode.DECODE if self is EMPTY else ErrorCode.UNSUPPORTED
        return InputError(f"{label} cannot be read as a picture: it is {self.words}", hint=self.hint, code=code)


def _pillow(name: str, module: str) -> PictureFormat:
    return PictureFormat(name, f"PIL.{module}ImagePlugin")


JPEG = _pillow("JPEG", "Jpeg")
PNG = _pillow("PNG", "Png")
TIFF = _pillow("TIFF", "Tiff")
JPEG2000 = _pillow("JPEG2000", "Jpeg2K")
AVIF = _pillow("AVIF", "Avif")
TGA = _pillow("TGA", "Tga")
HEIF = PictureFormat("HEIF", "pillow_heif", extra="heif")
JXL = PictureFormat("JXL", "pillow_jxl", extra="jxl")
ICO, CUR, ICNS = _pillow("ICO", "Ico"), _pillow("CUR", "Cur"), _pillow("ICNS", "Icns")
ICONS = (ICO, CUR, ICNS)
EXR = PictureFormat("EXR", "glpn_cli.images.exr")

_PICTURES: tuple[tuple[re.Pattern[bytes], PictureFormat], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", JPEG),
        (rb"\x89PNG\r\n\x1a\n", PNG),
        (rb"RIFF....WEBP", _pillow("WEBP", "WebP")),
        (rb"GIF8[79]a", _pillow("GIF", "Gif")),
        (rb"II[*+]\0|MM\0[*+]|II\0\*|MM\*\0", TIFF),
        (rb"BM", _pillow("BMP", "Bmp")),
        (rb"P[1-6]\s|P[Ff]\s|P[0y](CMYK|RGBA)\s", _pillow("PPM", "Ppm")),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|\r\n\x87\n", JPEG2000),
        (rb"....ftyp(avif|avis)", AVIF),
        (rb"....ftyp(heic|heix|hevc|hevx|heim|heis|hevm|hevs|mif1|msf1)", HEIF),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", JXL),
        (rb"\x76\x2f\x31\x01", EXR),
        (rb"qoif", _pillow("QOI", "Qoi")),
        (rb"8BPS", _pillow("PSD", "Psd")),
        (rb"DDS ", _pillow("DDS", "Dds")),
        (rb"\0\0\x01\0[^\0]", ICO),
        (rb"\0\0\x02\0[^\0]", CUR),
        (rb"icns", ICNS),
        (rb"\x01\xda", _pillow("SGI", "Sgi")),
        (rb"\x59\xa6\x6a\x95", _pillow("SUN", "Sun")),
        (rb"\x0a[\0\x02\x03\x05]\x01[\x01\x02\x04\x08]", _pillow("PCX", "Pcx")),
        (rb"DanM|LinS", _pillow("MSP", "Msp")),
        (rb"BLP[12]", _pillow("BLP", "Blp")),
        (rb"\s*/\* XPM \*/", _pillow("XPM", "Xpm")),
        (rb"\s*#define\s+\S+_width\s", _pillow("XBM", "Xbm")),
    )
)

EMPTY = Foreign("empty (0 bytes)")
TEXT = Foreign("a text file")
UNKNOWN = Foreign("of no format that is known here")
CAMERA_RAW = Foreign("a camera raw file", "Develop it to JPEG or TIFF first.")
_VIDEO = "a video"
_FRAMES = "Take frames out of it first. Run: ffmpeg -i VIDEO frame-%06d.png"
_RENDER = "Render it to PNG first."
_DEPTH = "It is a depth file, not a picture: paint it with glpn export."
_UNPACK = "Unpack it first."

_FOREIGN: tuple[tuple[re.Pattern[bytes], Foreign], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), Foreign(words, hint))
    for pattern, words, hint in (
        (
            rb"version https://git-lfs",
            "a git-LFS pointer, which stands for a picture that was not downloaded",
            "Run: git lfs pull",
        ),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "a web page", "Download the picture itself."),
        # Comments are taken for good (*+): there are as many ways to tell them apart as sets of them.
        (rb"(\xef\xbb\xbf)?\s*(<\?xml.*?|(<!--.*?-->\s*)*+(<!doctype svg.*?)?)<svg", "an SVG drawing", _RENDER),
        (rb"%PDF", "a PDF document", "Render its pages to PNG first."),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", _RENDER),
        (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a Windows metafile", _RENDER),
        (
            rb"....ftyp|....(moov|mdat|wide)|\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS|\0\0\x01[\xb3\xba]",
            _VIDEO,
            _FRAMES,
        ),
        (rb"YUV4MPEG2 |nut/multimedia|DKIF|\x30\x26\xb2\x75\x8e\x66\xcf\x11|\x06\x0e\x2b\x34", _VIDEO, _FRAMES),
        (rb"\x93NUMPY", "a NumPy array", _DEPTH),
        (rb"SIMPLE  =", "a FITS file", "Convert it to TIFF first."),
        (rb"\x89HDF\r\n", "an HDF5 file", "Convert it to TIFF first."),
        (rb"GRIB|BUFR", "a weather data file", None),
        (rb"gimp xcf", "a GIMP drawing", "Export it to PNG first."),
        (rb"P7\s", "a PAM picture", "Convert it to PNG first."),
        (rb"\0\x05\x16\x07", "a macOS resource file, which only goes with the picture of the same name", None),
        (rb"PK\x03\x04|PK\x05\x06", "a zip archive", _UNPACK),
        (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar", "an archive", _UNPACK),
        (rb"\x80[\x02-\x05].", "a Python pickle", None),
        (rb"\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe", "a program", None),
        (rb"(RIFF....WAVE|ID3|fLaC)", "a sound file", None),
    )
)

_CAMERA_RAW = re.compile(rb"II\*\0\x10\0\0\0CR|....ftypcrx|FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0", re.DOTALL)

_TGA_FOOTER = b"TRUEVISION-XFILE.\0"
_TGA_EXTENSIONS = (".tga", ".icb", ".vda", ".vst")


def recognise(head: bytes, *, tail: bytes = b"", name: str = "") -> PictureFormat | Foreign:
    """Recognise a file.

    head: its first bytes, `HEAD_BYTES` of them are enough.
    tail: its last 18, for the one format that signs at the end.
    name: the file's name, consulted only for Targa files, which need not be signed at all.
    """
    if not head:
        return EMPTY
    if _CAMERA_RAW.match(head):
        return CAMERA_RAW  # some begin as TIFF does
    for pattern, kind in _PICTURES:
        if pattern.match(head):
            return AVIF if kind is HEIF and _has_avif_brand(head) else kind
    for pattern, foreign in _FOREIGN:
        if pattern.match(head):
            return foreign
    if tail.endswith(_TGA_FOOTER) or name.lower().endswith(_TGA_EXTENSIONS):
        return TGA
    return TEXT if _is_text(head) else UNKNOWN


def is_video(head: bytes, *, name: str = "") -> bool:
    """Whether a file begins as a video does; `head` and `name` as for `recognise`."""
    is_transport_stream = len(head) > 188 and head[0] == head[188] == 0x47
    found = recognise(head, name=name)
    return is_transport_stream or (isinstance(found, Foreign) and found.words == _VIDEO)


def _has_avif_brand(head: bytes) -> bool:
    """Whether a file of a general still-picture brand names AVIF among the compatible ones."""
    return re.search(rb"avi[fs]", head[16 : int.from_bytes(head[:4], "big")]) is not None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


# Pillow has no classes for these; its sentences are all there is to go by.
_CUT_SHORT = re.compile(
    r"truncated|not enough|premature|unexpected end|end of (file|data)|buffer is not large|reached eof"
    r"|incomplete|only got|requires a buffer|index out of range",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unknown (pixel|raw|color|data|image)? ?(mode|layout|number)|not (yet )?supported|unsupported|not installed"
    r"|cannot (handle|decode)|not implemented|unimplemented|support not",
    re.IGNORECASE,
)


def unreadable_error(label: str, error: OSError) -> InputError:
    """The error for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{label} does not exist", code=ErrorCode.NOT_FOUND)
    if isinstance(error, IsADirectoryError):
        return InputError(f"{label} is a folder", code=ErrorCode.IO)
    return InputError(f"{label} cannot be read: {reason_of(error)}", code=code_of(error))


def check_pixels(size: tuple[int, int], max_pixels: int, *, label: str) -> None:
    """Raise InputError (E_TOO_LARGE) where (H, W) is more than `max_pixels`."""
    height, width = size
    if height * width > max_pixels:
        raise InputError(
            f"{label} has {height * width:,} pixels ({width}x{height}), more than the {max_pixels:,} allowed",
            hint=f"Allow it with --max-pixels {height * width}.",
            code=ErrorCode.TOO_LARGE,
        )


@contextmanager
def wrap_decode_errors(kind: PictureFormat, label: str, options: ReadOptions) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError that says what is wrong with the picture."""
    try:
        yield
    except GlpnError:
        raise
    except Exception as error:
        raise _decode_error(error, kind, label, options) from error


def _decode_error(error: Exception, kind: PictureFormat, label: str, options: ReadOptions) -> InputError:
    """The error to tell for an exception out of a decoder."""
    if isinstance(error, OSError) and error.errno:
        return InputError(f"{label} cannot be read: {reason_of(error)}", code=code_of(error))
    if isinstance(error, MemoryError):
        hint = "Refuse such pictures with --max-pixels."
        return InputError(f"{label} does not fit into memory", hint=hint, code=ErrorCode.OUT_OF_MEMORY)
    if isinstance(error, Image.DecompressionBombError):
        return InputError(
            f"{label} would unpack to more pixels than any {kind.name} picture may have", code=ErrorCode.TOO_LARGE
        )
    if isinstance(error, NoValuesError):
        return InputError(f"{label} has no picture in it: {error}", code=ErrorCode.UNSUPPORTED)
    reason = str(error) or type(error).__name__
    if "data too large" in reason.lower():
        return InputError(f"{label} carries more text than is sensible: {reason}", code=ErrorCode.TOO_LARGE)
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(reason):
        return InputError(
            f"{label} is a {kind.name} picture of a kind that cannot be read: {reason}",
            hint="Save it as a plain 8-bit PNG with another program.",
            code=ErrorCode.UNSUPPORTED,
        )
    if isinstance(error, EOFError | IndexError | struct.error) or _CUT_SHORT.search(reason):
        way_out = None if options.allow_truncated else "Take what is there with --allow-truncated."
        return InputError(f"{label} is cut short: {reason}", hint=way_out)
    return InputError(f"{label} is a damaged or incomplete {kind.name} picture: {reason}")
