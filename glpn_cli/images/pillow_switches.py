"""Pillow's process-wide switches, set while our reads run and put back when the last of them ends, whatever the thread.

Python's own `catch_warnings` cannot do this: it is not safe across threads.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from PIL import Image


class _WhileAnyoneReads:
    """Runs `enter` when the first thread comes and `leave` when the last one goes."""

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._enter, self._leave = enter, leave
        self._lock = threading.Lock()
        self._readers = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._readers += 1
            # Each time, because someone else's catch_warnings may have undone it meanwhile.
            self._enter()
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._readers == 0:
                    self._leave()


_FILTER = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)


def _silence() -> None:
    if _FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\b")


def _unsilence() -> None:
    # The list as it is now; typeshed calls it read-only, but undoing a filter is what it is for.
    with suppress(ValueError, AttributeError):
        warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]


_pixel_limit: list[int | None] = []


def _lift_limit() -> None:
    if Image.MAX_IMAGE_PIXELS is not None:
        _pixel_limit.append(Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None


def _restore_limit() -> None:
    if _pixel_limit:
        Image.MAX_IMAGE_PIXELS = _pixel_limit[0]
        _pixel_limit.clear()


# Pillow's warnings (bombs, odd metadata, palettes) are told in our own words or not at all, and are never exceptions.
quiet = _WhileAnyoneReads(_silence, _unsilence)

# Pillow checks sizes again while it decodes, by its own limit; used for pictures that ours has let pass.
unlimited = _WhileAnyoneReads(_lift_limit, _restore_limit)
