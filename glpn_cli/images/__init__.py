"""Pictures: finding them, and reading any of them as upright 8-bit sRGB.

What comes out of a file:

- the first frame or page (`--frame` chooses), upright by its metadata, in sRGB whatever its colour profile;
- transparent parts flattened on mid grey, and less than half opaque pixels not valid in the depth map;
- greys of 16 bits divided by their full range (12 bits where the file says so), never clipped;
- 32-bit integers and floats, which have no range of their own, stretched between their extremes, with W_RANGE.

What does not come out is an `InputError` whose code and sentence say why.
"""

from __future__ import annotations

from glpn_cli.images.decode import from_pillow
from glpn_cli.images.find import (
    PICTURE_EXTENSIONS,
    Found,
    ListFile,
    Refused,
    Search,
    find_images,
    iterate_list,
    make_listed,
)
from glpn_cli.images.picture import BACKGROUND, AtLeast, Picture, PictureWarning, ReadOptions
from glpn_cli.images.source import ImageSource, read_rgb
from glpn_cli.images.walk import Shard, stem_of

__all__ = [
    "BACKGROUND",
    "PICTURE_EXTENSIONS",
    "AtLeast",
    "Found",
    "ImageSource",
    "ListFile",
    "Picture",
    "PictureWarning",
    "ReadOptions",
    "Refused",
    "Search",
    "Shard",
    "find_images",
    "from_pillow",
    "iterate_list",
    "make_listed",
    "read_rgb",
    "stem_of",
]
