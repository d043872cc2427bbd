"""For worker processes that import this: arrays in .npy files end the process that reads them."""

from __future__ import annotations

import os
import signal
from typing import Any

from glpn_cli.depth_files import npy


def decode_array(data: bytes, **how: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


npy.decode_array = decode_array
