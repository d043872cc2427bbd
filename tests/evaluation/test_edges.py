from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from glpn_cli.evaluation.metrics import EDGE_METRICS, THRESHOLDS, find_steps, score_edges

Depth = NDArray[np.float64]


def edges_of(predicted: Depth, truth: Depth, counted: NDArray[np.bool_] | None = None) -> dict[str, float]:
    known = np.ones(truth.shape, bool) if counted is None else counted
    return score_edges(find_steps(predicted, known), find_steps(truth, known))


def step(column: int, *, ratio: float = 2.0) -> Depth:
    """A wall at 1 m, and from a column on one that is farther."""
    depth = np.ones((10, 12))
    depth[:, column:] = ratio
    return depth


def by_hand(predicted: Depth, truth: Depth, counted: NDArray[np.bool_]) -> dict[str, float]:
    """The paper's formula, pixel by pixel and neighbour by neighbour, in plain Python."""
    height, width = truth.shape
    total, sums = 0.0, [0.0, 0.0, 0.0]
    for percent in np.linspace(5, 25, 10).tolist():
        right = ours = theirs = 0
        for y in range(height):
            for x in range(width):
                for v, u in ((y, x + 1), (y, x - 1), (y + 1, x), (y - 1, x)):
                    if not (0 <= v < height and 0 <= u < width and counted[y, x] and counted[v, u]):
                        continue
                    is_ours = predicted[v, u] / predicted[y, x] > 1 + percent / 100
                    is_theirs = truth[v, u] / truth[y, x] > 1 + percent / 100
                    right, ours, theirs = right + (is_ours and is_theirs), ours + is_ours, theirs + is_theirs
        precision, recall = right / max(ours, 1), right / max(theirs, 1)
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        weight = 1 + percent / 100
        total += weight
        sums = [old + weight * new for old, new in zip(sums, (precision, recall, f1), strict=True)]
    return {name: value / total for name, value in zip(EDGE_METRICS, sums, strict=True)}


def test_edges_agree_with_the_papers_formula_to_a_millionth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.lognormal(1, 0.15, (14, 17))
    predicted = truth * rng.lognormal(0, 0.08, truth.shape)
    counted = rng.random(truth.shape) > 0.1
    scores = edges_of(predicted, truth, counted)
    assert scores == pytest.approx(by_hand(predicted, truth, counted), abs=1e-6)
    assert 0.2 < scores["edge_f1"] < 0.95


def test_a_step_edge_is_found_in_its_place_alone_whatever_the_scale() -> None:
    assert edges_of(3 * step(5), step(5)) == pytest.approx(dict.fromkeys(EDGE_METRICS, 1.0))
    assert edges_of(step(6), step(5)) == dict.fromkeys(EDGE_METRICS, 0.0)


def test_an_edge_with_the_other_side_in_front_is_wrong() -> None:
    assert edges_of(1 / step(5), step(5))["edge_f1"] == 0


def test_half_of_the_edges_more_or_less_is_half_the_precision_or_the_recall() -> None:
    one, two = step(5), step(5)
    two[:, 8:] *= 2
    assert edges_of(two, one) == pytest.approx({"edge_precision": 0.5, "edge_recall": 1, "edge_f1": 2 / 3})
    assert edges_of(one, two) == pytest.approx({"edge_precision": 1, "edge_recall": 0.5, "edge_f1": 2 / 3})


def test_a_blunted_edge_counts_at_the_thresholds_that_it_passes() -> None:
    found = THRESHOLDS < 1.15
    expected = THRESHOLDS[found].sum() / THRESHOLDS.sum()
    assert edges_of(step(5, ratio=1.15), step(5)) == pytest.approx(dict.fromkeys(EDGE_METRICS, expected))


def test_flat_walls_have_no_score_but_an_edge_on_one_is_wrong() -> None:
    assert edges_of(np.ones((10, 12)), np.ones((10, 12))) == {}
    assert edges_of(step(5), np.ones((10, 12))) == dict.fromkeys(EDGE_METRICS, 0.0)


def test_an_edge_beside_a_hole_is_no_edge() -> None:
    counted = np.ones((10, 12), bool)
    counted[:, 5] = False
    assert edges_of(step(5), step(5), counted) == {}
