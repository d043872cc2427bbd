"""Repeated timings, in turns so that a busy minute meets all alike, and timings of whole processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.errors import GlpnError


@dataclass(frozen=True)
class Timing:
    """Seconds that the same work took, once a round; at least one."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds; the mean of the middle two of an even number."""
        return statistics.median(self.seconds)

    @property
    def low(self) -> float:
        """Seconds of the quickest round."""
        return min(self.seconds)

    @property
    def high(self) -> float:
        """Seconds of the slowest round."""
        return max(self.seconds)


def time_in_turns(functions: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Time each function once a round, all in turn, after a round that is not timed."""
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return {name: Timing(tuple(each)) for name, each in seconds.items()}


_LAUNCHER = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[2:]], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as report:
    report.write(f"{time.perf_counter() - started} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""
"""Starts the process from a small one: Linux counts a process's peak from what its parent held when it was started."""


def run_python(*arguments: str) -> tuple[float, int | None]:
    """Run this Python with `arguments`, and wait for its end: its seconds, and its peak memory in bytes.

    The peak is None where the system does not tell it. Raises GlpnError where the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        launcher = ["-S", "-c", _LAUNCHER, str(report)] if hasattr(os, "wait4") else []
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603
            [sys.executable, *launcher, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
            raise GlpnError(f"a measured process ended with {done.returncode}: {words[-1]}")
        if not launcher:
            return seconds, None
        child_seconds, peak = report.read_text("ascii").split()
    return float(child_seconds), int(peak) * (1 if sys.platform == "darwin" else 1024)


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
