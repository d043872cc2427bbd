"""How much memory whole runs take: of large photographs, and of many pictures. All of them long: marked so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glpn_cli.benchmark.synthetic import make_pictures, make_random_model, read_config
from glpn_cli.benchmark.timing import predict_command, run_python
from glpn_cli.errors import GlpnError

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="nobody else tells a process's peak"),
]


def peak_of(pictures: list[Path], model: Path, output: Path, *options: str) -> int:
    """The most memory that a run held, in bytes."""
    command = predict_command([*map(str, pictures)], str(model), str(output), options=options)
    _, peak = run_python(*command)
    assert peak is not None
    return peak


def test_a_photograph_of_12_megapixels_through_the_published_size_takes_less_than_2_gb(tmp_path: Path) -> None:
    model = make_random_model(tmp_path / "b4", read_config("b4"))
    photographs = make_pictures(tmp_path / "photos", 3, size=(3000, 4000))
    assert peak_of(photographs[:1], model, tmp_path / "one") < 2 << 30
    assert peak_of(photographs, model, tmp_path / "all") < 2 << 30


def test_ten_times_the_pictures_take_no_more_memory_though_a_third_of_them_is_broken(
    tiny_model: Path, tmp_path: Path
) -> None:
    whole = make_pictures(tmp_path / "made", 1, size=(240, 320))[0].read_bytes()
    peaks = []
    for count in (200, 2000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for index in range(count):
            (folder / f"{index:04}.jpg").write_bytes(whole[: len(whole) // 2] if index % 3 == 0 else whole)
        peaks.append(peak_of([folder], tiny_model, tmp_path / f"out{count}", "--allow-failed", "50%"))
        assert len(list((tmp_path / f"out{count}").iterdir())) == count - (count + 2) // 3
    assert peaks[1] - peaks[0] < 16 << 20


def test_a_measured_run_that_fails_is_no_measurement(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(GlpnError):
        peak_of([tmp_path / "nothing.jpg"], tiny_model, tmp_path)
