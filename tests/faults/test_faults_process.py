"""Cases 53 to 64 of the catalogue of faults: signals, other processes, closed streams, poor terminals, little memory.

Where the process itself matters, a real one paints stored depth maps: the engine, the signals and the files are those
of any run, and it starts in a third of the time, since it needs no torch.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from program_runs import OUT, check_no_temporaries, check_talk, give_up_root, glpn, good_png, predict, without_root

import glpn_cli
from glpn_cli.atomic_write import is_temporary
from glpn_cli.predictor import DepthEstimator

MAPS = 12
CODE = shutil.ignore_patterns("__pycache__", "bundled")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    Path("good.png").write_bytes(good_png())


@pytest.fixture
def maps() -> Path:
    """A folder of stored depth maps, and what they come to in colours beside it."""
    folder = Path("maps")
    folder.mkdir()
    for number in range(MAPS):
        rows, columns = np.mgrid[0:48, 0:64].astype(np.float32)
        np.save(folder / f"{number:02d}.npy", 1 + rows / 40 + columns / (20 + number))
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run makes of the maps."""
    with pytest.MonkeyPatch.context() as place:
        place.chdir(tmp_path_factory.mktemp("undisturbed"))
        maps.__wrapped__()
        assert glpn("export", "maps", "-o", "out").exit_code == 0
        return contents()


def contents(folder: Path = OUT) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def command(*words: object, patch: str = "", flags: Sequence[str] = ()) -> list[str]:
    """A process of the program. patch: what to change in it first."""
    script = f"{patch}\nimport sys\nsys.argv = ['glpn', *sys.argv[1:]]\nfrom glpn_cli.cli import main\nmain()\n"
    return [sys.executable, *flags, "-c", script, *map(str, words)]


def start(*words: object, patch: str = "", **settings: Any) -> subprocess.Popen[bytes]:
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen(command(*words, patch=patch), **settings)


def run(
    *words: object, patch: str = "", flags: Sequence[str] = (), **settings: Any
) -> subprocess.CompletedProcess[Any]:
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **settings}
    return subprocess.run(command(*words, patch=patch, flags=flags), check=False, **settings)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `glpn` is this program."""
    program = f'glpn() {{ "{sys.executable}" -m glpn_cli "$@"; }}\n'
    return subprocess.run(["/bin/bash", "-c", program + line], check=False, capture_output=True, text=True, timeout=60)


# Signals

STUCK = """
import os, time
def stick(*words, **settings):
    os.write(1, b"stuck\\n")  # one write: print's line and its end could have another thread's line between them
    time.sleep(60)
"""
# Where the run sticks: each stage does its work on some maps first.
STAGES = {
    "decode": STUCK
    + """
from glpn_cli.pipeline.stages import Stages
decode = Stages.decode
Stages.decode = lambda self, task: stick() if task.source.name.startswith("05") else decode(self, task)
""",
    "infer": STUCK
    + """
from glpn_cli.pipeline.stages import Stages
infer, calls = Stages.infer, []
Stages.infer = lambda self, *batch: stick() if calls.append(1) or len(calls) == 6 else infer(self, *batch)
""",
    "write": STUCK
    + """
from glpn_cli import atomic_write
sync, calls = atomic_write._sync, []
atomic_write._sync = lambda stream: stick() if calls.append(1) or len(calls) == 6 else sync(stream)
""",
}


def wait_until_stuck(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    while (line := child.stdout.readline()) != b"stuck\n":
        assert line, child.stderr.read() if child.stderr else ""


def check_stopped(child: subprocess.Popen[bytes], undisturbed: dict[str, bytes], name: str) -> None:
    """Check what an interrupted run left and said, and that the next one finishes it."""
    assert child.stderr is not None
    talk = child.stderr.read().decode()
    check_talk(talk)
    *warning, line = talk.splitlines()
    assert line.startswith(f"stopped by {name}: ")
    assert all("W_UNIT" in other or other.startswith("  hint: ") for other in warning), (
        "the maps say no unit; nothing else"
    )
    assert line.endswith("run the same command again to go on")
    check_no_temporaries()
    left = contents()
    assert 0 < len(left) < MAPS
    assert f"{len(left)} written, {MAPS - len(left)} left" in line
    assert all(undisturbed[key] == data for key, data in left.items())
    again = glpn("export", "maps", "-o", "out")
    assert again.exit_code == 0
    assert contents() == undisturbed


@pytest.mark.parametrize("stage", STAGES)
def test_case_53_an_interrupt_at_any_stage_ends_the_run_in_two_seconds(
    stage: str, maps: Path, undisturbed: dict[str, bytes]
) -> None:
    with start("export", maps, "-o", OUT, "--workers", "1", patch=STAGES[stage]) as child:
        wait_until_stuck(child)
        time.sleep(0.2)  # what else is on its way arrives
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130
        assert time.monotonic() - started < 8, "two seconds, and what a busy machine adds"
        check_stopped(child, undisturbed, "SIGINT")


def test_case_53_a_second_interrupt_ends_it_at_once_and_leaves_nothing_half_written(maps: Path) -> None:
    patch = STAGES["write"] + "import glpn_cli.pipeline.engine as engine\nengine._GRACE_S = 60.0\n"
    with start("export", maps, "-o", OUT, "--workers", "1", patch=patch) as child:
        wait_until_stuck(child)
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.5)
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130
        assert time.monotonic() - started < 8, "the grace of 60 seconds is not waited for"
    check_no_temporaries()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_case_54_a_polite_end_is_told_like_an_interrupt(
    name: str, code: int, maps: Path, undisturbed: dict[str, bytes]
) -> None:
    with start("export", maps, "-o", OUT, "--workers", "1", patch=STAGES["write"]) as child:
        wait_until_stuck(child)
        child.send_signal(getattr(signal, name))
        assert child.wait(timeout=20) == code
        check_stopped(child, undisturbed, name)


def test_case_54_a_map_that_is_told_while_the_signal_comes_is_counted(
    maps: Path, undisturbed: dict[str, bytes]
) -> None:
    patch = (
        STAGES["write"]
        + """
import signal
from glpn_cli.pipeline.report import Tally
add, told = Tally.add, []
def add_late(self, outcome):
    if told.append(1) or len(told) == 3:
        signal.raise_signal(signal.SIGTERM)
    add(self, outcome)
Tally.add = add_late
"""
    )
    with start("export", maps, "-o", OUT, "--workers", "1", patch=patch) as child:
        assert child.wait(timeout=20) == 143
        check_stopped(child, undisturbed, "SIGTERM")


def test_case_55_a_killed_run_leaves_whole_files_and_a_temporary_that_the_next_one_sweeps(
    maps: Path, undisturbed: dict[str, bytes]
) -> None:
    with start("export", maps, "-o", OUT, "--workers", "1", patch=STAGES["write"]) as child:
        wait_until_stuck(child)
        child.kill()
        child.wait(timeout=20)
    left = contents()
    temporaries = [name for name in left if is_temporary(name)]
    assert len(temporaries) == 1
    assert f"-{child.pid}-" in temporaries[0]
    assert all(undisturbed[name] == data for name, data in left.items() if name not in temporaries)
    elsewhere = OUT / ".glpn-elsewhere-1-0123456789abcdef.tmp"
    elsewhere.write_bytes(b"of another machine")
    glpn_words = ["export", "maps", "-o", "out"]
    done = run(*glpn_words)
    assert done.returncode == 0
    assert elsewhere.exists()
    elsewhere.unlink()
    assert contents() == undisturbed


@pytest.mark.parametrize("existing", ["skip", "overwrite"])
def test_case_56_two_runs_over_one_folder_both_end_well(
    existing: str, maps: Path, undisturbed: dict[str, bytes]
) -> None:
    # Both have planned before either writes: each waits for the other's word that it has.
    patch = """
import glpn_cli.pipeline.run as running, os, pathlib, time
plan = running.make_plan
def plan_and_wait(*words):
    made = plan(*words)
    pathlib.Path(f"planned-{os.getpid()}").touch()
    while len(list(pathlib.Path().glob("planned-*"))) < 2:
        time.sleep(0.01)
    return made
running.make_plan = plan_and_wait
"""
    children = [start("export", maps, "-o", OUT, "--existing", existing, patch=patch) for _ in range(2)]
    talks = [child.communicate(timeout=60)[1].decode() for child in children]
    for child, talk in zip(children, talks, strict=True):
        check_talk(talk)
        assert child.returncode == 0, talk
    check_no_temporaries()
    assert contents() == undisturbed


# Streams


@pytest.mark.parametrize("closed", [">&-", "<&- 2>&-"])
def test_case_57_closed_streams_harm_no_file_and_no_exit_code(
    closed: str, maps: Path, undisturbed: dict[str, bytes]
) -> None:
    done = shell(f"glpn export maps -o out {closed}")
    assert done.returncode == 0, done.stderr
    assert contents() == undisturbed


def test_case_57_bytes_for_a_closed_standard_output_are_refused_before_anything_starts(maps: Path) -> None:
    refused = shell("glpn export maps/00.npy -o - >&-")
    assert refused.returncode == 2
    assert "standard output" in refused.stderr


def test_case_58_a_reader_who_leaves_costs_nothing_of_a_listing_and_is_told_of_half_a_picture(
    maps: Path, undisturbed: dict[str, bytes]
) -> None:
    listing = shell("set -o pipefail; glpn export maps -o out | head -1")
    assert (listing.returncode, listing.stdout.count("\n")) == (0, 1)
    check_talk(listing.stderr)
    assert contents() == undisturbed
    models = shell("set -o pipefail; glpn models list | head -1")
    assert (models.returncode, models.stderr) == (0, "")
    large = np.random.default_rng(0).uniform(1, 9, (600, 800)).astype(np.float32)
    np.save("large.npy", large)  # more than a pipe holds
    picture = shell("glpn export large.npy -o - | head -c 10 > head; exit ${PIPESTATUS[0]}")
    assert picture.returncode == 141
    check_talk(picture.stderr)


def test_case_59_a_standard_output_that_is_full_is_exit_1_and_told(maps: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    for words in ("export maps -o out --json", "export maps/00.npy -o -", "models list"):
        done = shell(f"glpn {words} > /dev/full")
        assert done.returncode == 1, (words, done.stderr)
        assert "standard output" in done.stderr
        assert "no space left on device" in done.stderr
        check_talk(done.stderr)
        check_no_temporaries()


TERMINALS = {
    "poor": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb", "COLUMNS": "20"},
    "a code page": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "NO_COLOR": "1"},
    "colour": {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
}


def test_case_60_locales_and_terminals_of_any_kind_crash_nothing_and_animate_nothing(maps: Path) -> None:
    shutil.copy(maps / "00.npy", maps / "深さ é.npy")
    Path("maps/leer é.npy").write_bytes(b"")
    for name, environment in TERMINALS.items():
        folder = f"out {len(name)}"
        done = run("export", maps, "-o", folder, env={**os.environ, **environment})
        assert done.returncode == 3, (name, done.stderr)
        talk = done.stderr.decode("utf-8", "replace")
        check_talk(talk)
        assert "\r" not in talk
        assert b"\x1b" not in done.stdout
        assert (Path(folder) / "深さ é_color.png").is_file()
        assert f"{folder}/深さ é_color.png\n".encode() in done.stdout


# Surroundings


def test_case_61_a_home_that_is_missing_or_locked_does_no_harm_where_the_weights_are_here(tiny_model: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LANG")}
    words = ("predict", "good.png", "-m", tiny_model, "-o", "out", "--threads", "1")
    done = run(*words, env={**environment, "HOME": "/nowhere/at/all", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert len(contents()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="root's power is put down by Linux' means")
def test_case_61_a_cache_on_a_read_only_disk_is_told_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hub_server import running_hub
    from huggingface_hub import constants
    from tiny_checkpoints import files_of, make_model_folder

    Path("locked").mkdir(mode=0o555)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "locked/hub"))
    with running_hub() as server, without_root():
        server.repositories["owner/name"] = files_of(make_model_folder(Path("original")))
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        result = glpn("predict", "good.png", "-m", "owner/name", "-o", "out")
    assert result.exit_code == 1
    assert "permission denied" in result.stderr
    assert "Set HF_HOME" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="root's power is put down by Linux' means")
def test_case_61_rooms_can_be_rendered_where_no_machine_code_can_be_kept(tmp_path: Path) -> None:
    package = shutil.copytree(Path(glpn_cli.__file__).parent, tmp_path / "locked/glpn_cli", ignore=CODE)
    for path in (tmp_path / "locked", package, *package.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    load = "import sys; sys.path.insert(0, sys.argv[1]); import glpn_cli.scenes.noise as n; print(n.__file__)"
    environment = {"HOME": str(tmp_path / "locked"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", load, str(package.parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=give_up_root,
    )
    for path in (tmp_path / "locked", package, *package.rglob("*")):
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(package))


@pytest.mark.parametrize("batch_size", ["1", "4"])
def test_case_62_a_picture_that_is_too_large_for_memory_is_its_own_error(
    batch_size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in").mkdir()
    for number in range(4):
        Path(f"in/{number}.png").write_bytes(good_png())
    Path("in/large.png").write_bytes(Path("good.png").read_bytes())
    Image.new("RGB", (96, 96), (90, 120, 30)).save("in/large.png")
    original = DepthEstimator.infer

    def allocate(self: DepthEstimator, pictures: Sequence[Any]) -> list[Any]:
        if any(picture.full_size == (96, 96) for picture in pictures):
            from glpn_cli import predictor

            with predictor._own_errors():
                torch.empty(1 << 52)  # a real refusal, in torch's own words
        return original(self, pictures)

    monkeypatch.setattr(DepthEstimator, "infer", allocate)
    journey = predict("in", "--batch-size", batch_size)
    assert journey.exit_code == 3
    journey.refused("large.png", "E_OOM", "memory")
    assert "--input-size" in journey.records["large.png"]["error"]["hint"]
    assert list(journey.codes.values()).count("ok") == 4


def test_case_62_a_lost_allocation_of_a_graphics_card_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from glpn_cli import predictor

    def allocate(*_: object) -> torch.Tensor:
        with predictor._own_errors():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(DepthEstimator, "infer", allocate)
    journey = predict("good.png")
    assert journey.exit_code == 1
    journey.refused("good.png", "E_OOM")


def test_case_62_little_memory_for_the_whole_process_ends_with_a_word(tiny_model: Path) -> None:
    Image.new("RGB", (4000, 4000), (90, 120, 30)).save("wide.png", compress_level=1)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (400 << 20,) * 2)\n"
    words = ("predict", "good.png", "wide.png", "-m", tiny_model, "-o", "out", "--threads", "1", "--workers", "1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = run(*words, "--input-size", "original", patch=limit, env=environment)
    talk = done.stderr.decode()
    check_talk(talk)
    assert done.returncode in (3, 4), talk  # 4 where the libraries alone take nearly all of it
    assert "[E_OOM]" in talk
    check_no_temporaries()


def test_case_63_devices_that_are_not_here_are_refused_with_those_that_are() -> None:
    absent = ["cuda:9", "mps" if sys.platform != "darwin" else "cuda", "quantum"]
    if not torch.cuda.is_available():
        absent.append("cuda")
    for device in absent:
        result = glpn("predict", "good.png", "--device", device, "-o", "out")
        assert result.exit_code == 2, device
        assert "cpu" in result.stderr
        assert not OUT.exists()
    assert predict("good.png", "--device", "auto").exit_code == 0


def test_case_64_optimised_strict_python_and_a_clock_that_jumps_change_nothing(
    maps: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("export", maps, "-o", OUT, flags=["-O", "-bb", "-W", "error"])
    assert done.returncode == 0, done.stderr
    assert contents() == undisturbed
    backwards = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
    monkeypatch.setattr(time, "time_ns", lambda: next(backwards) * 10**9)
    predict("good.png").made("good.png")


def test_case_64_a_picture_from_the_future_is_done_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time() + 86_400
    os.utime("good.png", (ahead, ahead))
    assert predict("good.png").codes == {"good.png": "ok"}
    assert predict("good.png").codes == {"good.png": "skipped"}


def test_case_64_predictions_too_are_made_under_strict_python(tiny_model: Path) -> None:
    words = ("predict", "good.png", "-m", tiny_model, "-o", "out", "--threads", "1")
    done = run(*words, flags=["-O", "-W", "error"], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert len(contents()) == 1
