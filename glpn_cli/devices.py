"""What this machine has to compute with: devices, native precisions, cores and memory that we may really use.

A container with two of sixty-four cores has two: affinity and cgroup limits count, not what is soldered on the board.
torch is imported only where a device is asked for.
"""

from __future__ import annotations

import gc
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glpn_cli.errors import ErrorCode, UsageError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def check_device_name(asked: str) -> None:
    """Refuse what can be no device, without asking torch; planning calls this.

    Raises UsageError (E_DEVICE).
    """
    if not _DEVICE.fullmatch(asked):
        raise UsageError(
            f"there is no device {asked!r}", hint="The devices are auto, cpu, mps, cuda, cuda:N.", code=ErrorCode.DEVICE
        )


def list_devices() -> list[str]:
    """The devices that `--device` accepts here, best last: cpu, mps, cuda:0, ..."""
    import torch

    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    found += [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return found


def choose_device(asked: str = "auto") -> str:
    """The device to use: what was asked for, if it is there; for auto the first GPU, else the CPU.

    Raises UsageError (E_DEVICE) that lists the devices there are.
    """
    check_device_name(asked)
    if asked == "cpu":
        return asked
    found = list_devices()
    if asked == "auto":
        return next((name for name in ("cuda:0", "mps") if name in found), "cpu")
    wanted = "cuda:0" if asked == "cuda" else asked
    if wanted not in found:
        raise UsageError(
            f"device {asked!r} is not available here", hint=f"There is {', '.join(found)}.", code=ErrorCode.DEVICE
        )
    return wanted


def choose_precision(asked: str, device: str) -> str:
    """The arithmetic to use on `device`: "fp32", "bf16" or "fp16".

    auto is bf16 where the hardware multiplies it natively (AMX, AVX512-BF16, CUDA from Ampere on), else fp32. Raises
    UsageError for fp16 on a CPU, which would only emulate it.
    """
    if asked not in _PRECISIONS:
        raise UsageError(f"there is no precision {asked!r}", hint=f"The precisions are {', '.join(_PRECISIONS)}.")
    if asked == "auto":
        return "bf16" if multiplies_bf16(device) else "fp32"
    if asked == "fp16" and device == "cpu":
        raise UsageError("a CPU only emulates fp16", hint="Use --precision bf16 or fp32.")
    return asked


def multiplies_bf16(device: str) -> bool:
    """Whether matrix products in bf16 are native on `device`, and so faster than in fp32."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_capability(device)[0] >= 8
    return device == "cpu" and bool({"amx_bf16", "avx512_bf16"} & _cpu_flags())


def _cpu_flags() -> frozenset[str]:
    """The features of the CPU, as Linux lists them; empty on other systems."""
    text = _read(_PROC / "cpuinfo") or ""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(match.group(1).split()) if match else frozenset()


def set_threads(threads: int | None) -> None:
    """Set how many threads torch uses in this process; None is all cores that it may use."""
    import torch

    torch.set_num_threads(threads or cores())


@contextmanager
def no_collection() -> Iterator[None]:
    """Import large modules without looking for garbage in them, now or later: that takes a tenth of torch's import."""
    was_on, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules:
            gc.freeze()
        if was_on:
            gc.enable()


def cores() -> int:
    """How many cores this process may use: affinity and the cgroup's quota, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (_cpu_quota(folder) for folder in _cgroup_folders())
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def memory_bytes(device: str = "cpu") -> int | None:
    """How much memory this process may still take on a device; None if unknown.

    On the CPU what the machine has free and its cgroups leave.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    if device != "cpu":
        return None
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _read(_PROC / "meminfo") or "", re.MULTILINE)
    left = [int(match.group(1)) * 1024] if match else []
    left += [room for folder in _cgroup_folders() if (room := _memory_left(folder)) is not None]
    return max(0, min(left)) if left else None


def _cgroup_folders() -> Iterator[Path]:
    """The folders of this process's cgroups, from its own up to the root; a limit may stand in any of them."""
    for line in (_read(_PROC / "self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        roots = [_CGROUPS / name for name in ("cpu", "memory") if name in controllers.split(",")] or [_CGROUPS]
        for root in roots:
            folder = root / path.lstrip("/")
            # Inside a container the path may be the host's; the limits then stand at the root.
            yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root))


def _cpu_quota(folder: Path) -> float | None:
    """The cores that a cgroup may use, by its one file (version 2) or its two (version 1); None without a limit."""
    names = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    words = " ".join(_read(folder / name) or "" for name in names).split()
    if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
        return int(words[0]) / int(words[1])
    return None


def _memory_left(folder: Path) -> int | None:
    for names in ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"):
        limit, used = (_read(folder / name) for name in names)
        if limit is not None and used is not None and limit.strip().isdigit():
            # Pages of files that were read count as used but are given back when needed.
            cache = re.search(r"^(?:total_)?inactive_file (\d+)", _read(folder / "memory.stat") or "", re.MULTILINE)
            return int(limit) - int(used) + (int(cache.group(1)) if cache else 0)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return None
