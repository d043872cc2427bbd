"""A decoder with moods, for worker processes that import this: PPM pictures whose comment is an order to it.

    P6
    # crash SIGSEGV       ends its process so
    # sleep 300           stays in native code for so many seconds, beside a file sleeping-PID
    # once MARKER         crashes unless the file MARKER is there, which it makes

Everywhere else they are pictures like any other.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PpmImagePlugin

_ORDER = re.compile(rb"P6\n# (crash|sleep|once) (\S+)\n")


def ppm(order: str, rgb: Any) -> bytes:
    """A picture, uint8 (H, W, 3), that says how it wants to be decoded."""
    height, width, _ = rgb.shape
    return b"P6\n# %s\n%d %d\n255\n" % (order.encode(), width, height) + rgb.tobytes()


def open_moody(stream: BinaryIO, name: str) -> PpmImagePlugin.PpmImageFile:
    if order := _ORDER.match(stream.read(200)):
        _obey(*(word.decode() for word in order.groups()))
    stream.seek(0)
    return PpmImagePlugin.PpmImageFile(stream, name)


def _obey(verb: str, word: str) -> None:
    if verb == "sleep":
        Path(f"sleeping-{os.getpid()}").touch()
        ctypes.PyDLL(None).sleep(int(word))
    elif verb == "once":
        if not Path(word).exists():
            Path(word).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
    else:
        os.kill(os.getpid(), signal.Signals[word])


if os.environ.get("MOODY_DECODER"):  # in worker processes, not in the tests that import `ppm`
    PpmImagePlugin.Image.init()
    Image.OPEN["PPM"] = (open_moody, Image.OPEN["PPM"][1])
