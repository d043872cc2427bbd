from __future__ import annotations

import numpy as np
import pytest

from glpn_cli.evaluation.alignment import DEFAULT, FAIR, Alignment, align
from glpn_cli.prediction import DepthKind

TARGET = np.random.default_rng(1).uniform(1, 8, 400)


def aligned(
    predicted: np.ndarray, how: Alignment, kind: DepthKind = DepthKind.METRIC, target: np.ndarray = TARGET
) -> np.ndarray:
    return align(predicted, target, how=how, kind=kind, range_m=(1e-3, 10.0))


def test_each_alignment_undoes_exactly_what_it_may() -> None:
    assert aligned(3 * TARGET, Alignment.NONE) == pytest.approx(3 * TARGET)
    assert aligned(3 * TARGET, Alignment.MEDIAN) == pytest.approx(TARGET)
    assert aligned(3 * TARGET + 7, Alignment.SCALE_SHIFT, DepthKind.AFFINE) == pytest.approx(TARGET)
    assert aligned(5 / TARGET + 0.3, Alignment.DISPARITY, DepthKind.DISPARITY) == pytest.approx(TARGET)
    assert aligned(2 * TARGET, Alignment.DISPARITY) == pytest.approx(TARGET)


def test_scale_and_shift_are_the_least_squares_ones() -> None:
    noisy = 0.5 * TARGET + 1 + np.random.default_rng(2).normal(0, 0.05, TARGET.size)
    design = np.stack([noisy, np.ones_like(noisy)], axis=1)
    solution, *_ = np.linalg.lstsq(design, TARGET, rcond=None)
    assert aligned(noisy, Alignment.SCALE_SHIFT) == pytest.approx(design @ solution)


def test_a_fitted_line_that_leaves_the_range_is_clipped_to_it() -> None:
    target = np.array([1.0, 1.0, 1.0, 1.0, 9.0])
    predicted = np.array([1.0, 2.0, 3.0, 30.0, 40.0])
    fitted = align(predicted, target, how=Alignment.SCALE_SHIFT, kind=DepthKind.AFFINE, range_m=(2.0, 4.0))
    assert (fitted.min(), fitted.max()) == (2, 4)


@pytest.mark.parametrize("how", [Alignment.SCALE_SHIFT, Alignment.DISPARITY])
def test_without_a_range_no_answer_is_told_how_far_the_truth_reaches(how: Alignment) -> None:
    noisy = TARGET * np.exp(np.random.default_rng(3).normal(0, 0.3, TARGET.size))
    values, target = (noisy, TARGET) if how is Alignment.SCALE_SHIFT else (1 / noisy, 1 / TARGET)
    slope, offset = np.polyfit(values, target, 1)
    by_hand = slope * values + offset
    free = align(noisy, TARGET, how=how, kind=DepthKind.METRIC, range_m=None)
    assert free == pytest.approx(by_hand if how is Alignment.SCALE_SHIFT else 1 / by_hand)
    assert free.max() > TARGET.max() or free.min() < TARGET.min()  # else this could not fail


def test_a_fitted_line_through_zero_stays_a_depth() -> None:
    target = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 9.0])
    metres = align(target[::-1] ** 3, target, how=Alignment.SCALE_SHIFT, kind=DepthKind.AFFINE, range_m=None)
    inverse = align(
        np.array([1.0, 2.0, 3, 4, 5, -9]), target, how=Alignment.DISPARITY, kind=DepthKind.DISPARITY, range_m=None
    )
    for answer in (metres, inverse):
        assert np.isfinite(answer).all()
        assert (answer >= 1e-3).all()
        assert (answer <= 1e3).all()


def test_a_constant_map_becomes_the_mean_instead_of_nan() -> None:
    assert aligned(np.full(400, 2.0), Alignment.SCALE_SHIFT) == pytest.approx(np.full(400, TARGET.mean()))
    assert np.isfinite(aligned(np.full(400, 2.0), Alignment.DISPARITY)).all()


def test_every_kind_has_a_default_that_is_fair_to_it() -> None:
    for kind in DepthKind:
        assert set(DEFAULT[kind]) <= set(FAIR[kind])
    assert Alignment.NONE not in FAIR[DepthKind.DISPARITY]
