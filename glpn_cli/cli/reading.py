"""How a command reads its pictures, from what its options say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from glpn_cli.cli.options import Orientation
from glpn_cli.errors import UsageError
from glpn_cli.images import ReadOptions

if TYPE_CHECKING:
    from glpn_cli.process_pool import Workers

ISOLATED_TIMEOUT_S = 60.0
"""How long a picture may take with `--isolate` where `--timeout` does not say."""

WORKER_MODULES = ("glpn_cli.images",)
"""What the processes import while they wait for their first picture."""

_MOST_PIXELS = ReadOptions().max_pixels

# What decoding took at most, by measurement: 41 bytes a pixel, for floats. The rest is Python and its libraries.
_BYTES_PER_PIXEL, _BYTES_BESIDES = 48, 2 << 30


def choose_reading(
    *,
    max_pixels: int,
    allow_truncated: bool,
    orientation: Orientation,
    frame: int,
    isolate: bool,
    timeout: float | None,
    processes: int = 1,
) -> ReadOptions:
    """How pictures are read; no process is started before the first of them.

    timeout:   seconds; implies `isolate`
    processes: how many pictures may be decoded at once where that is done in processes of their own

    Raises UsageError for a time that is none.
    """
    workers = choose_workers(isolate=isolate, timeout=timeout, processes=processes, max_pixels=max_pixels)
    return ReadOptions(max_pixels, orientation.value, frame, allow_truncated, workers)


def choose_workers(
    *, isolate: bool, timeout: float | None, processes: int, max_pixels: int = _MOST_PIXELS
) -> Workers | None:
    """The processes that pictures are decoded in; None where that is done in this one. See `choose_reading`."""
    if timeout is not None and not timeout > 0:
        raise UsageError(f"--timeout {timeout:g} leaves no time", hint="Give seconds, such as --timeout 30.")
    if not isolate and timeout is None:
        return None
    timeout_s = ISOLATED_TIMEOUT_S if timeout is None else timeout
    from glpn_cli.process_pool import Workers

    return Workers(
        processes,
        timeout_s=timeout_s if timeout_s < math.inf else None,
        memory_bytes=_BYTES_BESIDES + _BYTES_PER_PIXEL * max_pixels,
        modules=WORKER_MODULES,
    )
