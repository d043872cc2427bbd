from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import Floors, tiny_network, tiny_trainer

from glpn_cli.data.augment import Augmentation
from glpn_cli.errors import InputError, StoppedError, UsageError
from glpn_cli.training.folder import STATE_FILE, TrainingState
from glpn_cli.training.initial_model import Camera
from glpn_cli.training.ranks import Ranks
from glpn_cli.training.trainer import Trainer


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def run(trainer: Trainer, until: int | None = None) -> list[float]:
    return [report.losses.loss for report in trainer.run(until)]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    assert trainer.average is not None
    return {**trainer.network.state_dict(), **{f"average.{k}": v for k, v in trainer.average.values.items()}}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_loss_falls() -> None:
    still = Augmentation(zoom=(1.0, 1.0), flip=0, light=0, cut_depth=0)
    losses = run(tiny_trainer(steps=60, augmentation=still, peak=5e-3))
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(tmp_path: Path, precision: str) -> None:
    whole = tiny_trainer(steps=6, precision=precision)
    losses = run(whole)
    first = tiny_trainer(steps=6, precision=precision)
    before = run(first, until=2)
    first.state().save(tmp_path)
    second = tiny_trainer(steps=6, precision=precision, network=tiny_network(seed=99))
    state = TrainingState.read(tmp_path)
    assert state is not None
    second.resume(state)
    assert (second.step, second.position) == (2, 8)
    after = run(second)
    assert before + after == losses
    assert_equal(weights(second), weights(whole))


def test_workers_that_read_ahead_change_nothing() -> None:
    alone, helped = tiny_trainer(steps=4), tiny_trainer(steps=4, workers=1)
    try:
        assert run(alone) == run(helped)
    finally:
        helped.feed.close()
    assert_equal(weights(alone), weights(helped))


def test_being_told_to_stop_ends_after_the_step_at_hand() -> None:
    trainer = tiny_trainer(steps=6)
    for _ in trainer.run():
        trainer.is_asked_to_stop = trainer.step == 3
    # The wish is heard at the next step, where all processes hear it together.
    assert trainer.step == 4
    assert trainer.is_stopping


def test_pictures_without_depth_or_unreadable_are_left_out_and_counted() -> None:
    trainer = tiny_trainer(steps=4, source=Floors(empty=4))
    reports = list(trainer.run())
    assert trainer.skipped == 4
    assert sum(len(report.skipped) for report in reports) == 4
    assert all("no pixel of known depth" in message for report in reports for message in report.skipped)
    assert all(math.isfinite(report.losses.loss) for report in reports)
    unreadable = tiny_trainer(steps=4, source=Floors(unreadable=4))
    messages = [message for report in unreadable.run() for message in report.skipped]
    assert sorted(messages) == [f"floor {index} cannot be read" for index in (0, 12, 4, 8)]


def test_a_batch_of_nothing_but_unusable_pictures_is_survived() -> None:
    trainer = tiny_trainer(steps=2, source=Floors(empty=1))
    reports = list(trainer.run())
    assert [report.losses.loss for report in reports] == [0, 0]
    assert trainer.skipped == 8


def test_steps_that_are_not_finite_are_left_out_and_counted() -> None:
    trainer = tiny_trainer(steps=4)
    run(trainer, until=1)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    loss = trainer.loss
    trainer.loss = lambda predicted, target: loss(predicted, target) * math.nan
    (report,) = list(trainer.run(until=2))
    assert report.is_dropped
    assert trainer.dropped == 1
    assert_equal(trainer.network.state_dict(), before)
    trainer.loss = loss
    (report,) = list(trainer.run(until=3))
    assert not report.is_dropped
    assert not torch.equal(trainer.network.state_dict()["head.conv.weight"], before["head.conv.weight"])


def test_a_run_that_never_becomes_finite_again_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glpn_cli.training.trainer._MOST_DROPPED_IN_A_ROW", 5)
    trainer = tiny_trainer(steps=12)
    loss = trainer.loss
    trainer.loss = lambda predicted, target: loss(predicted, target) * math.inf
    with pytest.raises(StoppedError, match="not been finite for 5 steps"):
        run(trainer)


def test_a_frozen_encoder_stays_as_it_was_and_the_rest_learns() -> None:
    trainer = tiny_trainer(steps=3, freeze="encoder")
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    run(trainer)
    changed = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("encoder.") for name in changed)
    assert any(name.startswith("decoder.") for name in changed)
    assert "head.conv.weight" in changed
    # Its stochastic depth is off, as in use; the rest trains.
    assert not trainer.network.get_submodule("encoder").training
    assert trainer.network.get_submodule("decoder").training


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="--batch-size 4 cannot be shared by 3"):
        tiny_trainer(ranks=Ranks(0, 3))


def test_processes_share_the_row_of_pictures_without_overlap() -> None:
    seen = []
    for rank in range(2):
        requests = tiny_trainer(ranks=Ranks(rank, 2))._requests(0, 0)
        positions = next(requests).positions + next(requests).positions
        assert all(position % 2 == rank for position in positions)
        seen += positions
    assert sorted(seen) == list(range(8))


def test_a_lens_keeps_its_field_of_view_at_other_sizes() -> None:
    camera = Camera((192, 256), 220.0)
    assert camera.focal_at((96, 128)) == pytest.approx(110)
    assert camera.focal_at((256, 192)) == pytest.approx(220)
    assert Camera((192, 256), None).focal_at((96, 128)) is None


def test_a_damaged_state_is_told_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert TrainingState.read(tmp_path) is None
    (tmp_path / STATE_FILE).write_bytes(b"not a state")
    with pytest.raises(InputError, match="is damaged"):
        TrainingState.read(tmp_path)
