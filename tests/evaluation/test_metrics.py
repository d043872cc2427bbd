from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from glpn_cli.evaluation.metrics import METRICS, Scores


def by_hand(predicted: list[float], target: list[float]) -> dict[str, float]:
    """The textbook, one pixel at a time, in plain Python."""
    n = len(target)
    ratios = [max(d / g, g / d) for d, g in zip(predicted, target, strict=True)]
    logs = [math.log(d) - math.log(g) for d, g in zip(predicted, target, strict=True)]
    pairs = list(zip(predicted, target, strict=True))
    mean, mean_square = sum(logs) / n, sum(e * e for e in logs) / n
    return {
        "d1": sum(r < 1.25 for r in ratios) / n,
        "d2": sum(r < 1.5625 for r in ratios) / n,
        "d3": sum(r < 1.953125 for r in ratios) / n,
        "abs_rel": sum(abs(d - g) / g for d, g in pairs) / n,
        "sq_rel": sum((d - g) ** 2 / g for d, g in pairs) / n,
        "rmse": math.sqrt(sum((d - g) ** 2 for d, g in pairs) / n),
        "rmse_log": math.sqrt(mean_square),
        "log10": sum(abs(math.log10(d) - math.log10(g)) for d, g in pairs) / n,
        "silog_half": math.sqrt(mean_square - 0.5 * mean * mean),
        "silog_100": 100 * math.sqrt(mean_square - mean * mean),
    }


def test_every_metric_agrees_with_the_textbook_to_a_millionth() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(0.3, 9, 500).astype(np.float32)
    predicted = (target * rng.lognormal(0.1, 0.3, 500)).astype(np.float32)
    expected = by_hand([float(d) for d in predicted], [float(g) for g in target])
    assert asdict(Scores.of(predicted, target)) == pytest.approx(expected, abs=1e-6, rel=1e-6)
    assert tuple(expected) == METRICS


def test_a_map_scaled_by_one_point_one_has_an_abs_rel_of_one_tenth() -> None:
    target = np.linspace(1, 9, 100)
    scores = Scores.of(1.1 * target, target)
    assert scores.abs_rel == pytest.approx(0.1)
    assert scores.d1 == 1
    assert scores.rmse_log == pytest.approx(math.log(1.1))
    assert scores.log10 == pytest.approx(math.log10(1.1))
    assert scores.silog_100 == pytest.approx(0, abs=1e-5)
    assert scores.silog_half == pytest.approx(math.log(1.1) * math.sqrt(0.5))
    assert scores.rmse == pytest.approx(0.1 * math.sqrt(np.mean(target**2)))
    assert scores.sq_rel == pytest.approx(0.01 * target.mean())


def test_thresholds_are_strict_and_look_both_ways() -> None:
    target = np.ones(4)
    scores = Scores.of(np.array([1.25, 0.8, 1.2499, 0.8001]), target)
    assert scores.d1 == 0.5
    assert scores.d2 == 1


def test_a_perfect_map_has_perfect_scores() -> None:
    target = np.linspace(1, 9, 10)
    assert Scores.of(target, target) == Scores(1, 1, 1, *[0.0] * 7)


def test_the_mean_counts_every_picture_alike() -> None:
    one, other = Scores(*[0.0] * 10), Scores(*[1.0] * 10)
    assert Scores.mean([one, other, other]).rmse == pytest.approx(2 / 3)


@pytest.mark.parametrize(("predicted", "target"), [([], []), ([1.0], [1.0, 2.0])])
def test_pixels_come_in_pairs_or_not_at_all(predicted: list[float], target: list[float]) -> None:
    with pytest.raises(ValueError, match="in pairs"):
        Scores.of(np.array(predicted), np.array(target))
