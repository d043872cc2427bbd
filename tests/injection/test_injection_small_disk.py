"""A file system of one megabyte, a real one where the tests may mount it: it fills up, and is gone on with."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from conftest import make_rgb
from faulty_disk import FaultyDisk
from journeys import contents, run
from PIL import Image

from glpn_cli.atomic_write import is_temporary

BALLAST = Path("small/ballast")
MAPS = Path("small/maps")


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of a megabyte at `folder`; says whether it is one, or only a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "glpn", str(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    torch.set_num_threads(1)
    Path("photos").mkdir()
    for index in range(60):  # of 12 kB each as npy: 740 kB together
        path = Path(f"photos/{index:02}.png")
        Image.fromarray(make_rgb(48, 64, seed=index)).save(path, compress_level=1)
        os.utime(path, (1_600_000_000, 1_600_000_000))


def predict(*words: str) -> tuple[str, ...]:
    return ("predict", *words, "-f", "npy", "--threads", "1", "--workers", "2", "--precision", "fp32")


@pytest.mark.usefixtures("_pictures")
def test_a_disk_of_a_megabyte_stops_the_run_and_is_gone_on_with_when_there_is_room() -> None:
    assert run(predict("photos", "-o", "whole")).exit_code == 0
    whole = contents(Path("whole"))
    with small_disk(Path("small")) as is_real:
        assert run(predict("photos/00.png", "photos/01.png", "-o", str(MAPS))).exit_code == 0
        old = contents(MAPS)
        BALLAST.write_bytes(bytes(600_000))
        # Where no disk can be mounted, one that takes 20 files and then no more.
        full = FaultyDisk(Path("small"), "write", call=21, number=errno.ENOSPC, lasting=True)
        with nullcontext() if is_real else full.in_place():
            stopped = run(predict("photos", "-o", str(MAPS)))
        assert stopped.exit_code == 4, stopped.output
        assert "no space left on device [E_NOSPACE]" in stopped.stderr
        assert "run the same command again to go on" in stopped.stderr
        assert "Traceback" not in stopped.stderr
        left = contents(MAPS)
        assert 10 < len(left) < 60
        assert old.items() <= left.items(), "an old result is harmed"
        assert left.items() <= whole.items(), "a file is half, or a temporary is left"
        BALLAST.unlink()
        again = run(predict("photos", "-o", str(MAPS)))
        assert again.exit_code == 0, again.output
        assert f"{len(left)} skipped (already done)" in again.stderr
        assert contents(MAPS) == whole


@pytest.mark.usefixtures("_pictures")
def test_a_report_that_no_longer_fits_stops_the_run_too() -> None:
    with small_disk(Path("small")) as is_real:
        full = FaultyDisk(Path("small"), "write", call=4, number=errno.ENOSPC, lasting=True)
        BALLAST.write_bytes(bytes(1_030_000 if is_real else 0))
        with nullcontext() if is_real else full.in_place():
            stopped = run(predict("photos", "-o", "whole", "--report", "small/report.jsonl"))
        assert stopped.exit_code == 4, stopped.output
        assert "no space left on device" in stopped.stderr
        assert "Traceback" not in stopped.stderr
    assert not any(is_temporary(Path(name).name) for name in contents(Path("whole")))


@pytest.mark.usefixtures("_pictures")
def test_a_model_that_does_not_fit_leaves_the_one_that_was_there(tiny_model: Path) -> None:
    with small_disk(Path("small")) as is_real:
        convert = ("convert", str(tiny_model), "-o", "small/model")
        assert run(convert).exit_code == 0
        old = contents(Path("small/model"))
        BALLAST.write_bytes(bytes(700_000))
        full = FaultyDisk(Path("small"), "write", call=9, number=errno.ENOSPC, lasting=True)
        with nullcontext() if is_real else full.in_place():
            stopped = run((*convert, "--max-depth", "20", "--existing", "overwrite"))
        assert stopped.exit_code == 4, stopped.output
        assert "no space left on device" in stopped.stderr
        assert contents(Path("small/model")) == old, "a config of one model beside the weights of another"
