"""Whole processes, from shell to files on disk: what a user waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from glpn_cli.errors import GlpnError


@dataclass(frozen=True)
class Finished:
    """A process that did its work: how long it took, and the most memory it held (None where nobody tells)."""

    seconds: float
    peak_bytes: int | None


def run_python(*arguments: str) -> Finished:
    """Run this Python with `arguments` and wait for its end. Raises GlpnError where it fails."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=said)  # noqa: S603
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        else:
            process.wait()
            peak = None
        seconds = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
            raise GlpnError(f"a measured process ended with {process.returncode}: {words[-1]}")
    return Finished(seconds, peak)


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
