"""Scores of a trained network, of glpn's models and of means of them, on pictures with measured depth.

MODEL is a weights file of train.py, a model of glpn, or A+B, the mean of the log depths of two. --photos FOLDER
--sheet OUT.png paints photographs beside the depth that every model gives them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from network import LiteDepth
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from glpn_cli import DepthEstimator
from glpn_cli.colormaps import PaintRange, paint
from glpn_cli.prediction import DepthKind, DepthMap

Predict = Callable[[Image.Image], NDArray[np.float32]]
NEAR_M, FAR_M, LIMIT_M = 1.2, 4.0, 10.0
TRAINED = 192 * 256


def opened(model: str) -> Predict:
    """What gives (H, W) metres of a picture."""
    if "+" in model:
        several = [opened(m) for m in model.split("+")]
        return lambda picture: np.exp(np.mean([np.log(each(picture)) for each in several], axis=0))
    if model.endswith(".safetensors"):
        state = load_file(model)
        network = LiteDepth(lite_size(state)).eval()
        network.load_state_dict({name: value.float() for name, value in state.items()})
        return lambda picture: predicted(network, picture)
    estimator = DepthEstimator.from_pretrained(model, precision="fp32")
    return lambda picture: estimator.predict(picture).values


def lite_size(state: dict[str, torch.Tensor]) -> int:
    """Which EfficientNet-Lite a file holds: 16 blocks are Lite0, 21 Lite1, or Lite2 where they are wide."""
    if "encoder.blocks.16.project.conv.weight" not in state:
        return 0
    return 1 if state["encoder.blocks.20.project.conv.weight"].shape[0] == 320 else 2


def predicted(network: LiteDepth, picture: Image.Image) -> NDArray[np.float32]:
    """Depth at the picture's size; the network sees about its training area, sides multiples of 32."""
    factor = min(1.0, sqrt(TRAINED / (picture.width * picture.height)))
    width, height = (max(round(side * factor / 32) * 32, 32) for side in picture.size)
    small = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).astype(np.float32) / 255
    with torch.inference_mode():
        depth = network(torch.from_numpy(small.transpose(2, 0, 1))[None])[:, None]
        size = (picture.height, picture.width)
        depth = torch.nn.functional.interpolate(depth, size=size, mode="bicubic")[0, 0]
    return depth.clamp(LIMIT_M / 10_000, LIMIT_M).numpy()


def pairs(file: Path) -> Iterator[tuple[Image.Image, NDArray[np.float32]]]:
    """Picture and metres, 0 where unknown, of every row."""
    with file.open() as lines:
        for row in csv.DictReader(lines):
            depth = np.asarray(Image.open(file.parent / row["depth_path"])).astype(np.float32)
            yield Image.open(file.parent / row["rgb_path"]).convert("RGB"), depth / float(row["depth_scale"])


def abs_rel_and_d1(p: NDArray[np.float32], t: NDArray[np.float32]) -> tuple[float, float]:
    """Of predictions and truths, both (N,)."""
    return float(np.mean(abs(p - t) / t)), float(np.mean(np.maximum(p / t, t / p) < 1.25))


def scores(predict: Predict, file: Path) -> str:
    """abs_rel and d1, raw and after median scaling, and the mean error of log depth near and far."""
    rows, near, far = [], [], []
    for picture, truth in pairs(file):
        known = (truth > 0) & (truth < LIMIT_M)
        t, p = truth[known], predict(picture)[known]
        scaled = p * np.median(t) / np.median(p)
        rows.append((*abs_rel_and_d1(p, t), *abs_rel_and_d1(scaled, t)))
        error = np.log(p / t)
        near.append(error[t < NEAR_M])
        far.append(error[t > FAR_M])
    raw, raw_d1, scaled, scaled_d1 = np.mean(rows, axis=0)
    bias = f"bias {np.concatenate(near).mean():+.3f} {np.concatenate(far).mean():+.3f}"
    return f"median {scaled:.3f}/{scaled_d1:.3f} raw {raw:.3f}/{raw_d1:.3f} {bias}"


def sheet(folder: Path, models: list[str], *, height: int = 220) -> Image.Image:
    """One row a photograph: the picture, then each model's depth in one range of colours."""
    predict = [opened(m) for m in models]
    rows = []
    for file in sorted(folder.iterdir()):
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((1024, 1024))
        depths = [each(picture) for each in predict]
        span = PaintRange(*(float(np.percentile(np.stack(depths), q)) for q in (1, 99)))
        painted = [Image.fromarray(paint(DepthMap(d, kind=DepthKind.METRIC), range=span)) for d in depths]
        width = round(picture.width * height / picture.height)
        rows.append(np.concatenate([np.asarray(tile.resize((width, height))) for tile in (picture, *painted)], axis=1))
    widest = max(row.shape[1] for row in rows)
    return Image.fromarray(np.concatenate([np.pad(row, ((0, 4), (0, widest - row.shape[1]), (0, 0))) for row in rows]))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("models", nargs="+", metavar="MODEL")
    ask.add_argument("--pairs", nargs="+", default=[], metavar="NAME=PAIRS.csv")
    ask.add_argument("--photos", type=Path)
    ask.add_argument("--sheet", type=Path)
    a = ask.parse_args()
    torch.set_num_threads(1)
    for model in a.models:
        for each in a.pairs:
            name, file = each.split("=", 1)
            print(f"{model} {name}: {scores(opened(model), Path(file))}", flush=True)
    if a.photos and a.sheet:
        sheet(a.photos, a.models).save(a.sheet)


if __name__ == "__main__":
    main()
