"""`--isolate` and `--timeout`: a file that crashes its decoder, or never ends, is one failed input of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import moody_decoder
import numpy as np
import pytest
from conftest import make_rgb
from moody_decoder import ppm
from PIL import Image
from program_runs import OUT, check_no_temporaries, encode, glpn, good_png, predict, written
from random_weights_dpt import SMALL, randomized_segmenter

from glpn_cli.depth_files import read_depth
from glpn_cli.pipeline import settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no workers on Windows")

MOODY_PROGRAM = """
import sys
from glpn_cli.cli import main
from glpn_cli.pipeline import settings
settings.WORKER_MODULES += ("moody_decoder",)
main()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.setenv("MOODY_DECODER", "1")
    monkeypatch.setattr(settings, "WORKER_MODULES", ("glpn_cli.images", "moody_decoder"))


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    assert children_of(os.getpid()) == set()


def children_of(parent: int) -> set[int]:
    """The worker processes of a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, owner = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if state != "Z" and int(owner) == parent and b"process_pool.worker import serve" in command:
            found.add(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def most_children() -> Iterator[list[int]]:
    """The largest number of workers that this process has at once, looked at all the time."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], len(children_of(os.getpid())))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def put(name: str, order: str | None = None) -> str:
    """A picture in the current folder, with an order to its decoder."""
    rgb = make_rgb(48, 64, seed=len(name))
    Path(name).write_bytes(good_png() if order is None else ppm(order, rgb))
    return name


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_case_30_a_decoder_that_crashes_costs_its_file_and_the_others_are_done(name: str) -> None:
    files = [put("a.png"), put("b.ppm", f"crash {name}"), put("c.png"), put("d.ppm", "fine")]
    journey = predict(*files, "--isolate", "--workers", "1")
    assert journey.exit_code == 3
    assert journey.codes == {"a.png": "ok", "b.ppm": "E_CRASH", "c.png": "ok", "d.ppm": "ok"}
    journey.refused("b.ppm", "E_CRASH", f"'b.ppm' crashed the process that read it ({name})")
    assert f"error: 'b.ppm' crashed the process that read it ({name}) [E_CRASH]" in journey.stderr
    assert journey.stderr.count("hint: ") == 1


def test_without_isolation_the_same_file_would_take_the_program_along() -> None:
    put("b.ppm", "crash SIGSEGV")
    code = f"import moody_decoder, sys; sys.argv[1:] = {['predict', 'b.ppm']!r}; from glpn_cli.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment())
    assert done.returncode == -signal.SIGSEGV, done.stderr


def test_a_crash_on_the_last_file_and_on_the_first() -> None:
    files = [put("a.ppm", "crash SIGSEGV"), put("b.png"), put("c.png"), put("d.ppm", "crash SIGSEGV")]
    journey = predict(*files, "--isolate")
    assert list(journey.codes.values()).count("E_CRASH") == 2
    assert written() == ["b.png_depth.png", "c.png_depth.png"]


def test_where_every_file_crashes_nothing_was_done() -> None:
    files = [put(f"{number}.ppm", "crash SIGSEGV") for number in range(5)]
    journey = predict(*files, "--isolate", "--workers", "2")
    assert set(journey.codes.values()) == {"E_CRASH"}
    assert journey.exit_code == 1
    assert not OUT.exists() or written() == []


def test_a_crash_is_the_fault_of_no_file_that_a_fresh_process_can_read() -> None:
    """Two files: the first may have left its process broken; the second crashes in it, and not in a new one."""
    files = [put("a.png"), put("b.ppm", f"once {Path('marker').absolute()}")]
    journey = predict(*files, "--isolate", "--workers", "1")
    assert Path("marker").exists()
    assert journey.codes == {"a.png": "ok", "b.ppm": "ok"}


def test_case_29_a_decode_that_takes_too_long_is_given_up_and_the_others_are_done() -> None:
    files = [put("a.png"), put("b.ppm", "sleep 300"), put("c.png")]
    started = time.monotonic()
    journey = predict(*files, "--timeout", "3", "--workers", "1")
    assert time.monotonic() - started < 60
    assert journey.codes == {"a.png": "ok", "b.ppm": "E_TIMEOUT", "c.png": "ok"}
    journey.refused("b.ppm", "E_TIMEOUT", "'b.ppm' was not read within 3 s")
    assert "--timeout" in journey.records["b.ppm"]["error"]["hint"]


def test_case_29_an_enormous_but_legal_picture_is_given_up_too() -> None:
    Image.new("1", (15_900, 15_700)).save("huge.png")
    journey = predict("huge.png", put("good.png"), "--timeout", "0.1", "--workers", "1")
    assert journey.codes["huge.png"] == "E_TIMEOUT"


def test_batches_wait_for_no_file_that_crashed_or_was_late() -> None:
    files = [put(f"{number}.png") for number in range(5)]
    files[1:1] = [put("crash.ppm", "crash SIGSEGV"), put("late.ppm", "sleep 300")]
    journey = predict(*files, "--timeout", "3", "--batch-size", "2")
    codes = list(journey.codes.values())
    assert (codes.count("ok"), codes.count("E_CRASH"), codes.count("E_TIMEOUT")) == (5, 1, 1)


def test_bytes_on_standard_input_are_isolated_too() -> None:
    rgb = make_rgb(48, 64)
    result = glpn("predict", "-", "-o", "x.png", "--isolate", input=ppm("crash SIGSEGV", rgb))
    assert result.exit_code == 1
    assert "standard input crashed the process that read it (SIGSEGV)" in result.stderr
    result = glpn("predict", "-", "-o", "x.png", "--isolate", input=encode(rgb, "PNG"))
    assert result.exit_code == 0, result.stderr
    assert read_depth(Path("x.png")).depth.size == (48, 64)


def test_a_list_that_is_still_being_written_goes_on_after_a_crash() -> None:
    put("a.png")
    put("b.ppm", "crash SIGSEGV")
    put("c.png")
    journey = predict("--files-from", "-", "--isolate", input=b"a.png\nb.ppm\nc.png\n")
    assert journey.codes == {"a.png": "ok", "b.ppm": "E_CRASH", "c.png": "ok"}


def test_there_are_as_many_processes_as_workers() -> None:
    files = [put(f"{number}.ppm", "sleep 1") for number in range(3)]
    with most_children() as most:
        journey = predict(*files, "--isolate", "--workers", "2")
    assert journey.exit_code == 0
    assert most == [2]


def test_without_the_options_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = subprocess.Popen.__init__

    def watch(self: Any, *arguments: Any, **settings: Any) -> None:
        started.append(arguments)
        start(self, *arguments, **settings)

    monkeypatch.setattr(subprocess.Popen, "__init__", watch)
    assert predict(put("a.png")).exit_code == 0
    assert started == []
    assert glpn("predict", "a.png", "-o", "dry", "--isolate", "--dry-run").exit_code == 0
    assert started == [], "nor for a plan"
    assert glpn("predict", "a.png", "-o", "isolated", "--isolate").exit_code == 0
    assert len(started) == 1


def make_gallery(count: int) -> Path:
    """Pictures in every format that Pillow writes everywhere, some of them broken."""
    folder = Path("pictures")
    folder.mkdir()
    kinds = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        data = encode(make_rgb(40 + number % 9, 50 + number % 7, seed=number), kind)
        data = data[: len(data) // 2] if number % 20 == 11 else data
        (folder / f"{number:03}.{kind.lower()}").write_bytes(data)
    return folder


def check_isolated_equals_not_isolated(count: int) -> None:
    folder = make_gallery(count)
    records, files = [], []
    for options in ([], ["--isolate"]):
        shutil.rmtree(OUT, ignore_errors=True)
        journey = predict(folder, "-f", "png16,npy", *options)
        for record in journey.records.values():
            record.pop("seconds", None)
        records.append(journey.records)
        files.append(contents(OUT))
    assert len(files[0]) > count
    assert files[0] == files[1]
    assert records[0] == records[1]


def test_what_comes_out_is_the_same_to_the_byte() -> None:
    check_isolated_equals_not_isolated(40)


@pytest.mark.soak
def test_what_comes_of_500_pictures_is_the_same_to_the_byte() -> None:
    check_isolated_equals_not_isolated(500)


def test_large_photographs_are_decoded_to_fewer_pixels_there_as_well() -> None:
    Path("large.jpg").write_bytes(encode(make_rgb(1500, 2000), "JPEG"))
    files = []
    for options in ([], ["--isolate"]):
        shutil.rmtree(OUT, ignore_errors=True)
        assert predict("large.jpg", *options).exit_code == 0
        files.append(contents(OUT))
    assert files[0] == files[1]


def test_export_isolates_pictures_their_colours_and_stored_maps() -> None:
    put("a.png")
    put("b.ppm", "crash SIGSEGV")
    result = glpn("export", "a.png", "b.ppm", "-o", "out", "--side-by-side", "--isolate", "--json")
    assert result.exit_code == 3
    *records, _ = map(json.loads, result.stdout.splitlines())
    assert {record["name"]: record["status"] for record in records} == {"a.png": "ok", "b.ppm": "error"}
    assert Path("out/a_color.png").exists()

    assert glpn("predict", "a.png", "-o", "maps", "-f", "png16,npy,npz,tiff,pfm,exr,ply").exit_code == 0
    for path in list(Path("maps").iterdir()):  # apart, or one of them would stand for all
        folder = path.with_name(path.suffix[1:])
        folder.mkdir()
        path.rename(folder / path.name)
    for options in ([], ["--isolate"]):
        result = glpn("export", "maps", "--as", "depth", "-o", "painted" + "".join(options), *options)
        assert result.exit_code == 0, result.stderr
    assert len(contents(Path("painted"))) == 6
    assert contents(Path("painted")) == contents(Path("painted--isolate"))


def test_evaluate_isolates_pictures_their_depth_and_labels_and_maps_that_were_predicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("a.png")
    put("b.ppm", "crash SIGSEGV")
    with Image.open("a.png") as picture:
        size = picture.size
    Image.new("I;16", size, 2000).save("truth.png")
    Image.new("L", size, 1).save("labels.png")
    lines = ["rgb_path,depth_path,depth_scale", "a.png,truth.png,1000", "b.ppm,truth.png,1000"]
    Path("pairs.csv").write_text("\n".join(lines) + "\n")
    result = glpn("evaluate", "--data", "pairs.csv", "--isolate", "--json")
    assert result.exit_code == 3
    assert "'b.ppm' crashed the process that read it (SIGSEGV) [E_CRASH]" in result.stderr
    assert json.loads(result.stdout)["models"][0]["measured"] == 1

    randomized_segmenter(**SMALL).save_pretrained("ade")
    Path("labels.csv").write_text("rgb_path,label_path\nb.ppm,labels.png\na.png,labels.png\n")
    result = glpn("evaluate", "--data", "labels.csv", "--timeout", "100", "--json", "-m", "ade")
    assert result.exit_code == 3
    assert "[E_CRASH]" in result.stderr
    assert json.loads(result.stdout)["pictures"] == 1

    monkeypatch.setattr(settings, "WORKER_MODULES", ("glpn_cli.images", "moody_npy"))
    Path("maps").mkdir()
    np.save("maps/a.npy", np.ones(size[::-1], np.float32))
    Path("pairs.csv").write_text("\n".join(lines[:2]) + "\n")
    result = glpn("evaluate", "--data", "pairs.csv", "--predictions", "maps", "--isolate")
    assert result.exit_code == 1
    assert "maps/a.npy: it crashed the process that read it (SIGSEGV) [E_CRASH]" in result.stderr


def test_a_stored_map_that_crashes_its_decoder_is_one_failed_input(monkeypatch: pytest.MonkeyPatch) -> None:
    put("a.png")
    assert glpn("predict", "a.png", "-o", ".", "-f", "npy,png16").exit_code == 0
    shutil.copy("a_depth.npy", "b_depth.npy")
    monkeypatch.setattr(settings, "WORKER_MODULES", ("glpn_cli.images", "moody_npy"))
    result = glpn("export", "a_depth.png", "b_depth.npy", "-o", "out", "--isolate")
    assert result.exit_code == 3
    assert "'b_depth.npy' crashed the process that read it (SIGSEGV) [E_CRASH]" in result.stderr
    assert [path.name for path in Path("out").iterdir()] == ["a_color.png"]


def test_a_map_of_uncertainty_is_read_there_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert glpn("predict", put("a.png"), "-o", ".", "--uncertainty").exit_code == 0
    for options in ([], ["--isolate"]):
        result = glpn("export", "a_uncertainty.tiff", "-o", "painted" + "".join(options), *options)
        assert result.exit_code == 0, result.stderr
    assert len(contents(Path("painted"))) == 1
    assert contents(Path("painted")) == contents(Path("painted--isolate"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    result = glpn("export", "a_uncertainty.tiff", "-o", "nowhere", "--isolate")
    assert result.exit_code == 4
    assert "no process to decode in can be started" in result.stderr


def test_where_no_process_can_be_started_the_run_stops_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    result = glpn("predict", put("a.png"), put("b.png"), "-o", "out", "--isolate")
    assert result.exit_code == 4
    assert "no process to decode in can be started: no such file or directory [E_NOT_FOUND]" in result.stderr
    assert "hint: Run without --isolate" in result.stderr


def test_measure_tells_of_a_crash_too() -> None:
    put("b.ppm", "crash SIGSEGV")
    result = glpn("measure", "b.ppm", "1,1", "--isolate")
    assert result.exit_code in (1, 3)
    assert "E_CRASH" in result.stderr
    put("a.png")
    assert glpn("measure", "a.png", "1,1", "--timeout", "30").exit_code == 0


@pytest.mark.parametrize("text", ["0", "-1", "nan"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    result = glpn("predict", put("a.png"), "--timeout", text)
    assert result.exit_code == 2
    assert f"--timeout {text} leaves no time" in result.stderr


def test_forever_is_a_time() -> None:
    assert predict(put("a.png"), "--timeout", "inf").exit_code == 0


# Whole processes


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(moody_decoder.__file__).parent), *sys.path])}


@contextmanager
def running(*words: object) -> Iterator[tuple[subprocess.Popen[bytes], set[int]]]:
    """The program with a moody decoder, as soon as two files sleep in native code; and its workers."""
    command = [sys.executable, "-c", MOODY_PROGRAM, *map(str, words), "--workers", "2", "--threads", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    )
    workers: set[int] = set()
    deadline = time.monotonic() + 60
    while len(workers) < 2 or not all(Path(f"sleeping-{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        assert process.poll() is None
        workers = children_of(process.pid)
        time.sleep(0.01)
    try:
        yield process, workers
    finally:
        process.kill()
        process.communicate()


def all_gone(processes: set[int], seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(is_alive, processes))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_whole_group_ends_the_run_cleanly_and_leaves_no_process(name: str) -> None:
    files = [put("a.png"), put("b.ppm", "sleep 300"), put("c.ppm", "sleep 300"), put("d.png")]
    number = signal.Signals[name]
    with running("predict", *files, "-o", "out", "--isolate", "--json") as (process, workers):
        os.killpg(process.pid, number)  # as a terminal sends Ctrl-C
        for worker in workers:
            os.kill(worker, number)  # as a service manager asks every process of a service to end
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert b"E_CRASH" not in stderr + stdout
    assert b"run the same command again to go on" in stderr
    assert all_gone(workers)
    check_no_temporaries()


def test_a_program_that_is_killed_leaves_no_process() -> None:
    files = [put("b.ppm", "sleep 300"), put("c.ppm", "sleep 300")]
    with running("predict", *files, "-o", "out", "--isolate") as (process, workers):
        process.kill()
        assert all_gone(workers)


def test_a_run_that_ends_with_an_error_leaves_no_process() -> None:
    files = [put("a.ppm", "crash SIGSEGV"), put("b.ppm", "sleep 2"), put("c.ppm", "sleep 2"), put("d.png")]
    with running("predict", *files, "-o", "out", "--isolate", "--fail-fast") as (process, workers):
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert all_gone(workers)


@pytest.mark.soak
def test_a_run_that_was_stopped_for_longer_than_the_timeout_goes_on_where_it_was() -> None:
    """Ctrl-Z, and later `fg`: what the workers finished meanwhile is not late."""
    files = [put("b.ppm", "sleep 1"), put("c.ppm", "sleep 1")]
    with running("predict", *files, "-o", "out", "--timeout", "4") as (process, _):
        process.send_signal(signal.SIGSTOP)
        time.sleep(4.5)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert len(written()) == 2
