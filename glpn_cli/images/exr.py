"""OpenEXR files: headers, and channels in and out.

Headers are read here: folder scans tell depth from pictures by them, and sizes are checked before anything is laid out,
which the library does not do. Pixels are read and written by the library OpenEXR, from the extra `exr`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.images.formats import check_pixels
from glpn_cli.images.pixel_modes import strips

SIGNATURE = b"\x76\x2f\x31\x01"
_START = 8
_LONGEST_NAME = 255
_MAX_HEADER = 1 << 20
# The most rows that a compression puts into one block, which is unpacked with all of its channels.
_BLOCK_ROWS = 256
_LARGE_TILE = 1 << 22
_BYTES_PER_PIXEL = 16
_LARGE_BLOCK = 1 << 28
_MOST_HIDDEN = 4
"""A picture may store so many times the pixels that it shows."""
_INSTALL = "Run: pip install 'glpn-cli[exr]'"


@dataclass(frozen=True)
class ExrHeader:
    """The header of an OpenEXR file: of its first part, where there are several.

    attributes:  name -> (type, raw value), in the file's order
    is_complete: whether the header ends within the bytes that were given
    """

    attributes: Mapping[str, tuple[str, bytes]]
    is_complete: bool

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels."""
        raw = self._value("channels", "chlist")
        names = []
        at = 0
        while (stop := raw.find(b"\0", at)) > at and stop + 17 <= len(raw):
            names.append(raw[at:stop].decode("latin-1"))
            at = stop + 17
        return tuple(names)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the picture, by its display window. Raises InputError where the header gives no size."""
        return self.stored_size if self.place is None else self._size_of("displayWindow")

    @property
    def stored_size(self) -> tuple[int, int]:
        """(H, W) of the pixels that are stored: programs leave out what is empty, or keep more than is shown."""
        return self._size_of("dataWindow")

    @property
    def place(self) -> tuple[int, int] | None:
        """(row, column) of the first stored pixel in the picture, below 0 outside; None where they are the picture."""
        if "displayWindow" not in self.attributes or self._window("displayWindow") == self._window("dataWindow"):
            return None
        (left, top, *_), (shown_left, shown_top, *_) = self._window("dataWindow"), self._window("displayWindow")
        return top - shown_top, left - shown_left

    def _size_of(self, window: str) -> tuple[int, int]:
        left, top, right, bottom = self._window(window)
        height, width = bottom - top + 1, right - left + 1
        if height < 1 or width < 1:
            raise InputError(f"the EXR file is damaged: its size is {width}x{height}")
        return height, width

    def _window(self, name: str) -> tuple[int, int, int, int]:
        raw = self._value(name, "box2i")
        left, top, right, bottom = struct.unpack("<4i", raw) if len(raw) == 16 else (0, 0, -1, -1)
        return left, top, right, bottom

    @property
    def texts(self) -> dict[str, str]:
        """The attributes that are text."""
        return {name: raw.decode("latin-1") for name, (kind, raw) in self.attributes.items() if kind == "string"}

    @property
    def is_picture(self) -> bool:
        """Whether there are channels R, G and B."""
        return {"R", "G", "B"} <= set(self.channels)

    def check(self, max_pixels: int) -> None:
        """Raise InputError where the pixels need more memory than `max_pixels` allows, or the header is damaged."""
        if not self.is_complete or not self.channels:
            raise InputError("the EXR file is damaged or cut short: its header does not end")
        height, width = self.stored_size
        for size in (self.size, self.stored_size):
            check_pixels(size, max_pixels, label="the EXR file")
        block = 4 * width * min(height, _BLOCK_ROWS) * len(self.channels)
        tile = self._value("tiles", "tiledesc")[:8]
        tile_width, tile_height = struct.unpack("<II", tile) if len(tile) == 8 else (0, 0)
        if block > max(_BYTES_PER_PIXEL * max_pixels, _LARGE_BLOCK) or tile_width * tile_height > max(
            height * width, _LARGE_TILE
        ):
            raise InputError("the EXR file's blocks or tiles are too large", code=ErrorCode.TOO_LARGE)

    def _value(self, name: str, kind: str) -> bytes:
        found, raw = self.attributes.get(name, ("", b""))
        return raw if found == kind else b""

    @classmethod
    def read(cls, head: bytes) -> ExrHeader:
        """Read the header from the first bytes of a file; attributes that are cut off are left out."""
        attributes: dict[str, tuple[str, bytes]] = {}
        at = _START
        while at < len(head):
            if head[at] == 0:
                return cls(attributes, is_complete=True)
            name, at = _read_name(head, at)
            kind, at = _read_name(head, at)
            if at < 0 or at + 4 > len(head) or name in attributes:
                break
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
            if at + length > len(head):
                break
            attributes[name] = (kind, head[at : at + length])
            at += length
        return cls(attributes, is_complete=False)


def _read_name(head: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends; -1 where it does not."""
    end = head.find(b"\0", at, at + _LONGEST_NAME + 1) if at >= 0 else -1
    return ("", -1) if end < 0 else (head[at:end].decode("latin-1"), end + 1)


def read_channels(stream: IO[bytes], names: Sequence[str], *, max_pixels: int) -> list[NDArray[np.float32]]:
    """Read some channels, each float32 (H, W), from a seekable stream; 0 where the picture shows what is not stored.

    Raises InputError for damaged files, for those with more than `max_pixels`, and without the library.
    """
    stream.seek(0)
    header = ExrHeader.read(stream.read(_MAX_HEADER))
    header.check(max_pixels)
    try:
        library = _load_library()
    except ImportError as error:
        raise InputError(
            "reading an EXR file needs the library OpenEXR", hint=_INSTALL, code=ErrorCode.UNSUPPORTED
        ) from error
    stream.seek(0)
    try:
        # The newer class, File, reads every channel, and prints what is wrong to standard output instead of raising it.
        import Imath

        file = library.InputFile(stream)
        planes = file.channels(list(names), Imath.PixelType(Imath.PixelType.FLOAT))
        stored = [np.frombuffer(plane, np.float32).reshape(header.stored_size) for plane in planes]
        return [_lay_out(each, header) for each in stored]
    except Exception as error:
        raise InputError(f"the EXR file is damaged, or of a kind that cannot be read: {error}") from error


def _lay_out(stored: NDArray[np.float32], header: ExrHeader) -> NDArray[np.float32]:
    """Stored pixels where they lie in the picture."""
    if header.place is None:
        return stored
    laid = np.zeros(header.size, np.float32)
    row, column = header.place
    height, width = laid.shape
    seen = stored[max(0, -row) : max(0, height - row), max(0, -column) : max(0, width - column)]
    row, column = max(0, row), max(0, column)
    laid[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
    return laid


def encode_channels(channels: Mapping[str, NDArray[np.float32]], *, text: Mapping[str, str]) -> bytes:
    """An EXR file of channels float32 (H, W), with `text` (ASCII) as attributes, sorted by name. No time stamp."""
    library = _load_library()
    header = {**text, "compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    stream = BytesIO()
    with library.File(header, dict(channels), num_threads=0) as file:
        file.write(stream)
    return stream.getvalue()


def check_library() -> None:
    """Raise UsageError where files cannot be written, because the library is not installed."""
    try:
        _load_library()
    except ImportError as error:
        raise UsageError("exr needs the library OpenEXR", hint=_INSTALL, code=ErrorCode.UNSUPPORTED) from error


def _load_library() -> ModuleType:
    import OpenEXR

    module: ModuleType = OpenEXR
    return module


class ExrImageFile(ImageFile.ImageFile):
    """A picture for Pillow: linear light of any brightness becomes 8-bit sRGB, and white is where light is 1.

    Its channels are R, G, B and perhaps A; primaries are taken for those of sRGB.
    """

    format = "EXR"
    format_description = "OpenEXR"

    def _open(self) -> None:
        assert self.fp is not None
        header = ExrHeader.read(self.fp.read(_MAX_HEADER))
        if not header.is_picture:
            found = ", ".join(header.channels) or "nothing"
            raise NotImplementedError(f"not supported: it has no channels R, G, B (found: {found})")
        height, width = header.size
        self._size = (width, height)
        self._mode = "RGBA" if "A" in header.channels else "RGB"
        self._is_decoded = False

    def load(self) -> Any:
        """Decode the pixels, once."""
        if not self._is_decoded:
            assert self.fp is not None
            most = _MOST_HIDDEN * self.width * self.height
            planes = read_channels(self.fp, tuple(self.mode), max_pixels=most)
            pixels = np.empty((*self.size[::-1], len(planes)), np.uint8)
            for rows in strips(*self.size[::-1]):
                pixels[rows] = _make_srgb(np.stack([plane[rows] for plane in planes], axis=-1))
            self._is_decoded = True
            self.fp = BytesIO(pixels.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()


def _make_srgb(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear light float32 (H, W, 3 or 4), alpha premultiplied as OpenEXR has it, as sRGB uint8 of the same shape."""
    light, alpha = linear[..., :3], linear[..., 3:]
    light = np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0)
    if alpha.size:
        alpha = np.clip(np.nan_to_num(alpha, nan=0.0), 0, 1)
        light = np.divide(light, alpha, out=np.zeros_like(light), where=alpha > 0)
    light = np.clip(light, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(255 * np.concatenate([srgb, alpha], axis=-1)).astype(np.uint8)
    return levels
