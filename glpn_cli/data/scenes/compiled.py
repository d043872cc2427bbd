"""The one door to the compiler: kernels are plain Python functions, and numba turns them into machine code.

Modules that hold kernels (`geometry`, `textures`, `lighting`, `sensor`) import this one, so that without numba they fail
here, with the command that helps. Everything else in this folder imports them only when a picture is rendered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.errors import UsageError

try:
    import numba
except ImportError as error:
    raise UsageError(
        "rendering rooms needs numba, which is not installed", hint="pip install 'glpn-cli[train]'"
    ) from error

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def compiled(function: Kernel) -> Kernel:
    """Compile on first call, and keep the machine code beside the module for the next process."""
    kernel: Kernel = numba.njit(cache=True, fastmath=True, nogil=True, error_model="numpy")(function)
    return kernel
