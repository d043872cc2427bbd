"""What the machine lets us use, read from its own files, and devices that are not there."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest

from glpn_cli import devices
from glpn_cli.devices import no_collection
from glpn_cli.errors import ErrorCode, UsageError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose /proc and cgroups are folders here; 64 cores by affinity."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "cgroup/a/b").mkdir(parents=True)
    monkeypatch.setattr(devices, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(devices, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    return tmp_path


def test_without_limits_the_affinity_counts(machine: Path) -> None:
    (machine / "cgroup/a/b/cpu.max").write_text("max 100000\n")
    assert devices.cores() == 64


@pytest.mark.parametrize(("quota", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1)])
def test_a_quota_in_any_parent_cgroup_limits_the_cores(machine: Path, quota: str, expected: int) -> None:
    (machine / "cgroup/a/cpu.max").write_text(quota + "\n")
    assert devices.cores() == expected


def test_the_first_version_of_cgroups_is_read_too(machine: Path) -> None:
    (machine / "proc/self/cgroup").write_text("4:memory:/x\n3:cpu,cpuacct:/x\n")
    for name, text in (("cpu/cpu.cfs_quota_us", "300000"), ("cpu/cpu.cfs_period_us", "100000")):
        (machine / "cgroup" / name).parent.mkdir(exist_ok=True)
        (machine / "cgroup" / name).write_text(text)
    (machine / "cgroup/memory/x").mkdir(parents=True)
    (machine / "cgroup/memory/x/memory.limit_in_bytes").write_text("1000")
    (machine / "cgroup/memory/x/memory.usage_in_bytes").write_text("400")
    assert devices.cores() == 3
    assert devices.memory_bytes() == 600


def test_memory_is_what_the_tightest_limit_leaves(machine: Path) -> None:
    assert devices.memory_bytes() is None
    (machine / "proc/meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:    3000 kB\n")
    assert devices.memory_bytes() == 3000 * 1024
    (machine / "cgroup/a/memory.max").write_text("1000000\n")
    (machine / "cgroup/a/memory.current").write_text("900000\n")
    (machine / "cgroup/a/memory.stat").write_text("anon 1\ninactive_file 300000\n")
    assert devices.memory_bytes() == 400000


@pytest.mark.parametrize(
    ("flags", "native"), [("fpu avx512_bf16 amx_bf16", True), ("fpu avx512_bf16", True), ("fpu avx2 avx512f", False)]
)
def test_auto_is_bf16_only_where_the_cpu_multiplies_it(machine: Path, flags: str, native: bool) -> None:
    (machine / "proc/cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert devices.choose_precision("auto", "cpu") == ("bf16" if native else "fp32")
    assert devices.choose_precision("fp32", "cpu") == "fp32"


def test_a_cpu_refuses_fp16_and_nobody_knows_fp8() -> None:
    with pytest.raises(UsageError, match="emulates"):
        devices.choose_precision("fp16", "cpu")
    with pytest.raises(UsageError, match="fp8"):
        devices.choose_precision("fp8", "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cuda:0\n", ""])
def test_a_word_that_is_no_device_is_refused_without_torch(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        devices.check_device_name(name)
    assert caught.value.code is ErrorCode.DEVICE


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="cuda:99") as caught:
        devices.choose_device("cuda:99")
    assert caught.value.hint is not None
    assert "cpu" in caught.value.hint
    assert caught.value.code is ErrorCode.DEVICE


def test_auto_names_a_device_that_there_is() -> None:
    assert devices.choose_device("auto") in devices.list_devices()
    assert devices.choose_device("cpu") == "cpu"


def test_the_collector_rests_while_something_large_is_imported_and_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
    with pytest.raises(ModuleNotFoundError), no_collection():
        import_module("nothing_of_this_name")
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_imported_is_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    try:
        frozen = gc.get_freeze_count()
        with redirect_stdout(StringIO()), no_collection():
            import_module("this")
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(
    ("chosen", "count"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
    ids=["nothing", "a count", "a policy"],
)
def test_threads_spin_for_a_short_time_unless_the_user_chose(chosen: dict[str, str], count: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = "import os, glpn_cli; print(os.environ.get('GOMP_SPINCOUNT'))"
    ran = subprocess.run([sys.executable, "-c", program], env=kept | chosen, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == count
