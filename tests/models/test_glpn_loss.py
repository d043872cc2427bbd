"""SiLog in closed form, and where the textbook form gives nan."""

from __future__ import annotations

import math

import pytest
import torch

from glpn_cli.models.losses import silog_loss


def test_a_common_factor_costs_its_log_times_the_root_of_one_minus_lambda() -> None:
    target = 1 + 4 * torch.rand(2, 8, 8)
    assert silog_loss(2 * target, target).item() == pytest.approx(math.log(2) * math.sqrt(0.5), rel=1e-5)
    assert silog_loss(2 * target, target, variance_weight=1.0).item() == pytest.approx(0, abs=1e-3)


def test_holes_do_not_count() -> None:
    target, predicted = torch.full((1, 4, 4), 2.0), torch.full((1, 4, 4), 3.0)
    with_holes = target.clone()
    with_holes[:, :2] = 0
    assert silog_loss(predicted, with_holes).item() == pytest.approx(silog_loss(predicted, target).item())


@pytest.mark.parametrize("target", [torch.zeros(1, 4, 4), torch.full((1, 4, 4), 3.0)], ids=["empty mask", "perfect"])
def test_nothing_measured_and_a_perfect_prediction_have_a_finite_loss_and_gradient(target: torch.Tensor) -> None:
    predicted = torch.full((1, 4, 4), 3.0, requires_grad=True)
    loss = silog_loss(predicted, target)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
