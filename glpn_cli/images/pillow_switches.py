"""Pillow's process-wide switches, set while our reads run and put back when the last of them ends, whatever the thread.

Python's own `catch_warnings` cannot do this: it is not safe across threads.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

_FILTER = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)

_lock = threading.Lock()
_readers = 0
_granted: list[int] = []
_usual_limit: int | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings (bombs, odd metadata, palettes) are told in our words or not at all, and never exceptions."""
    global _readers  # noqa: PLW0603 (it guards a list that is the process's)
    with _lock:
        _readers += 1
        # Asked each time, because someone else's catch_warnings may have undone it meanwhile.
        if _FILTER not in warnings.filters:
            warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                with suppress(ValueError):
                    warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]  # typeshed: a read-only sequence


@contextmanager
def granted(pixels: int) -> Iterator[None]:
    """Pillow decodes pictures of so many pixels, which our own limit has let pass; by itself it checks again."""
    global _usual_limit  # noqa: PLW0603 (as above)
    with _lock:
        if not _granted:
            _usual_limit = Image.MAX_IMAGE_PIXELS
        _granted.append(pixels)
        _set_limit()
    try:
        yield
    finally:
        with _lock:
            _granted.remove(pixels)
            _set_limit()


def _set_limit() -> None:
    Image.MAX_IMAGE_PIXELS = None if _usual_limit is None else max([_usual_limit, *_granted])
