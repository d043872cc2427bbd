"""Polite signals at random moments of a run, and two runs over one folder: whole files, one line, the right code."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import make_rgb
from journeys import contents
from PIL import Image
from warm_start import WarmStart

from glpn_cli.atomic_write import is_temporary

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="signals to the right process are Linux's")

OUT = Path("out")
TALK = Path("talk.txt")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for index in range(60):
        path = Path("photos") / f"part{index % 2}" / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_rgb(48, 64, seed=index)).save(path, compress_level=1)
        os.utime(path, (1_600_000_000, 1_600_000_000))


@pytest.fixture
def command(tiny_model: Path) -> tuple[object, ...]:
    return ("predict", "photos", "-m", tiny_model, "-o", "out", "-f", "png16,npy", "--threads", "1", "--workers", "2")


@pytest.fixture
def warm() -> Iterator[WarmStart]:
    with WarmStart() as start:
        yield start


def hears(process: int) -> bool:
    """Whether a run has put its signal handlers in place: before, signals are Python's."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGHUP - 1) & 1)


def signalled(
    warm: WarmStart, command: tuple[object, ...], number: int, after: float, *, twice: bool = False
) -> tuple[int, float]:
    """A run that gets a signal after some seconds, or two in a row: its exit code, and how long it took to end."""
    process = warm.start(*command, talk=TALK)
    held = os.pidfd_open(process)
    while not hears(process):
        time.sleep(0.001)
    time.sleep(after)
    with suppress(ProcessLookupError):  # it was quicker
        for _ in range(1 + twice):
            signal.pidfd_send_signal(held, number)
            time.sleep(0.02 * twice)
    os.close(held)
    sent = time.monotonic()
    return warm.wait(), time.monotonic() - sent


def undisturbed(warm: WarmStart, command: tuple[object, ...]) -> tuple[dict[str, bytes], float]:
    """What the command makes, and how long it takes."""
    started = time.monotonic()
    warm.start(*command, talk=TALK)
    assert warm.wait() == 0, TALK.read_text()
    took = time.monotonic() - started
    whole = contents(OUT)
    clear()
    return whole, took


def clear() -> None:
    for path in OUT.rglob("*"):
        if path.is_file():
            path.unlink()


def check_whole(whole: dict[str, bytes]) -> int:
    """Every file is whole, and nothing else is there; returns how many are."""
    left = contents(OUT)
    assert not [name for name in left if is_temporary(Path(name).name)], "a temporary is left"
    assert left.items() <= whole.items(), "a file is half"
    return len(left)


@pytest.mark.soak
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_ends_a_run_with_one_line_and_whole_files(
    warm: WarmStart, command: tuple[object, ...], number: signal.Signals
) -> None:
    whole, took = undisturbed(warm, command)
    chance = random.Random(int(number))
    codes: Counter[int] = Counter()
    for _ in range(10):
        code, seconds = signalled(warm, command, number, chance.uniform(0, 0.7 * took))
        talk = TALK.read_text().splitlines()
        said = [line for line in talk if not line.startswith("out/")]
        codes[code] += 1
        done = check_whole(whole)
        if code == 0:
            assert done == len(whole)
        else:
            assert code == 128 + number, talk
            (line,) = said
            assert line == "interrupted" or (
                line.startswith(f"stopped by {number.name}: ")
                and line.endswith("; run the same command again to go on")
            )
            assert seconds < 5, "two seconds, on a machine that is busy"
        warm.start(*command, talk=TALK)
        assert warm.wait() == 0, TALK.read_text()
        assert contents(OUT) == whole
        clear()
    print(f"{number.name}: {dict(codes)}")  # noqa: T201 - pytest -rP shows it
    assert codes[128 + number] >= 3


@pytest.mark.soak
def test_a_second_interrupt_is_immediate_and_what_it_leaves_is_swept(
    warm: WarmStart, command: tuple[object, ...]
) -> None:
    whole, took = undisturbed(warm, command)
    chance = random.Random(2)
    for _ in range(10):
        code, seconds = signalled(warm, command, signal.SIGINT, chance.uniform(0, 0.8 * took), twice=True)
        assert code in (0, 130)
        assert seconds < 2
        for name, data in contents(OUT).items():
            assert is_temporary(Path(name).name) or whole[name] == data
        warm.start(*command, talk=TALK)
        assert warm.wait() == 0, TALK.read_text()
        assert contents(OUT) == whole
        clear()


def run_two(warm: WarmStart, other: WarmStart, command: tuple[object, ...], *, rounds: int, seed: int) -> None:
    """Two runs of one command over one folder, the second a random while after the first."""
    whole, took = undisturbed(warm, command)
    chance = random.Random(seed)
    for _ in range(rounds):
        warm.start(*command, talk=TALK)
        time.sleep(chance.uniform(0, took))
        other.start(*command, talk=Path("other.txt"))
        for start, talk in ((warm, TALK), (other, Path("other.txt"))):
            assert start.wait() == 0, talk.read_text()
            assert "Traceback" not in talk.read_text()
        assert contents(OUT) == whole, "not every file is whole, or something else is there"
        clear()


def test_two_runs_over_one_folder_at_once_do_no_harm(warm: WarmStart, command: tuple[object, ...]) -> None:
    """Over half of the pictures: once each way needs no more."""
    half = ("predict", "photos/part0", *command[2:])
    with WarmStart() as other:
        for existing in ("skip", "overwrite"):
            run_two(warm, other, (*half, "--existing", existing), rounds=1, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("existing", ["skip", "overwrite"])
def test_two_runs_over_one_folder_at_once_do_no_harm_again_and_again(
    warm: WarmStart, command: tuple[object, ...], existing: str
) -> None:
    with WarmStart() as other:
        run_two(warm, other, (*command, "--existing", existing), rounds=20, seed=2)
