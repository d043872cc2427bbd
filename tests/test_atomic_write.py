from __future__ import annotations

import errno
import io
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from glpn_cli import atomic_write
from glpn_cli.atomic_write import (
    is_temporary,
    probe_writable,
    remove_stale,
    write_atomically,
    write_stdout,
    write_together,
)
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, OutputError, StoppedError, UsageError

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def temporary_name(*, host: str | None = None, pid: int | None = None) -> str:
    own = atomic_write.new_temporary_name()
    match = atomic_write._TEMPORARY.fullmatch(own)
    assert match
    return f".glpn-{host or match['machine']}-{pid or match['pid']}-{match['token']}.tmp"


@pytest.fixture
def tight_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


# What is written


@pytest.mark.parametrize(
    "data",
    [b"abcdef", bytearray(b"abcdef"), memoryview(b"abcdef"), [b"abc", b"", b"def"], iter([b"abcdef"])],
    ids=["bytes", "bytearray", "view", "pieces", "iterator"],
)
def test_bytes_and_pieces_of_bytes_arrive_whole(tmp_path: Path, data: Any) -> None:
    write_atomically(tmp_path / "x.bin", data)
    assert (tmp_path / "x.bin").read_bytes() == b"abcdef"
    assert names(tmp_path) == ["x.bin"]


def test_a_function_writes_to_the_stream_it_is_given(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x.bin", lambda stream: stream.write(b"abc"))
    assert (tmp_path / "x.bin").read_bytes() == b"abc"


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "x.bin", b"abc")
    assert (tmp_path / "a" / "b" / "x.bin").read_bytes() == b"abc"


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"something longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    seen = []

    def write(stream: BinaryIO) -> None:
        stream.write(b"ne")
        stream.flush()
        seen.append(path.read_bytes())
        seen.append(sorted(is_temporary(name) for name in names(tmp_path)))
        stream.write(b"w")

    write_atomically(path, write)
    assert seen == [b"old", [False, True]]
    assert path.read_bytes() == b"new"


def test_the_mode_follows_the_umask(tmp_path: Path, tight_umask: None) -> None:
    write_atomically(tmp_path / "tight.bin", b"abc")
    os.umask(0o022)
    write_atomically(tmp_path / "wide.bin", b"abc")
    assert stat.S_IMODE((tmp_path / "tight.bin").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "wide.bin").stat().st_mode) == 0o644


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a folder to a foreign group")
def test_a_setgid_folder_hands_on_its_group(tmp_path: Path) -> None:
    os.chown(tmp_path, -1, 12345)
    tmp_path.chmod(0o2775)
    write_atomically(tmp_path / "x.bin", b"abc")
    assert (tmp_path / "x.bin").stat().st_gid == 12345


def test_a_link_is_written_through_to_its_target(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.bin").write_bytes(b"old")
    link = tmp_path / "x.bin"
    link.symlink_to(tmp_path / "far" / "x.bin")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "far" / "x.bin").read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such names")
def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe [b]\n.bin"))
    write_atomically(path, b"abc")
    assert [os.fsencode(name) for name in names(tmp_path)] == [b"\xff\xfe [b]\n.bin"]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_atomically(Path(os.devnull), b"abc")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bin"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"abc")
    reader.join()
    assert read == [b"abc"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


# Not replacing


def test_without_replacing_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="already exists") as caught:
        write_atomically(path, b"new", replace=False)
    assert caught.value.code is ErrorCode.EXISTS
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def test_without_replacing_a_new_file_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x.bin", b"new", replace=False)
    assert (tmp_path / "x.bin").read_bytes() == b"new"
    assert (tmp_path / "x.bin").stat().st_nlink == 1
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("there", [False, True])
def test_without_replacing_works_where_hard_links_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "x.bin"
    if there:
        path.write_bytes(b"old")
        with pytest.raises(OutputError, match="already exists"):
            write_atomically(path, b"new", replace=False)
    else:
        write_atomically(path, b"new", replace=False)
    assert path.read_bytes() == (b"old" if there else b"new")
    assert names(tmp_path) == ["x.bin"]


def test_of_many_writers_without_replacing_exactly_one_wins(tmp_path: Path) -> None:
    outcomes: list[bool] = []

    def write(number: int) -> None:
        try:
            write_atomically(tmp_path / "x.bin", bytes([number]) * 1000, replace=False)
            outcomes.append(True)
        except OutputError:
            outcomes.append(False)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]
    assert len(set((tmp_path / "x.bin").read_bytes())) == 1
    assert names(tmp_path) == ["x.bin"]


# What breaks


def inject(monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, where, fail)


@pytest.mark.parametrize("where", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, StoppedError, ErrorCode.NO_SPACE),
        (errno.EDQUOT, StoppedError, ErrorCode.NO_SPACE),
        (errno.EFBIG, StoppedError, ErrorCode.NO_SPACE),
        (errno.EIO, StoppedError, ErrorCode.IO),
        (errno.ESTALE, StoppedError, ErrorCode.IO),
        (errno.EROFS, StoppedError, ErrorCode.PERMISSION),
        (errno.EACCES, OutputError, ErrorCode.PERMISSION),
    ],
)
def test_a_fault_at_any_step_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int, kind: type[GlpnError], code: ErrorCode
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    inject(monkeypatch, where, OSError(number, os.strerror(number)))
    with pytest.raises(kind, match=os.strerror(number).lower()) as caught:
        write_atomically(path, b"new")
    assert type(caught.value) is kind
    assert caught.value.code is code
    assert str(path) in caught.value.message
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), ValueError("no such mode")])
def test_what_the_data_raises_passes_through_and_leaves_no_temporary(tmp_path: Path, error: BaseException) -> None:
    def write(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise error

    (tmp_path / "x.bin").write_bytes(b"old")
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "x.bin", write)
    assert (tmp_path / "x.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def test_a_file_longer_than_files_may_be_stops_the_run_as_a_full_disk_does(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoppedError, match="too large") as caught:
            write_atomically(tmp_path / "x.bin", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code is ErrorCode.NO_SPACE
    assert "ulimit -f" in str(caught.value.hint)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")
def test_a_full_device_stops_the_run() -> None:
    with pytest.raises(StoppedError, match="no space") as caught:
        write_atomically(Path("/dev/full"), bytes(10))
    assert caught.value.exit_code is ExitCode.STOPPED


def test_a_folder_in_the_way_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "x.bin").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_atomically(tmp_path / "x.bin", b"abc")
    assert names(tmp_path) == ["x.bin"]


def test_a_file_for_a_parent_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OutputError, match="not a directory"):
        write_atomically(tmp_path / "a" / "x.bin", b"abc")


def test_a_name_that_is_too_long_is_told_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="name too long") as caught:
        write_atomically(tmp_path / ("x" * 260), b"abc")
    assert caught.value.hint is not None
    assert "--name" in caught.value.hint
    assert names(tmp_path) == []


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.bin").symlink_to("x.bin")
    with pytest.raises(OutputError, match="symbolic links"):
        write_atomically(tmp_path / "x.bin", b"abc")


def test_the_longest_name_that_fits_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), b"abc")
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="permission denied") as caught:
        write_atomically(tmp_path / "x.bin", b"abc")
    assert caught.value.code is ErrorCode.PERMISSION


def test_a_killed_writer_leaves_the_old_file_and_a_temporary_that_the_next_run_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from glpn_cli.atomic_write import write_atomically\n"
        "def write(stream):\n"
        "    stream.write(b'half')\n"
        "    stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), write)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.read_bytes() == b"old"
    assert [is_temporary(name) for name in names(tmp_path)] == [True, False]
    assert remove_stale(tmp_path) == 1
    assert names(tmp_path) == ["x.bin"]


# Together


def test_files_that_belong_together_stay_as_they_are_unless_all_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoppedError, match=r"'.*b': no space"):
        write_together({tmp_path / "a": b"new", tmp_path / "b": fail})
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
    write_together({tmp_path / "a": b"new", tmp_path / "b": b"too"})
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"new", b"too"]


# Sweeping


def test_temporaries_are_known_by_name() -> None:
    assert is_temporary(atomic_write.new_temporary_name())
    assert is_temporary(".glpn-some-host.example.org-12-0a1b.tmp")
    for name in ("x.png", ".glpn-x.tmp", "glpn-h-1-ab.tmp", ".glpn-h-1-ab.tmp.png", ".glpn-h-x-ab.tmp"):
        assert not is_temporary(name)


def test_a_sweep_takes_only_this_machines_dead(tmp_path: Path) -> None:
    mine_dead = temporary_name(pid=dead_pid())
    reused = temporary_name()  # our own process number, but nothing that we are writing
    alive = temporary_name(pid=os.getppid())
    foreign = temporary_name(host="elsewhere", pid=1)
    for name in (mine_dead, reused, alive, foreign, "x.png", ".hidden.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / temporary_name(pid=dead_pid())).mkdir()
    assert remove_stale(tmp_path) == 2
    left = names(tmp_path)
    assert mine_dead not in left
    assert reused not in left
    assert {alive, foreign, "x.png", ".hidden.tmp"} <= set(left)
    assert len(left) == 5


def test_machines_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = tmp_path / "machine-id"
    monkeypatch.setattr(atomic_write, "_MACHINE_ID", identity)
    called = []
    for written in ("3d1219c7", "90ab12cd", None):  # the last has no such file
        identity.write_text(written) if written else identity.unlink()
        called.append(atomic_write.this_machine.__wrapped__())
    assert len(set(called)) == 3
    assert not any("3d1219c7" in name or "/" in name for name in called), "the id is not for others to know"
    monkeypatch.setattr(atomic_write, "this_machine", lambda: called[0])
    theirs = temporary_name(host=called[1], pid=dead_pid())
    (tmp_path / theirs).write_bytes(b"")
    assert remove_stale(tmp_path) == 0


def test_a_sweep_leaves_what_another_thread_is_writing(tmp_path: Path) -> None:
    def write(stream: BinaryIO) -> None:
        assert remove_stale(tmp_path) == 0
        stream.write(b"abc")

    write_atomically(tmp_path / "x.bin", write)
    assert names(tmp_path) == ["x.bin"]


def test_a_sweep_by_age_takes_any_machines(tmp_path: Path) -> None:
    old, young = temporary_name(host="elsewhere"), temporary_name(host="elsewhere")
    for name in (old, young):
        (tmp_path / name).write_bytes(b"")
    yesterday = time.time() - 90_000
    os.utime(tmp_path / old, (yesterday, yesterday))
    assert remove_stale(tmp_path, older_than_s=86_400) == 1
    assert names(tmp_path) == [young]


def test_sweeping_a_missing_folder_is_nothing(tmp_path: Path) -> None:
    assert remove_stale(tmp_path / "missing") == 0


# Probing


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    probe_writable(tmp_path)
    probe_writable(tmp_path / "a" / "b")
    assert names(tmp_path) == []


def test_a_probe_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UsageError, match="it is a file"):
        probe_writable(tmp_path / "a")


def test_a_probe_refuses_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UsageError, match="not a directory"):
        probe_writable(tmp_path / "a" / "b")


def test_a_probe_refuses_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "missing")
    with pytest.raises(UsageError, match="no such file"):
        probe_writable(tmp_path / "a")


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EACCES, UsageError, ErrorCode.PERMISSION),
        (errno.EROFS, UsageError, ErrorCode.PERMISSION),
        (errno.ENOSPC, StoppedError, ErrorCode.NO_SPACE),
    ],
)
def test_a_probe_tells_a_bad_choice_from_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[GlpnError], code: ErrorCode
) -> None:
    inject(monkeypatch, "open", OSError(number, os.strerror(number)))
    with pytest.raises(kind) as caught:
        probe_writable(tmp_path)
    assert caught.value.code is code
    assert str(tmp_path) in caught.value.message


# Standard output


def run_with_stdout(script: str, stdout: Any) -> subprocess.CompletedProcess[str]:
    code = f"from glpn_cli.atomic_write import write_stdout\n{script}"
    return subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )


def test_bytes_reach_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_stdout(b"\x00\xff" * 100_000)
    assert capfdbinary.readouterr().out == b"\x00\xff" * 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")
def test_a_full_standard_output_is_told_once() -> None:
    script = (
        "from glpn_cli.errors import OutputError\n"
        "try:\n    write_stdout(bytes(100))\n"
        "except OutputError as error:\n    raise SystemExit(f'{error.message} {error.code}')\n"
    )
    with Path("/dev/full").open("wb") as full:
        done = run_with_stdout(script, full)
    assert done.returncode == 1
    assert done.stderr == "standard output: no space left on device E_NOSPACE\n"


def test_a_reader_that_has_left_raises_once() -> None:
    script = "try:\n    write_stdout(bytes(10**6))\nexcept BrokenPipeError:\n    raise SystemExit(141)\n"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_with_stdout(script, writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_standard_output_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output is closed"):
        write_stdout(b"abc")


def test_text_written_before_stays_before(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    sys.stdout.write("text ")
    write_stdout(b"bytes")
    assert raw.getvalue() == b"text bytes"
