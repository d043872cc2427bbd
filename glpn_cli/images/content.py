"""What a file is, told from its first bytes: a picture that may be opened, or something else with a name and a way out.

Pillow knows more openers than these. Left out are those that start other programs (EPS), that stand for formats which
Pillow cannot decode by itself (PDF, WMF, FITS, GRIB, HDF5, MPEG), and those without a signature of their own, which
would take any bytes for a picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """Something that is not opened: what it is, in words, and what to do about it."""

    words: str
    hint: str | None = None


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
EXR = PictureFormat("EXR", "glpn_cli.images.exr_plugin", extra="exr")

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
        (rb"\0\0\x01\0[^\0]", _pillow("ICO", "Ico")),
        (rb"\0\0\x02\0[^\0]", _pillow("CUR", "Cur")),
        (rb"icns", _pillow("ICNS", "Icns")),
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
            "a video",
            _FRAMES,
        ),
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
    """Say what a file is.

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


def _has_avif_brand(head: bytes) -> bool:
    """Whether a file of a general still-picture brand names AVIF among the compatible ones."""
    return re.search(rb"avi[fs]", head[16 : int.from_bytes(head[:4], "big")]) is not None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
