"""Thousands of files, a third of them broken: every good one is done, every bad one named, and nothing else happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixed_inputs import Mixed, judge, may_be_short, write_mixed
from PIL import Image

from glpn_cli.errors import ErrorCode

MAP_OF = {"predict": "depth", "export": "color"}


@dataclass
class Watched:
    """A run of the real program.

    memory: its resident bytes, several times a second
    """

    code: int
    records: list[dict[str, Any]]
    summary: dict[str, Any]
    talk: str
    seconds: float
    memory: list[int] = field(default_factory=list)


def run_and_watch(*words: object) -> Watched:
    """Run `glpn WORDS --json` to its end, in a process of its own."""
    # Deep greys are pictures here; export would ask which they are.
    command = [sys.executable, "-m", "glpn_cli", *map(str, words), "--as", "picture", "--json", "--threads", "1"]
    memory: list[int] = []
    started = time.monotonic()
    with Path("talk.txt").open("wb") as talk, Path("records.jsonl").open("wb") as records:
        child = subprocess.Popen(command, stdout=records, stderr=talk, env={**os.environ, "OMP_NUM_THREADS": "1"})
        watcher = threading.Thread(target=_watch, args=(child, memory))
        watcher.start()
        code = child.wait(1800)
        watcher.join()
    *lines, summary = [json.loads(line) for line in Path("records.jsonl").read_bytes().splitlines()]
    talked = Path("talk.txt").read_text(errors="replace")
    return Watched(code, lines, summary, talked, time.monotonic() - started, memory)


def _watch(child: subprocess.Popen[bytes], memory: list[int]) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while child.poll() is None:
        try:
            memory.append(int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * page)
        except (OSError, IndexError):
            return
        time.sleep(0.05)


def check(run: Watched, mixed: list[Mixed], command: str) -> Counter[str]:
    """What must be true of a run over mixed inputs; returns how many came to what."""
    assert run.code == 3, run.talk
    assert "Traceback" not in run.talk
    assert "E_INTERNAL" not in run.talk
    by_name = {record["name"]: record for record in run.records}
    assert len(run.records) == len(by_name) == len(mixed)
    expected = set()
    came_to: Counter[str] = Counter()
    for each in mixed:
        record = by_name[f"in/{each.path.name}"]
        size = each.size or judge(each.path)
        came_to[record["status"] if record["status"] == "ok" else record["error"]["code"]] += 1
        if size is not None and each.size is None and record["status"] == "error" and may_be_short(each.path):
            assert record["error"]["code"] == "E_DECODE"  # broken, and looked at more closely than Pillow does
        elif size is not None:
            assert record["status"] == "ok", f"a good picture is missing: {record}"
            assert (record["height"], record["width"]) == size
        else:
            assert record["status"] == "error", f"a picture that is none, or not whole, was taken: {record}"
        if record["status"] == "error":
            assert ErrorCode(record["error"]["code"]) is not ErrorCode.INTERNAL
            assert run.talk.count(each.path.name) >= 1, "an error that nobody is told"
            assert record["outputs"] == []
            continue
        (output,) = record["outputs"]
        expected.add(output["path"])
        with Image.open(output["path"]) as image:
            image.load()
            assert image.size == (record["width"], record["height"])
            assert command == "export" or np.asarray(image).min() > 0 or record["kind"] == "metric"
    found = {str(path) for path in Path("out").rglob("*") if path.is_file()}
    assert found == expected, "stray files, or files that are gone"
    assert run.summary["total"] == len(mixed)
    assert run.summary["ok"] == len(expected)
    assert run.summary["error"] == len(mixed) - len(expected)
    assert run.summary["codes"] == {code: count for code, count in sorted(came_to.items()) if code != "ok"}
    assert run.summary["exit_code"] == 3
    return came_to


@pytest.mark.parametrize("command", MAP_OF)
def test_of_150_mixed_files_every_good_one_is_done_and_every_bad_one_named(
    command: str, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mixed = write_mixed(Path("in"), 150, seed=1)
    Path("list.txt").write_text("".join(f"{each.path}\n" for each in mixed))
    run = run_and_watch(command, "--files-from", "list.txt", "-m", tiny_model, "-o", "out", "--name", "{name}_{map}")
    came_to = check(run, mixed, command)
    assert came_to["ok"] >= 100
    assert came_to["E_DECODE"] >= 10


@pytest.mark.soak
@pytest.mark.parametrize("command", MAP_OF)
def test_of_5000_mixed_files_every_good_one_is_done_and_every_bad_one_named(
    command: str, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mixed = write_mixed(Path("in"), 5000, seed=2)
    Path("list.txt").write_text("".join(f"{each.path}\n" for each in mixed))
    run = run_and_watch(command, "--files-from", "list.txt", "-m", tiny_model, "-o", "out", "--name", "{name}_{map}")
    came_to = check(run, mixed, command)
    early, late = (
        max(part) / 2**20 for part in (run.memory[: len(run.memory) // 3], run.memory[-len(run.memory) // 3 :])
    )
    print(  # noqa: T201 - pytest -rP shows it
        f"{command}: {dict(came_to)} in {run.seconds:.0f} s; "
        f"memory at most {early:.0f} MiB in the first third, {late:.0f} MiB in the last"
    )
    assert late < early + 60, "memory grows with the number of files"
