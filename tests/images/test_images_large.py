"""Very large photographs (case 11 of the catalogue): as many pixels as are needed, in memory for no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import misbehaviour
import pytest
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ReadOptions, read_rgb
from glpn_cli.process_pool import Workers

SIZE = (12_500, 16_000)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 200 megapixels."""
    path = tmp_path_factory.mktemp("large") / "x.jpg"
    Image.linear_gradient("L").resize(SIZE[::-1], Image.Resampling.NEAREST).save(path, quality=80)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_case_11_a_photograph_of_200_megapixels_takes_the_memory_of_what_is_needed(photograph: Path) -> None:
    with Workers(1, modules=("glpn_cli.images",)) as workers:
        before = workers.run(misbehaviour.peak_memory, about="x")
        picture = workers.run(read_rgb, photograph, at_least=(960, 1280), about="x")
        taken = workers.run(misbehaviour.peak_memory, about="x") - before
    assert picture.full_size == SIZE
    assert picture.size == (1563, 2000)
    assert taken < 100 << 20, "of 800 MB that all of it would take"


def test_case_11_the_limit_of_pixels_is_what_the_caller_says(photograph: Path) -> None:
    with pytest.raises(InputError, match="200,000,000 pixels") as caught:
        read_rgb(photograph, ReadOptions(max_pixels=199_999_999), at_least=(960, 1280))
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "--max-pixels 200000000" in (caught.value.hint or "")


@pytest.mark.soak
@pytest.mark.parametrize("options", [[], ["--isolate"]], ids=["here", "isolated"])
def test_case_11_a_map_of_200_megapixels_comes_out_of_two_gigabytes(
    photograph: Path, tmp_path: Path, tiny_model: Path, options: list[str]
) -> None:
    command = [sys.executable, "-m", "glpn_cli", "predict", str(photograph), "-o", "out", "-m", str(tiny_model)]
    process = subprocess.Popen([*command, "--max-pixels", "250M", "-q", *options], cwd=tmp_path)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    with (tmp_path / "out" / "x_depth.png").open("rb") as file:  # only looked at: this process must stay small, too,
        header = file.read(24)  # because a child's peak begins with what its parent has
    assert (int.from_bytes(header[20:24]), int.from_bytes(header[16:20])) == SIZE
    assert usage.ru_maxrss < 2_200_000
