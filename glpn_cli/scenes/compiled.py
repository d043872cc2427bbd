"""The one door to the compiler: kernels are plain Python functions, and numba turns them into machine code.

Modules that hold kernels (`solids`, `rays`, `textures`, `tracer` and their like) import this one, so that
without numba they fail here, with the command that helps. Everything else in this folder imports them only when a
picture is rendered.

No kernel returns an array: those that Python calls fill what they are given, and return nothing or a number. To make a
Python object of an array, numba runs Python code after the kernel; a signal that came meanwhile is heard there, its
handler raises, and numba goes on with an exception set, to a SystemError or a crash.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError

try:
    import numba
except ImportError as error:
    raise UsageError(
        "rendering rooms needs numba, which is not installed", hint="Run: pip install 'glpn-cli[train]'"
    ) from error

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Floats = NDArray[Any]
"""float64, or float32 where a picture's worth of numbers is kept."""
Integers = NDArray[np.int64]

KERNEL_FILES = (
    "compiled",
    "noise",
    "textures",
    "pictures",
    "solids",
    "rays",
    "hits",
    "world",
    "lighting",
    "shading",
    "tracer",
)


def _find_cache() -> str:
    """A folder for machine code that belongs to exactly these sources, '' for numba's own choice.

    numba asks only whether a kernel's own file has changed; one that calls into another file would keep stale code.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in KERNEL_FILES:
        digest.update((here / f"{name}.py").read_bytes())
    folder = here / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


CACHE = _find_cache()


def _compile(function: Kernel, **options: bool) -> Kernel:
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = CACHE or before
    try:
        kernel = _decorate(function, cache=True, **options)
    except RuntimeError:  # there is no folder that could hold it, neither here nor at home
        kernel = _decorate(function, cache=False, **options)
    finally:
        numba.config.CACHE_DIR = before
    return kernel


def _decorate(function: Kernel, **options: bool) -> Kernel:
    kernel: Kernel = numba.njit(fastmath=True, nogil=True, error_model="numpy", **options)(function)
    return kernel


def compiled(function: Kernel) -> Kernel:
    """Compile on first call, and keep the machine code for the next process."""
    return _compile(function)


def compiled_small(function: Kernel) -> Kernel:
    """The same for kernels that make no arrays: without counting references to those they are given.

    The counters are atomic, and were a third of a picture's time.
    """
    return _compile(function, _nrt=False)
