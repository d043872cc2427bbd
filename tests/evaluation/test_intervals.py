from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from glpn_cli.evaluation.metrics import Interval


def test_the_interval_is_about_two_standard_errors_to_either_side() -> None:
    values = np.random.default_rng(0).normal(5, 1, 400)
    interval = Interval.bootstrap(values)
    error = values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_it_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        interval = Interval.bootstrap(rng.normal(0, 1, 60))
        covered += interval.low <= 0 <= interval.high
    assert 180 <= covered <= 199


def test_many_pictures_need_no_more_memory_than_a_few() -> None:
    values = np.random.default_rng(2).normal(0, 1, 20_000)
    tracemalloc.start()
    interval = Interval.bootstrap(values)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50e6
    assert interval.low < interval.mean < interval.high


def test_the_same_numbers_have_the_same_interval() -> None:
    values = np.arange(30.0)
    assert Interval.bootstrap(values) == Interval.bootstrap(values)


def test_pairing_finds_a_small_difference_that_the_pictures_spread_hides() -> None:
    rng = np.random.default_rng(2)
    theirs = rng.normal(0.3, 0.1, 60)
    ours = theirs - 0.01 + rng.normal(0, 0.005, 60)
    difference = Interval.bootstrap(ours - theirs)
    assert difference.high < 0
    assert Interval.bootstrap(ours).high > Interval.bootstrap(theirs).low


def test_one_picture_says_nothing_of_others() -> None:
    interval = Interval.bootstrap(np.array([0.25]))
    assert (interval.mean, interval.low, interval.high) == (0.25, None, None)
