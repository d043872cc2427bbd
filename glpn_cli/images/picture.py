"""How pictures are read, and what a picture is once it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.options import MAX_PIXELS

if TYPE_CHECKING:
    from glpn_cli.process_pool import Workers

R = TypeVar("R")

Size = tuple[int, int]
AtLeast = Size | Callable[[Size], Size | None]
"""How few pixels of a picture will do: (h, w) of the upright picture, or what tells it from the picture's own (H, W),
None for all of them. The picture may come with fewer than it has, though no fewer than these."""

# What shows through transparent pixels: mid grey, because black reads as a surface close by.
BACKGROUND = (128, 128, 128)

# A pixel that is less than half opaque has no depth.
OPAQUE_FROM = 128

# Bytes that are hashed at once.
_PIECE = 1 << 20

# Below this the networks see next to nothing: it is their coarsest grid.
TINY = 32


class PictureWarning(StrEnum):
    """Warnings about a picture; the values are the codes in JSON records."""

    TRUNCATED = "W_TRUNCATED"
    ICC = "W_ICC"
    TINY = "W_TINY"
    ANIMATED = "W_ANIMATED"
    RANGE = "W_RANGE"
    DARK = "W_DARK"
    PANORAMA = "W_PANORAMA"
    CROPPED = "W_CROPPED"
    MORE = "W_MORE"
    OTHER_MAP = "W_OTHER_MAP"
    DEPTH_LIKE = "W_DEPTH_LIKE"

    @property
    def text(self) -> str:
        """The warning in words."""
        return _TEXTS[self]


_TEXTS = {
    PictureWarning.TRUNCATED: "the file is cut short; what is missing is blank",
    PictureWarning.ICC: "its colour profile is damaged and was ignored",
    PictureWarning.TINY: f"it is smaller than {TINY} pixels on a side; do not expect much",
    PictureWarning.ANIMATED: "it has several frames, and one of them was used (--frame N chooses)",
    PictureWarning.RANGE: "its values have no fixed range; they were stretched to black and white",
    PictureWarning.DARK: "none of its 16-bit values reaches a quarter of white; --white 4095 is for 12 bits in 16",
    PictureWarning.PANORAMA: "it is a panorama, no picture of one camera: its depths are wrong",
    PictureWarning.CROPPED: (
        "its EXIF is of a picture of another shape: if it was cropped, its focal length is another, and distances in "
        "space are wrong (--focal says it)"
    ),
    PictureWarning.OTHER_MAP: (
        "the depth map that is there was made from another picture, frame or orientation, or does not say that it is "
        "depth, and was not used"
    ),
    PictureWarning.DEPTH_LIKE: (
        "its greys of 16 bits may be a depth map, and were taken for a picture; paint depth with glpn export --as depth"
    ),
    PictureWarning.MORE: "another picture follows it in the same data, and was not read",
}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How pictures are read.

    max_pixels:      refuse pictures with more, from the header, before anything is decoded.
    orientation:     "exif" turns the picture upright as its metadata says, "ignore" takes it as stored.
    frame:           which frame or page, from 0.
    allow_truncated: take what is there of a file that is cut short, with a warning; otherwise it is an error.
    workers:         the processes to decode in; None: this one.
    white:           the value that is white in grey pictures of 16 bits: 4095 for 12 bits. None: as the file says, or
                     65535.

    Raises ValueError for anything else.
    """

    max_pixels: int = MAX_PIXELS
    orientation: Literal["exif", "ignore"] = "exif"
    frame: int = 0
    allow_truncated: bool = False
    workers: Workers | None = field(default=None, compare=False, repr=False)
    white: int | None = None

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {self.max_pixels}")
        if self.orientation not in ("exif", "ignore"):
            raise ValueError(f"orientation must be 'exif' or 'ignore', not {self.orientation!r}")
        if self.frame < 0:
            raise ValueError(f"frame must be 0 or more, not {self.frame}")
        if self.white is not None and not 1 <= self.white <= 65535:
            raise ValueError(f"white must be from 1 to 65535, not {self.white}")

    def run(self, function: Callable[..., R], *arguments: Any, about: str, **named: Any) -> R:
        """Call a function that reads a file: here, or in one of the workers (see `Workers.run`).

        about: what messages call the file
        """
        if self.workers is None:
            return function(*arguments, **named)
        return self.workers.run(function, *arguments, about=about, **named)

    @property
    def view(self) -> str | None:
        """How the picture differs from the file's first frame, upright, in its own range; None where it does not."""
        frame = f"frame {self.frame}" if self.frame else ""
        stored = "as stored" if self.orientation == "ignore" else ""
        white = "" if self.white is None else f"white {self.white}"
        return ", ".join(filter(None, (frame, stored, white))) or None


def framing_of(view: str | None) -> frozenset[str]:
    """The parts of a view that say which pixels lie where: the frame, and whether it is turned upright."""
    return frozenset(part for part in (view or "").split(", ") if part == "as stored" or part.startswith("frame "))


@dataclass(frozen=True, slots=True)
class ContentId:
    """What tells the content of one file from that of another: its size in bytes, and a hash of all of it, in hex."""

    size: int
    blake2b: str

    @classmethod
    def of(cls, stream: BinaryIO) -> ContentId:
        """Read a seekable stream to its end, and go back to its beginning."""
        stream.seek(0)
        hashed, size = hashlib.blake2b(digest_size=16), 0
        while piece := stream.read(_PIECE):
            hashed.update(piece)
            size += len(piece)
        stream.seek(0)
        return cls(size, hashed.hexdigest())


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A picture as the networks want it: upright, sRGB, 8 bit, three channels.

    rgb:         uint8 (H, W, 3); transparent parts show `BACKGROUND`, never what hides under them.
    valid:       bool (H, W), False where the picture is less than half opaque or says nothing (a NaN in a float
                 picture); None = everywhere.
    full_size:   (H, W) of the upright picture in its file; `rgb` is smaller only where fewer pixels were asked for.
    focal_35mm:  the 35 mm equivalent focal length by EXIF, in mm; None where it does not tell.
    warnings:    codes of `PictureWarning`.
    content:     the bytes that it was read from; None where there were none.
    """

    rgb: NDArray[np.uint8]
    full_size: tuple[int, int]
    valid: NDArray[np.bool_] | None = None
    focal_35mm: float | None = None
    warnings: tuple[str, ...] = ()
    content: ContentId | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of `rgb`."""
        height, width, _ = self.rgb.shape
        return height, width
