"""Runs that are killed outright at random moments, and started again: the folder ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import make_rgb
from journeys import contents
from PIL import Image
from warm_start import WarmStart

from glpn_cli.atomic_write import is_temporary

TALK = Path("talk.txt")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="killing the right process by a handle is Linux's"
)


def make_pictures(folder: Path, count: int) -> None:
    """Small pictures in three folders, older than whatever is made of them."""
    for index in range(count):
        path = folder / f"part{index % 3}" / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_rgb(36, 48, seed=index)).save(path, compress_level=1)
        os.utime(path, (1_600_000_000, 1_600_000_000))


def wait_for_news(seen: set[str], *, within: float = 60) -> None:
    """Until something new appears in the folder, be it a temporary."""
    deadline = time.monotonic() + within
    while not set(names()) - seen:
        assert time.monotonic() < deadline, f"nothing is written: {TALK.read_text()}"
        time.sleep(0.0005)


def names() -> list[str]:
    return [f"{place}/{name}" for place, _, files in os.walk("out") for name in files]


def kill_and_go_on(warm: WarmStart, command: tuple[object, ...], *, kills: int, seed: int) -> tuple[int, int]:
    """Kill as many runs as asked; wherever the folder is complete, it must be what it should be, and begins anew.

    Returns how many folders were completed, and how many temporaries the kills left behind.
    """
    chance = random.Random(seed)
    assert warm.start(*command, talk=TALK)
    assert warm.wait() == 0, TALK.read_text()
    whole = contents(Path("out"))
    _remove_outputs()
    completed = left = killed = 0
    while killed < kills or contents(Path("out")):
        seen = set(names())
        held = os.pidfd_open(warm.start(*command, talk=TALK))  # its number alone may be another's by then
        if killed < kills and len(seen) < len(whole):
            wait_for_news(seen)
            time.sleep(chance.uniform(0, 0.02) if chance.random() < 0.7 else chance.uniform(0, 0.3))
            with suppress(ProcessLookupError):  # it was quicker
                signal.pidfd_send_signal(held, signal.SIGKILL)
        os.close(held)
        code = warm.wait()
        if code == -signal.SIGKILL:
            killed += 1
            left += sum(is_temporary(Path(name).name) for name in names())
            for name, data in contents(Path("out")).items():
                assert is_temporary(Path(name).name) or whole[name] == data, f"{name} is a part of a file"
            continue
        assert code == 0, TALK.read_text()
        assert contents(Path("out")) == whole, "the folder is not as if nothing had happened"
        completed += 1
        _remove_outputs()
    return completed, left


def _remove_outputs() -> None:
    for name in names():
        Path(name).unlink()


def prepare(folder: Path, model: Path, *, pictures: int) -> tuple[object, ...]:
    os.chdir(folder)
    make_pictures(Path("photos"), pictures)
    return ("predict", "photos", "-m", model, "-o", "out", "--batch-size", "1", "--threads", "1", "--workers", "2")


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_five_kills_change_nothing(tmp_path: Path, tiny_model: Path) -> None:
    command = prepare(tmp_path, tiny_model, pictures=40)
    with WarmStart() as warm:
        kill_and_go_on(warm, command, kills=5, seed=1)


@pytest.mark.soak
def test_two_hundred_kills_of_a_run_over_300_pictures_change_nothing(tmp_path: Path, tiny_model: Path) -> None:
    command = prepare(tmp_path, tiny_model, pictures=300)
    with WarmStart() as warm:
        completed, left = kill_and_go_on(warm, command, kills=200, seed=2)
    # pytest -rP shows it.
    print(f"200 kills, {completed} folders completed, {left} temporaries left by kills and swept")  # noqa: T201
    assert left > 0, "no kill hit a file that was being written"


def test_a_temporary_beside_results_that_are_all_there_is_swept_too(tmp_path: Path, tiny_model: Path) -> None:
    """Killed between giving the last file its name and taking away its temporary one."""
    from typer.testing import CliRunner

    from glpn_cli.atomic_write import this_machine
    from glpn_cli.cli import app

    command = [str(word) for word in prepare(tmp_path, tiny_model, pictures=1)]
    assert CliRunner().invoke(app, command).exit_code == 0
    whole = contents(Path("out"))
    (done,) = map(Path, names())
    os.link(done, done.with_name(f".glpn-{this_machine()}-4194305-0123456789abcdef.tmp"))
    assert CliRunner().invoke(app, command).exit_code == 0
    assert contents(Path("out")) == whole
