"""`glpn evaluate` with normals, edges, and truth along the ray, as users meet it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.geometry import back_project
from glpn_cli.prediction import Intrinsics

CAMERA = Intrinsics(70, 60, 40, 25)
SIZE = (64, 96)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def evaluate(*arguments: object) -> Result:
    words = ["evaluate", "--predictions", "maps", "--data", "pairs.csv", *map(str, arguments)]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def scores(*arguments: object) -> dict[str, float]:
    """The means without alignment."""
    result = evaluate("--align", "none", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    (model,) = json.loads(result.stdout)["models"]
    return {metric: value["mean"] for metric, value in model["scores"]["none"].items()}


def wall(slope: float) -> np.ndarray:
    """A wall that goes away to the right, with a nearer one in front of its left half."""
    x = (np.arange(SIZE[1]) - CAMERA.cx) / CAMERA.fx
    depth = np.repeat((4 / (1 - slope * x))[None], SIZE[0], axis=0)
    depth[:, :30] /= 2
    return depth.astype(np.float32)


def write(cameras: list[str], *, ray: bool = False) -> None:
    """A list of pictures with truth, and in `maps` the depth of the same walls."""
    lines = ["rgb_path,depth_path,depth_scale,fx,fy,cx,cy"]
    Path("maps").mkdir(exist_ok=True)
    for index, camera in enumerate(cameras):
        Image.fromarray(make_rgb(*SIZE, seed=index)).save(f"{index}.png")
        truth = wall(0.2 + 0.1 * index)
        np.save(f"maps/{index}.npy", truth)
        length = np.linalg.norm(back_project(truth, CAMERA), axis=2)
        np.save(f"{index}_gt.npy", length if ray else truth)
        lines.append(f"{index}.png,{index}_gt.npy,1,{camera}")
    Path("pairs.csv").write_text("\n".join(lines) + "\n")


KNOWN = "70,60,40,25"


def test_only_the_metrics_that_are_asked_for_are_columns() -> None:
    write([KNOWN, KNOWN])
    assert len(scores()) == 10
    assert list(scores("--metrics", "edges,normals")) == [
        *("normal_mean", "normal_median", "normal_11_25", "normal_22_5", "normal_30"),
        *("edge_precision", "edge_recall", "edge_f1"),
    ]
    result = evaluate("--metrics", "depth,normals,edges", "-o", "scores.csv")
    assert "normals: mean deg" in result.stdout
    assert "edges: F1" in result.stdout
    rows = list(csv.DictReader(Path("scores.csv").read_text().splitlines()))
    assert [*rows[0]][5] == "d1"
    assert [*rows[0]][-3:] == ["edge_recall", "edge_f1", "error"]
    assert float(rows[0]["normal_30"]) == float(rows[0]["edge_f1"]) == 1


def test_truth_along_the_ray_is_turned_into_depth_through_the_camera_of_the_list() -> None:
    write([KNOWN, KNOWN], ray=True)
    assert scores()["abs_rel"] > 0.1
    assert scores("--gt-kind", "ray")["abs_rel"] < 1e-6
    fitted = [evaluate("--baseline", "pairs.csv", *asked).stdout for asked in ((), ("--gt-kind", "ray"))]
    assert "truth along the ray" in fitted[1]
    lines = [next(line for line in page.splitlines() if line.startswith("row fit: ")) for page in fitted]
    assert lines[0] != lines[1]  # the baseline learns depth along the axis, too


def test_a_camera_that_is_named_stands_for_those_of_the_data() -> None:
    write([",,,", "50,50,,"], ray=True)
    named = ("--gt-kind", "ray", "--metrics", "depth,normals", "--intrinsics", KNOWN)
    assert scores(*named)["abs_rel"] < 1e-6
    assert scores(*named)["normal_mean"] < 0.01
    assert "camera 70,60,40,25" in evaluate(*named).stdout
    assert scores("--gt-kind", "ray", "--focal", "65px")["abs_rel"] > 1e-3


@pytest.mark.parametrize("asked", [("--gt-kind", "ray"), ("--metrics", "normals")])
def test_without_any_camera_what_needs_one_is_refused_once(asked: tuple[str, str]) -> None:
    write([",,,", ",,40,25"])
    result = evaluate(*asked)
    assert result.exit_code == 2
    assert f"has a focal length, which {' '.join(asked)} needs" in result.stderr
    assert "--intrinsics" in result.stderr
    assert result.stdout == ""


def test_a_picture_without_a_camera_keeps_its_other_scores_and_is_told() -> None:
    write([KNOWN, ",,,"])
    result = evaluate("--metrics", "depth,normals", "-o", "scores.csv")
    assert result.exit_code == 3
    assert "1.png: its camera is not known, so it has no normals" in result.stderr
    assert "2 of 2 pictures" in result.stdout
    assert "normals: 1 of 2 pictures" in result.stdout
    rows = list(csv.DictReader(Path("scores.csv").read_text().splitlines()))
    assert [bool(row["normal_mean"]) for row in rows if row["d1"]] == [True, True, False, False]
    (model,) = json.loads(evaluate("--metrics", "depth,normals", "--json").stdout)["models"]
    assert (model["measured"], model["metrics_missing"]) == (2, {"normals": ["1.png"]})
    alone = evaluate("--metrics", "normals")
    assert "1 of 2 pictures" in alone.stdout
    ray = evaluate("--gt-kind", "ray")
    assert ray.exit_code == 3
    assert "1.png: its camera is not known, so its ray lengths" in ray.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "depth,colour"], "--metrics 'colour' is none of depth, normals, edges"),
        (["--focal", "60deg"], "--focal is for --metrics normals"),
        (["--metrics", "normals", "--focal", "60deg", "--intrinsics", KNOWN], "both say the focal length"),
        (["--metrics", "normals", "--focal", "wide"], "'wide' is no focal length"),
        (["--data", "scenes:1:2", "--gt-kind", "ray"], "rooms, NYU and KITTI hold depth along the axis"),
    ],
)
def test_nonsense_is_refused(words: list[str], message: str) -> None:
    write([KNOWN])
    result = evaluate(*words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_camera_of_another_size_is_that_pictures_error() -> None:
    write([KNOWN])
    result = evaluate("--metrics", "normals", "--intrinsics", "500,500,320,240")
    assert result.exit_code == 1
    assert "the optical axis of --intrinsics is at 320,240" in result.stderr
