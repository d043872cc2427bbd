from __future__ import annotations

import math

import pytest
import torch

from glpn_cli.training.losses import NORMAL_SCALES, log_gradient_loss, log_l1_loss, surface_normal_loss


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


def plane(normal: tuple[float, float, float], *, distance: float = 2.0, focal_px: float = 60.0) -> torch.Tensor:
    """Depth (1, 48, 64) of the plane normal . X = distance, as a camera with the axis in the middle sees it."""
    v, u = torch.meshgrid(torch.arange(48.0) - 23.5, torch.arange(64.0) - 31.5, indexing="ij")
    nx, ny, nz = normal
    return (distance / (nx * u / focal_px + ny * v / focal_px + nz))[None]


@pytest.mark.parametrize("degrees", [5, 30, 60])
def test_two_planes_cost_the_angle_between_them(degrees: float) -> None:
    angle = math.radians(degrees)
    wall, leaning = plane((0, 0, 1)), plane((0, math.sin(angle), math.cos(angle)))
    leaning = torch.where(leaning > 0, leaning, torch.zeros(()))  # what lies behind the camera is not seen
    assert surface_normal_loss(wall, leaning, focal_px=60).item() == pytest.approx(1 - math.cos(angle), abs=1e-4)


def test_normals_are_the_same_at_any_scale_of_depth_and_through_any_lens_that_both_share() -> None:
    target = torch.rand(2, 24, 32) + 1
    for focal_px in (20.0, 200.0, None):
        assert surface_normal_loss(3 * target, target, focal_px=focal_px).item() == pytest.approx(0, abs=1e-5)
    floor = plane((0, 0.9, 0.436))
    assert surface_normal_loss(torch.ones_like(floor), floor, focal_px=60).item() == pytest.approx(0.564, abs=1e-3)
    assert surface_normal_loss(torch.ones_like(floor), floor, focal_px=6000).item() > 0.9


def test_normals_beside_unknown_pixels_have_no_say() -> None:
    target = plane((0, 0, 1))
    target[:, 20:30, 20:30] = 0
    predicted = plane((0, 0, 1))
    predicted[:, 20:30, 20:30] = 9
    predicted.requires_grad_()
    loss = surface_normal_loss(predicted, target, focal_px=60)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert predicted.grad is not None
    assert predicted.grad[:, 20:30, 20:30].abs().max() == 0


def test_no_normal_to_compare_costs_nothing_and_gives_finite_gradients() -> None:
    predicted = torch.rand(2, 16, 16).requires_grad_()
    loss = surface_normal_loss(predicted, torch.zeros(2, 16, 16), focal_px=60)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    small = torch.rand(1, min(NORMAL_SCALES), 64)
    assert surface_normal_loss(small, small + 1, focal_px=60).item() == 0
