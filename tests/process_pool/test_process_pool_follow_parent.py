from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = """
import multiprocessing, os, signal, time
from concurrent.futures import ProcessPoolExecutor
from glpn_cli.process_pool.worker import follow_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=follow_parent)
    pool.submit(os.getpid).result()
    pool.submit(time.sleep, 600)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_worker_ends_with_the_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(LEFT_BEHIND)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as process:
        process.communicate(timeout=120)  # a worker that is left would hold this pipe open
        assert process.returncode == -signal.SIGKILL
