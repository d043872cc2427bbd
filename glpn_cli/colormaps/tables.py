"""The lookup tables, vendored from their sources (see NOTICE), and which of their ends is the warm one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Name -> whether the table as published runs from cold (or dark) to warm (or bright); only Spectral starts warm.
_ENDS_WARM = {
    "spectral": False,
    "turbo": True,
    "inferno": True,
    "magma": True,
    "viridis": True,
    "plasma": True,
    "cividis": True,
    "gray": True,
}
COLORMAPS: tuple[str, ...] = tuple(_ENDS_WARM)
_TABLES = Path(__file__).with_name("tables.npz")


@cache
def read_table(name: str, *, invert: bool = False) -> NDArray[np.uint8]:
    """The colours from the nearest to the farthest, uint8 (256, 3), read-only; near is warm unless `invert`."""
    with np.load(_TABLES, allow_pickle=False) as tables:
        published: NDArray[np.uint8] = tables[name]
    from_near = published[::-1] if _ENDS_WARM[name] != invert else published
    table = np.ascontiguousarray(from_near)
    table.flags.writeable = False
    return table
