from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from glpn_cli.data.augment import ROOMS
from glpn_cli.errors import UsageError
from glpn_cli.training.config import Phase, Schedule, TrainingConfig
from glpn_cli.training.folder import changed_settings


def test_phases_follow_one_another() -> None:
    config = TrainingConfig(phases=(Phase(10, (96, 128)), Phase(5, (192, 256))))
    assert config.steps == 15
    assert [config.phase_at(step).size for step in (0, 9, 10, 14)] == [(96, 128), (96, 128), (192, 256), (192, 256)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Phase(0), "0 steps"),
        (lambda: Phase(1, (100, 128)), "128x100"),
        (lambda: TrainingConfig(phases=()), "without a phase"),
        (lambda: TrainingConfig(phases=(Phase(1),), batch_size=0), "--batch-size 0"),
        (lambda: TrainingConfig(phases=(Phase(1),), precision="fp16"), "fp16"),
        (lambda: Schedule(peak=math.inf), "--learning-rate inf"),
        (lambda: TrainingConfig(phases=(Phase(1),), freeze="head"), "head"),
    ],
)
def test_nonsense_is_refused_by_name(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=words):
        make()


def test_the_defaults_are_the_papers() -> None:
    config = TrainingConfig(phases=(Phase(1),))
    assert (config.batch_size, config.schedule.peak, config.schedule.low) == (12, 1e-4, 3e-5)
    assert (config.phases[0].augmentation.cut_depth, config.phases[0].augmentation.cut_width) == (0.25, 0.75)
    assert config.weight_decay == 0
    assert config.average is None


def test_changed_settings_are_named_and_json_changes_nothing() -> None:
    before = TrainingConfig(phases=(Phase(3, augmentation=ROOMS),))
    now = TrainingConfig(phases=(Phase(3, augmentation=ROOMS),), batch_size=8, schedule=Schedule(peak=2e-4))
    stored = json.loads(json.dumps(before.to_dict()))
    assert changed_settings(stored, before.to_dict()) == {}
    assert changed_settings(stored, now.to_dict()) == {"batch_size": (12, 8), "schedule.peak": (1e-4, 2e-4)}


def test_what_changed_within_a_phase_is_named_and_what_an_earlier_version_did_not_know_only_where_it_is_on() -> None:
    before = TrainingConfig(phases=(Phase(3, (64, 64)), Phase(5, (64, 96)))).to_dict()
    now = TrainingConfig(phases=(Phase(4, (64, 64)), Phase(5, (96, 64)))).to_dict()
    assert changed_settings(before, now) == {"phases.1.steps": (3, 4), "phases.2.size": ([64, 96], [96, 64])}
    one = TrainingConfig(phases=(Phase(3, (64, 64)),)).to_dict()
    assert changed_settings(before, one)["phases.2.steps"] == (5, None)
    del before["phases"][0]["normal_weight"]
    assert "phases.1.normal_weight" not in changed_settings(before, now)
    now["phases"][0]["normal_weight"] = 0.25
    assert changed_settings(before, now)["phases.1.normal_weight"] == (None, 0.25)


def test_settings_are_plain_values_so_that_a_saved_state_can_be_read_without_trusting_it(tmp_path: Path) -> None:
    torch.save(TrainingConfig(phases=(Phase(3),)).to_dict(), tmp_path / "settings.pt")
    assert torch.load(tmp_path / "settings.pt", weights_only=True)["schedule"]["course"] == "paper"


def test_the_asked_share_of_steps_stands_upright() -> None:
    phase = Phase(1, (160, 224), upright=0.25)
    sizes = [phase.size_at(step, seed=3) for step in range(400)]
    assert set(sizes) == {(160, 224), (224, 160)}
    assert 70 < sizes.count((224, 160)) < 130
    assert sizes == [phase.size_at(step, seed=3) for step in range(400)]
    assert {Phase(1).size_at(step, seed=3) for step in range(9)} == {(448, 576)}
