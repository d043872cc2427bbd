"""Whole processes, from shell to files on disk: what a user waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import GlpnError


@dataclass(frozen=True)
class Finished:
    """A process that did its work: how long it took, and the most memory it held (None where nobody tells)."""

    seconds: float
    peak_bytes: int | None


_LAUNCHER = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[2:]], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as told:
    told.write(f"{time.perf_counter() - started} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""
"""Starts the process from a small one: Linux counts a process's peak from what its parent held when it was started."""


def run_python(*arguments: str) -> Finished:
    """Run this Python with `arguments` and wait for its end. Raises GlpnError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "told")
        launcher = ["-S", "-c", _LAUNCHER, str(told)] if hasattr(os, "wait4") else []
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603
            [sys.executable, *launcher, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
            raise GlpnError(f"a measured process ended with {done.returncode}: {words[-1]}")
        if not launcher:
            return Finished(seconds, None)
        taken, peak = told.read_text("ascii").split()
    return Finished(float(taken), int(peak) * (1 if sys.platform == "darwin" else 1024))


def import_seconds(module: str) -> float:
    """How long importing `module` takes in a fresh process, the interpreter's own start left out."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)  # noqa: S603
    return float(done.stdout)


def predict_command(pictures: Sequence[str], model: str, output: str, *, options: Sequence[str]) -> list[str]:
    """The arguments of Python that predict `pictures` into the folder `output`."""
    return [
        *("-m", "glpn_cli", "predict", *pictures, "-m", model, "-o", output, "-q", "--existing", "overwrite"),
        *("--name", "{name}_{map}", *options),
    ]
