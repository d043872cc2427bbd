"""The training losses have their closed forms, and survive pictures in which nothing was measured."""

from __future__ import annotations

import pytest
import torch

from glpn_cli.models.losses import scale_and_shift_invariant_loss, segmentation_loss


def map_like(seed: int) -> torch.Tensor:
    return 1 + torch.rand(2, 16, 24, generator=torch.Generator().manual_seed(seed))


def test_scale_and_shift_do_not_count() -> None:
    target = map_like(0)
    assert float(scale_and_shift_invariant_loss(3 * target + 7, target)) < 1e-5
    assert float(scale_and_shift_invariant_loss(-target, target)) > 0.5


def test_a_step_in_the_wrong_place_counts_its_pixels_and_its_edges() -> None:
    target, predicted = torch.ones(1, 8, 16), torch.ones(1, 8, 16)
    target[:, :, 8:] = 3  # aligned: median 1, mean deviation 1 -> 0 and 2
    predicted[:, :, 8:] = 3
    assert float(scale_and_shift_invariant_loss(predicted, target)) == pytest.approx(0, abs=1e-6)
    shifted = predicted.flip(-1)  # every pixel is off by 2, half of it counts; edges at four scales besides
    assert float(scale_and_shift_invariant_loss(shifted, target)) > 1


def test_what_was_not_measured_does_not_count() -> None:
    target, predicted = map_like(0), map_like(1)
    holes = target.clone()
    holes[:, ::3] = 0
    changed = torch.where(holes > 0, predicted, 100.0)
    torch.testing.assert_close(
        scale_and_shift_invariant_loss(changed, holes), scale_and_shift_invariant_loss(predicted, holes)
    )


def test_nothing_measured_gives_nothing_to_learn() -> None:
    predicted = map_like(0).requires_grad_()
    loss = scale_and_shift_invariant_loss(predicted, torch.zeros(2, 16, 24))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert not predicted.grad.any()


def test_gradients_are_finite_even_for_flat_maps() -> None:
    predicted = torch.ones(1, 8, 8, requires_grad=True)
    scale_and_shift_invariant_loss(predicted, map_like(0)[:1, :8, :8]).backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_labels_that_nobody_gave_give_nothing_to_learn() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 8, 8), 255), ignored=255)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
