"""Worker processes: called like functions; one that crashes or is late costs one call, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import misbehaviour
import numpy as np
import pytest

from glpn_cli.errors import ErrorCode, GlpnError, InputError, StoppedError
from glpn_cli.images import Picture
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.process_pool import Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, timeout_s=30, memory_bytes=2 << 30) as found:
        yield found


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def fail(workers: Workers, function: Callable[..., Any], *arguments: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        workers.run(function, *arguments, about="'x.tif'")
    return caught.value


def test_a_function_answers_from_another_process_which_is_used_again(workers: Workers) -> None:
    assert workers.run(misbehaviour.add, 2, 3, about="x") == 5
    process = workers.run(misbehaviour.process_id, about="x")
    assert process != os.getpid()
    assert workers.run(misbehaviour.process_id, about="x") == process


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)[::-1],
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.array([[True, False]]),
        np.zeros((0, 5, 3), np.uint8),
        np.array(2.5),
        np.arange(4, dtype=">u2"),
    ],
    ids=lambda array: f"{array.dtype.str}{list(array.shape)}",
)
def test_arrays_of_any_layout_come_back_as_they_went(workers: Workers, array: np.ndarray) -> None:
    back = workers.run(misbehaviour.echo, array, about="x")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    back[...] = 0  # an own copy, that may be written


def test_a_picture_of_twelve_megapixels_comes_whole(workers: Workers) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    valid = rgb[:, :, 0] > 7
    picture = Picture(rgb, (3000, 4000), valid, 28.0, ("W_ICC",))
    back = workers.run(misbehaviour.echo, picture, about="x")
    assert isinstance(back, Picture)
    np.testing.assert_array_equal(back.rgb, rgb)
    np.testing.assert_array_equal(back.valid, valid)
    assert (back.full_size, back.focal_35mm, back.warnings) == ((3000, 4000), 28.0, ("W_ICC",))


def test_maps_come_with_their_kind(workers: Workers) -> None:
    depth = DepthMap(np.full((2, 3), 1.5, np.float32), kind=DepthKind.DISPARITY)
    back = workers.run(misbehaviour.echo, depth, about="x")
    assert back.kind is DepthKind.DISPARITY
    np.testing.assert_array_equal(back.values, depth.values)


def test_functions_among_the_arguments_stay_here_and_are_asked(workers: Workers) -> None:
    asked = []

    def size(height: int, width: int) -> int:
        asked.append((height, width))
        return height * width

    assert workers.run(misbehaviour.ask_for, about="x", size=size) == 13
    assert asked == [(3, 4)]


def test_what_an_asked_function_raises_is_raised_in_the_worker_and_comes_back(workers: Workers) -> None:
    def size(height: int, width: int) -> int:
        raise InputError("no size", hint="None.", code=ErrorCode.TOO_LARGE)

    with pytest.raises(InputError, match="no size") as caught:
        workers.run(misbehaviour.ask_for, about="x", size=size)
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_errors_come_back_with_code_hint_and_where_they_were_raised(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        workers.run(os.stat, str(tmp_path / "none"), about="x")
    assert missing.value.filename == str(tmp_path / "none")
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as bug:
        workers.run(misbehaviour.divide_by_zero, about="x")
    assert any("misbehaviour.py" in note for note in bug.value.__notes__)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGKILL"])
def test_a_signal_costs_one_call_and_is_named(workers: Workers, name: str) -> None:
    started = time.monotonic()
    error = fail(workers, misbehaviour.crash, signal.Signals[name])
    assert error.code is ErrorCode.CRASH
    assert error.message == f"'x.tif' crashed the process that read it ({name})"
    assert ("memory" in (error.hint or "")) == (name == "SIGKILL")
    assert time.monotonic() - started < 10, "noticed at once"
    assert workers.run(misbehaviour.add, 1, 1, about="y") == 2


def test_an_exit_is_a_crash_too(workers: Workers) -> None:
    assert "exit status 3" in fail(workers, misbehaviour.end, 3).message


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_polite_signals_are_the_parents_business(name: str) -> None:
    with Workers(1) as one:
        process = one.run(misbehaviour.process_id, about="x")
        os.kill(process, signal.Signals[name])
        time.sleep(0.05)
        assert one.run(misbehaviour.process_id, about="x") == process


def test_a_call_that_a_worn_out_worker_dies_of_is_tried_in_a_fresh_one(tmp_path: Path) -> None:
    with Workers(1) as one:
        one.run(misbehaviour.add, 1, 1, about="x")
        assert one.run(misbehaviour.crash_once, tmp_path / "marker", about="x") == "survived"


def test_a_fresh_worker_lays_the_blame_at_once(tmp_path: Path) -> None:
    with Workers(1) as one:
        assert fail(one, misbehaviour.crash_once, tmp_path / "marker").code is ErrorCode.CRASH
        assert one.run(misbehaviour.crash_once, tmp_path / "marker", about="x") == "survived"


def test_a_worker_that_died_idle_is_replaced_without_a_word() -> None:
    with Workers(1) as one:
        process = one.run(misbehaviour.process_id, about="x")
        os.kill(process, signal.SIGKILL)
        assert wait_for(lambda: not is_alive(process))
        assert one.run(misbehaviour.process_id, about="x") != process


def test_a_call_that_takes_too_long_is_given_up_and_its_process_ended(tmp_path: Path) -> None:
    with Workers(1, timeout_s=0.3, modules=("misbehaviour",)) as one:
        started = time.monotonic()
        error = fail(one, misbehaviour.hang_in_native_code, tmp_path / "started")
        assert 0.3 <= time.monotonic() - started < 10
        assert error.code is ErrorCode.TIMEOUT
        assert error.message == "'x.tif' was not read within 0.3 s, and was given up"
        assert error.hint is not None
        assert "--timeout" in error.hint
        assert not is_alive(int((tmp_path / "started").read_text()))
        assert one.run(misbehaviour.add, 1, 1, about="y") == 2


def test_starting_does_not_count_as_taking_long() -> None:
    with Workers(1, timeout_s=1.4, modules=("slow_start",)) as one:
        assert one.run(misbehaviour.add, 1, 1, about="x") == 2


def test_waiting_for_a_free_worker_does_not_count_either() -> None:
    with Workers(1, timeout_s=2.0, modules=("misbehaviour",)) as one, ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(one.run, misbehaviour.sleep, 0.8, about="x") for _ in range(3)]
        assert [call.result() for call in calls] == ["slept"] * 3


def test_there_are_no_more_processes_than_asked_for() -> None:
    with Workers(2) as two, ThreadPoolExecutor(6) as threads:
        for _ in range(2):
            list(threads.map(lambda _: two.run(misbehaviour.sleep, 0.05, about="x"), range(6)))
        found = set(threads.map(lambda _: two.run(misbehaviour.process_id, about="x"), range(12)))
    assert len(found) <= 2


def test_memory_beyond_the_bound_is_an_error_of_the_call_and_the_worker_goes_on() -> None:
    with Workers(1, memory_bytes=1 << 30) as one:
        process = one.run(misbehaviour.process_id, about="x")
        with pytest.raises(MemoryError):
            one.run(misbehaviour.take_memory, 2 << 30, about="x")
        assert one.run(misbehaviour.process_id, about="x") == process


def test_a_worker_holds_no_terminal_reads_nothing_and_writes_nowhere(
    workers: Workers, capfd: pytest.CaptureFixture[str]
) -> None:
    assert workers.run(misbehaviour.write_to_standard_streams, about="x") == "written"
    assert workers.run(misbehaviour.read_input, about="x") == b""
    with pytest.raises(OSError, match="No such device"):
        workers.run(misbehaviour.open_terminal, about="x")
    assert capfd.readouterr() == ("", "")
    process = workers.run(misbehaviour.process_id, about="x")
    assert os.getsid(process) == process, "it is no part of the session that a terminal sends signals to"


def test_a_crash_leaves_no_core_file(workers: Workers) -> None:
    assert workers.run(misbehaviour.core_limit, about="x") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is Linux's")
def test_where_memory_runs_out_a_worker_goes_before_its_parent(workers: Workers) -> None:
    process = workers.run(misbehaviour.process_id, about="x")
    assert Path(f"/proc/{process}/oom_score_adj").read_text().strip() == "1000"


def test_a_reply_cannot_make_this_process_call_anything(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "garbled" in fail(workers, misbehaviour.echo, os.getcwd).message
    assert fail(workers, misbehaviour.foreign_value).code is ErrorCode.CRASH
    assert list(tmp_path.iterdir()) == []


def test_noise_in_place_of_a_reply_is_a_crash_of_that_call(workers: Workers) -> None:
    started = time.monotonic()
    assert fail(workers, misbehaviour.reply_with_noise).code is ErrorCode.CRASH
    assert time.monotonic() - started < 10
    assert workers.run(misbehaviour.add, 1, 1, about="x") == 2


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "json", "glpn_cli", "encodings"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(9)")
    with Workers(1) as one:
        assert one.run(misbehaviour.add, 1, 1, about="x") == 2


def test_workers_that_cannot_be_started_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(1, modules=("glpn_cli.no_such_room",)) as one, pytest.raises(StoppedError, match="exit status 1"):
        one.run(misbehaviour.add, 1, 1, about="x")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Workers(1) as one, pytest.raises(StoppedError, match="no such file") as caught:
        one.run(misbehaviour.add, 1, 1, about="x")
    assert "--isolate" in (caught.value.hint or "")


@pytest.mark.parametrize("room", [0, 2])
def test_where_no_more_files_can_be_opened_no_worker_is_started_and_none_stays_open(room: int) -> None:
    import resource

    def lowest_free() -> int:
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        return free

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = lowest_free()
    with Workers(1) as one:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
        try:
            with pytest.raises(StoppedError, match="no process to decode in can be started: too many open files"):
                one.run(misbehaviour.add, 1, 1, about="x")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert lowest_free() == free
        assert one.run(misbehaviour.add, 1, 1, about="x") == 2


def test_closing_ends_idle_and_busy_workers_at_once(tmp_path: Path) -> None:
    two = Workers(2)
    idle = two.run(misbehaviour.process_id, about="x")
    errors: list[GlpnError] = []

    def hang() -> None:
        try:
            two.run(misbehaviour.hang_in_native_code, tmp_path / "started", about="x")
        except GlpnError as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    # It takes the idle worker; another one is idle then.
    assert wait_for((tmp_path / "started").exists)
    other = two.run(misbehaviour.process_id, about="x")
    assert other != idle
    started = time.monotonic()
    two.close()
    thread.join(10)
    assert time.monotonic() - started < 5
    assert not is_alive(idle)
    assert not is_alive(other)
    assert len(errors) == 1
    with pytest.raises(StoppedError):
        two.run(misbehaviour.add, 1, 1, about="x")


PARENT = """
import os, signal, sys, threading, time
from pathlib import Path
import misbehaviour
from glpn_cli.process_pool import Workers

workers = Workers(2)
idle = workers.run(misbehaviour.process_id, about="x")
busy = threading.Thread(
    target=workers.run, args=(misbehaviour.hang_in_native_code, Path("started")), kwargs={"about": "x"}, daemon=True
)
busy.start()
while not Path("started").exists() or not Path("started").read_text():
    time.sleep(0.01)
idle = workers.run(misbehaviour.process_id, about="x")
print(idle, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends after its reply")
@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise SystemExit(1)",
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        "os.abort()",
    ],
)
def test_no_worker_outlives_its_parent_not_even_one_lost_in_native_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(misbehaviour.__file__).parent), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", PARENT + end],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    idle, busy = int(done.stdout), int((tmp_path / "started").read_text())
    assert wait_for(lambda: not is_alive(idle), 5), done.stderr
    assert wait_for(lambda: not is_alive(busy), 5), done.stderr
