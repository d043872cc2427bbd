"""Known distances: one for a scale, two for a scale and a shift; and back from the file that they are kept in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from depth_files.depth_samples import PROVENANCE, make_depth, make_result

from glpn_cli.calibration import (
    Calibration,
    KnownDistance,
)
from glpn_cli.depth_files import make_writer, read_record
from glpn_cli.errors import InputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap, Result


def known(*pairs: tuple[float, float]) -> list[KnownDistance]:
    return [KnownDistance(x=index, y=0, found=found, metres=metres) for index, (found, metres) in enumerate(pairs)]


def test_one_known_distance_gives_a_scale() -> None:
    made = Calibration.fit(DepthKind.METRIC, known((2.0, 2.35)))
    assert (made.scale, made.shift) == (pytest.approx(1.175), 0)
    depth = made.apply(DepthMap(np.array([[2, 4]], np.float32), limit=10.0))
    assert depth.values[0].tolist() == pytest.approx([2.35, 4.7])
    assert depth.limit == pytest.approx(11.75)


def test_two_give_a_scale_and_a_shift_and_more_the_best_fit() -> None:
    made = Calibration.fit(DepthKind.AFFINE, known((1, 1.5), (3, 2.5)))
    assert (made.scale, made.shift) == (pytest.approx(0.5), pytest.approx(1))
    noisy = Calibration.fit(DepthKind.METRIC, known((1, 1.51), (3, 2.49), (5, 3.51), (7, 4.49)))
    assert noisy.scale == pytest.approx(0.5, abs=0.01)


def test_two_known_distances_make_metres_of_disparity() -> None:
    truth = np.array([[0.5, 1, 2, 8]], np.float32)
    disparity = DepthMap(100 / truth + 7, kind=DepthKind.DISPARITY)
    points = known((float(disparity.values[0, 1]), 1.0), (float(disparity.values[0, 3]), 8.0))
    made = Calibration.fit(DepthKind.DISPARITY, points)
    depth = made.apply(disparity)
    assert depth.kind is DepthKind.METRIC
    np.testing.assert_allclose(depth.values, truth, rtol=1e-5)


def test_what_comes_out_behind_the_camera_is_a_hole() -> None:
    made = Calibration(DepthKind.AFFINE, scale=1.0, shift=-2.0)
    depth = made.apply(DepthMap(np.array([[1, 2, 3]], np.float32), kind=DepthKind.AFFINE))
    assert depth.valid is not None
    assert depth.valid.tolist() == [[False, False, True]]
    assert depth.valid_values().tolist() == [1]


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.DISPARITY])
def test_one_is_too_few_where_the_shift_is_unknown(kind: DepthKind) -> None:
    with pytest.raises(UsageError, match="two known distances"):
        Calibration.fit(kind, known((1, 1)))


@pytest.mark.parametrize(
    ("pairs", "said"), [(((2, 1), (2, 3)), "same depth"), (((1, 5), (2, 3)), "farther by the known distances")]
)
def test_distances_that_contradict_the_map_are_refused(pairs: tuple[tuple[float, float], ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Calibration.fit(DepthKind.METRIC, known(*pairs))


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    made = Calibration.fit(DepthKind.METRIC, known((2, 2.35), (4, 5)), provenance=PROVENANCE, source="a.jpg")
    path = tmp_path / "sub/calibration.json"
    made.write(path)
    assert Calibration.read(path) == made
    replace(made, scale=2.0).write(path)
    assert Calibration.read(path).scale == 2
    assert made.model == "nyu"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type": "calibration", "schema": 9}',
        '{"type": "calibration", "schema": 1, "kind": "metric", "scale": -1, "shift": 0}',
        '{"type": "calibration", "schema": 1, "kind": "metric", "scale": NaN, "shift": 0}',
        '{"type": "calibration", "schema": 1, "kind": "mild", "scale": 1, "shift": 0}',
        '{"type": "calibration", "schema": 1, "kind": "metric", "scale": 1, "shift": 0, "points": [3]}',
        '{"type": "calibration", "schema": 1, "kind": "metric", "scale": 1%s, "shift": 0}' % ("0" * 400),
        (
            '{"type": "calibration", "schema": 1, "kind": "metric", "scale": 1, "shift": 0,'
            ' "points": [{"x": Infinity, "y": 0, "found": 1, "metres": 1}]}'
        ),
        "[" * 100_000,
    ],
)
def test_nonsense_is_no_calibration_and_is_never_replaced(text: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no calibration"):
        Calibration.read(path)
    with pytest.raises(UsageError, match="is in the way"):
        Calibration(DepthKind.METRIC, 1.0).write(path)
    assert path.read_text() == text


def test_it_is_for_one_model_and_one_kind_and_for_once() -> None:
    made = Calibration.fit(DepthKind.METRIC, known((1, 2)))
    own = replace(made, model="nyu", weights_sha256=PROVENANCE.weights_sha256)
    own.check(DepthKind.METRIC, PROVENANCE)
    made.check(DepthKind.METRIC, PROVENANCE)
    with pytest.raises(UsageError, match="for model nyu, and this is kitti"):
        own.check(DepthKind.METRIC, replace(PROVENANCE, model="kitti", weights_sha256="cd" * 32))
    ours = Calibration.from_json(Calibration.fit(DepthKind.METRIC, known((1, 2)), provenance=PROVENANCE).to_json())
    ours.check(DepthKind.METRIC, PROVENANCE)
    with pytest.raises(UsageError, match="is for metres to 10, and these go to 20, by another --max-depth"):
        ours.check(DepthKind.METRIC, replace(PROVENANCE, limit_m=20.0))
    with pytest.raises(UsageError, match="for metric depth, and this is disparity"):
        own.check(DepthKind.DISPARITY, PROVENANCE)
    with pytest.raises(UsageError, match="calibrated already"):
        own.check(DepthKind.METRIC, own.apply_to(PROVENANCE))
    with pytest.raises(UsageError, match="calibrated already"):
        Calibration.fit(DepthKind.METRIC, known((1, 2)), provenance=own.apply_to(PROVENANCE))
    with pytest.raises(InputError, match="for metric depth"):
        own.apply(make_depth(kind=DepthKind.SCALE))


def test_records_carry_it_and_it_is_part_of_the_recipe() -> None:
    made = Calibration(DepthKind.METRIC, 1.5, 0.25)
    depth = make_depth()
    plain = make_result(depth)
    calibrated = Result(made.apply(depth), plain.source, made.apply_to(PROVENANCE))
    writer = make_writer("tiff", kind=DepthKind.METRIC, limit_m=made.limit_of(10))
    record = read_record(writer.encode(calibrated).data)
    assert record is not None
    assert record.limit_m == 15.25
    assert record.to_text()["glpn:calibration"] == "metric scale 1.5 shift 0.25"
    assert record.provenance == calibrated.provenance
    expected = writer.expect(plain.source.name, kind=DepthKind.METRIC, provenance=PROVENANCE)
    assert expected is not None
    assert [difference.key for difference in record.differences(expected)] == ["calibration", "limit_m"]


def test_the_file_is_json_that_says_how_it_came_about(tmp_path: Path) -> None:
    Calibration.fit(DepthKind.METRIC, known((2.0, 2.35)), source="a.jpg").write(tmp_path / "c.json")
    raw = json.loads((tmp_path / "c.json").read_text())
    assert raw["scale"] == pytest.approx(1.175)
    assert raw["points"] == [{"x": 0, "y": 0, "found": 2.0, "metres": 2.35}]
    assert raw["source"] == "a.jpg"
