from __future__ import annotations

import math

import pytest
import torch

from glpn_cli.training.losses import log_gradient_loss, log_l1_loss


def test_slopes_are_matched_whatever_the_scale() -> None:
    target = torch.rand(2, 16, 24) + 0.5
    assert log_gradient_loss(3 * target, target).item() == pytest.approx(0, abs=1e-6)


def test_a_missing_ramp_costs_its_slope() -> None:
    ramp = torch.exp(0.01 * torch.arange(32.0)).expand(1, 32, 32)
    flat = torch.ones(1, 32, 32)
    # 0.01 a pixel along the width at distances 1, 2, 4, 8, 16, nothing along the height.
    assert log_gradient_loss(flat, ramp).item() == pytest.approx(0.01 * (1 + 2 + 4 + 8 + 16) / 10, rel=1e-4)


def test_pixels_of_unknown_depth_have_no_say() -> None:
    target = torch.full((1, 16, 16), 2.0)
    target[:, 4:8, 4:8] = 0
    predicted = torch.full((1, 16, 16), 2.0)
    predicted[:, 4:8, 4:8] = 9
    predicted.requires_grad_()
    loss = log_gradient_loss(predicted, target)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad[:, 4:8, 4:8].abs().max() == 0


def test_nothing_known_costs_nothing_and_gives_finite_gradients() -> None:
    predicted = torch.rand(1, 8, 8).requires_grad_()
    loss = log_gradient_loss(predicted, torch.zeros(1, 8, 8))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_a_picture_narrower_than_the_longest_distance_still_counts() -> None:
    target = torch.tensor([[[1.0, math.e]]])
    assert log_gradient_loss(torch.ones(1, 1, 2), target).item() == pytest.approx(1 / 10)


def test_errors_of_log_depth_count_alike_near_and_far_too_near_and_too_far() -> None:
    target = torch.rand(3, 16, 24) + 0.5
    predicted = target * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    assert log_l1_loss(predicted, target).item() == pytest.approx(2 / 3 * math.log(2), rel=1e-5)


def test_every_picture_weighs_the_same_however_much_of_it_is_known() -> None:
    target = torch.full((2, 16, 24), 2.0)
    target[1, 1:] = 0
    predicted = torch.full((2, 16, 24), 2.0)
    predicted[1] = 4
    assert log_l1_loss(predicted, target).item() == pytest.approx(math.log(2) / 2, rel=1e-5)


def test_a_perfect_and_an_empty_picture_cost_nothing_and_have_finite_gradients() -> None:
    target = torch.rand(2, 8, 8) + 0.5
    target[1] = 0
    predicted = target.clone().requires_grad_()
    loss = log_l1_loss(predicted, target)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
