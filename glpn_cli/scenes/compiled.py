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
    from numba.extending import register_jitable
except ImportError as error:
    raise UsageError(
        "rendering rooms needs numba, which is not installed", hint="Run: pip install 'glpn-cli[train]'"
    ) from error

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Floats = NDArray[Any]
"""float64, or float32 where a picture's worth of numbers is kept."""
Integers = NDArray[np.int64]

KERNEL_FILES = (
    "compiled vectors noise materials textures pictures solids rays hits world lighting shading tracer".split()
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


_CACHE = _find_cache()
_OPTIONS = {"fastmath": True, "error_model": "numpy"}


def compiled(function: Kernel) -> Kernel:
    """Compile on first call, and keep the machine code for the next process."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _CACHE or before
    try:
        return _compile(function, cache=True)
    except RuntimeError:  # there is no folder that could hold it, neither here nor at home
        return _compile(function, cache=False)
    finally:
        numba.config.CACHE_DIR = before


def _compile(function: Kernel, *, cache: bool) -> Kernel:
    kernel: Kernel = numba.njit(nogil=True, cache=cache, **_OPTIONS)(function)
    return kernel


def compiled_small(function: Kernel) -> Kernel:
    """A part of kernels that makes no arrays: compiled with those that call it; Python calls it as it is written.

    As a kernel of its own it would be compiled again for every constant that it is called with, and wrapped for Python
    each time: a quarter of the time until the first picture. References to arrays are not counted: the counters are
    atomic, and were a third of a picture's time.
    """
    part: Kernel = register_jitable(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return part
