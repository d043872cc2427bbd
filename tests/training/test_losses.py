from __future__ import annotations

import math

import pytest
import torch

from glpn_cli.models.glpn.loss import silog_loss
from glpn_cli.training.losses import log_gradient_loss, picture_silog_loss


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


def test_picture_by_picture_each_scale_has_the_say_it_is_given() -> None:
    target = torch.rand(3, 16, 24) + 0.5
    predicted = target * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    expected = 2 / 3 * math.log(2) * math.sqrt(0.25)
    assert picture_silog_loss(predicted, target).item() == pytest.approx(expected, rel=1e-2)
    assert picture_silog_loss(predicted, target, scale_weight=0).item() == pytest.approx(0, abs=1e-3)


def test_picture_by_picture_agrees_with_the_papers_loss_on_a_single_picture() -> None:
    target, predicted = torch.rand(1, 16, 24) + 0.5, torch.rand(1, 16, 24) + 0.5
    target[:, :3] = 0
    ours = picture_silog_loss(predicted, target, scale_weight=0.5)
    assert ours.item() == pytest.approx(silog_loss(predicted, target).item(), abs=2e-3)


def test_a_perfect_and_an_empty_picture_cost_nothing_and_have_finite_gradients() -> None:
    target = torch.rand(2, 8, 8) + 0.5
    target[1] = 0
    predicted = target.clamp(min=0.5).requires_grad_()
    loss = picture_silog_loss(predicted, target)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
