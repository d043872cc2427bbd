"""From files on disk to numbers, against a second computation that shares nothing with the first but the rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glpn_cli.data.sources import open_source
from glpn_cli.evaluation.alignment import Alignment
from glpn_cli.evaluation.evaluate import Evaluation, evaluate
from glpn_cli.evaluation.predictors import FolderPredictor
from glpn_cli.evaluation.protocols import PROTOCOLS, Protocol


def textbook(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """The metrics, written down once more."""
    ratio = predicted / target
    worse = np.where(ratio > 1, ratio, 1 / ratio)
    log_error = np.log(predicted / target)
    return {
        "d1": (worse < 1.25).mean(),
        "d2": (worse < 1.5625).mean(),
        "d3": (worse < 1.953125).mean(),
        "abs_rel": np.abs(1 - ratio).mean(),
        "sq_rel": ((predicted - target) ** 2 / target).mean(),
        "rmse": ((predicted - target) ** 2).mean() ** 0.5,
        "rmse_log": (log_error**2).mean() ** 0.5,
        "log10": np.abs(np.log10(predicted) - np.log10(target)).mean(),
        "silog_half": ((log_error**2).mean() - 0.5 * log_error.mean() ** 2) ** 0.5,
        "silog_100": 100 * log_error.std(),
    }


def stored(path: Path, depth_m: np.ndarray, scale: float) -> np.ndarray:
    """Write a 16-bit PNG, and give the metres that it really holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    units = np.round(depth_m * scale).astype(np.uint16)
    Image.fromarray(units).save(path, compress_level=1)
    return units.astype(np.float64) / scale


def write_rgb(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)


def truth(rng: np.random.Generator, size: tuple[int, int], farthest: float) -> np.ndarray:
    """Depths with holes, some beyond what counts."""
    depth = rng.uniform(0.5, farthest, size)
    depth[rng.random(size) < 0.3] = 0
    return depth


def agree(found: dict[str, float], pictures: list[dict[str, float]]) -> None:
    expected = {name: float(np.mean([picture[name] for picture in pictures])) for name in pictures[0]}
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("align", ["none", "median"])
def test_nyu(tmp_path: Path, align: str) -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for index in range(3):
        scene = tmp_path / "nyu/official_splits/test/kitchen"
        write_rgb(scene / f"rgb_{index:05d}.png", (480, 640))
        true = stored(scene / f"sync_depth_{index:05d}.png", truth(rng, (480, 640), 11), 1000)
        made = stored(tmp_path / f"maps/kitchen_rgb_{index:05d}.png", rng.uniform(0.5, 10, (480, 640)), 4999)
        true, made = true[45:471, 41:601], made[45:471, 41:601]
        counts = (true > 1e-3) & (true < 10)
        made, true = made[counts], true[counts]
        pictures.append(textbook(made * (np.median(true) / np.median(made) if align == "median" else 1), true))
    predictor = FolderPredictor(tmp_path / "maps", depth_scale=4999)  # a scale without ties at 1.25
    source, rules = open_source(f"nyu:{tmp_path / 'nyu'}", split="test"), PROTOCOLS["nyu"]
    evaluation = Evaluation.begin(predictor, source, protocol=rules)
    assert len(list(evaluate(source, [evaluation]))) == len(evaluation.pictures)
    assert len(evaluation.measured) == 3
    agree({name: value.mean for name, value in evaluation.means(Alignment(align)).items()}, pictures)


@pytest.mark.parametrize(
    ("crop", "rows", "columns"), [("garg", (143, 349), (43, 1172)), ("eigen", (117, 321), (43, 1172))]
)
def test_kitti(tmp_path: Path, crop: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    pictures, lines = [], []
    for index, (height, width) in enumerate([(375, 1242), (370, 1226)]):
        rgb = f"2011_09_26/2011_09_26_drive_0002_sync/image_02/data/{index:010d}.png"
        depth = f"2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/{index:010d}.png"
        lines.append(f"{rgb} {depth} 721.5377\n")
        write_rgb(tmp_path / "kitti/raw" / rgb, (height, width))
        true = stored(tmp_path / "kitti/gts" / depth, truth(rng, (height, width), 90), 256)
        made = stored(tmp_path / f"maps/{index:010d}.png", rng.uniform(1, 80, (height, width)), 256)
        top, left = height - 352, (width - 1216) // 2
        window = (slice(top + rows[0], top + rows[1]), slice(left + columns[0], left + columns[1]))
        true, made = true[window], made[window]
        counts = (true > 1e-3) & (true < 80)
        pictures.append(textbook(made[counts], true[counts]))
    (tmp_path / "kitti/eigen_test_files_with_gt.txt").write_text("".join(lines))
    predictor = FolderPredictor(tmp_path / "maps", depth_scale=256)
    source, rules = open_source(f"kitti:{tmp_path / 'kitti'}", split="test"), Protocol.choose("kitti", crop=crop)
    evaluation = Evaluation.begin(predictor, source, protocol=rules)
    assert len(list(evaluate(source, [evaluation]))) == len(evaluation.pictures)
    assert len(evaluation.measured) == 2
    agree({name: value.mean for name, value in evaluation.means(Alignment.NONE).items()}, pictures)
    assert evaluation.measured[0].scores[Alignment.NONE] == pytest.approx(pictures[0], rel=1e-6)
