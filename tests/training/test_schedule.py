from __future__ import annotations

import pytest

from glpn_cli.training.config import Schedule


def test_the_papers_rate_climbs_over_the_first_half_and_returns_over_the_second() -> None:
    schedule = Schedule("paper", peak=1e-4, low=3e-5)
    assert schedule.rate(0, steps=1000) == pytest.approx(3e-5)
    assert schedule.rate(250, steps=1000) == pytest.approx(3e-5 + 7e-5 * 0.5**0.9)
    assert schedule.rate(500, steps=1000) == pytest.approx(1e-4)
    assert schedule.rate(750, steps=1000) == pytest.approx(1e-4 - 7e-5 * 0.5**0.9)
    assert schedule.rate(999, steps=1000) == pytest.approx(3e-5, rel=0.01)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100_000])
def test_the_papers_rate_is_never_negative_however_short_the_run(steps: int) -> None:
    schedule = Schedule()
    assert all(2.9e-5 < schedule.rate(step, steps=steps) <= 1e-4 for step in range(0, steps, max(1, steps // 50)))


def test_the_trapezoid_warms_up_holds_and_decays_to_nearly_nothing() -> None:
    schedule = Schedule("trapezoid", peak=1e-3, warm_up=10, decay=0.5)
    rates = [schedule.rate(step, steps=100) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9:50] == pytest.approx([1e-3] * 41)
    assert rates[75] == pytest.approx(5e-4)
    assert rates[99] == pytest.approx(2e-5)
    assert rates[:10] == sorted(rates[:10])
    assert rates[50:] == sorted(rates[50:], reverse=True)
