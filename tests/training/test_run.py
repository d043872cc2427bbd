from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_training import TINY, Floors, tiny_trainer

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.data.samples import Sample
from glpn_cli.errors import ErrorCode, GlpnError, InputError, UsageError
from glpn_cli.models.state_dict import load_network
from glpn_cli.training.config import TrainingConfig
from glpn_cli.training.folder import HISTORY_FILE, STATE_FILE, RunFolder, TrainingState
from glpn_cli.training.initial_model import Camera, InitialModel
from glpn_cli.training.report import Event, Progress
from glpn_cli.training.run import Run, RunEnd, read_held_out, run_training
from glpn_cli.training.validation import predict_samples, score_samples


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({"model_type": "glpn", **TINY}))
    return path


def settings(steps: int, every: int) -> TrainingConfig:
    return replace(tiny_trainer(steps=steps).config, every=every)


def make_run(shape: Path, folder: Path, *, steps: int = 6, every: int = 2, source: Floors | None = None) -> Run:
    start = InitialModel.make(str(shape), max_depth=None, camera=Camera((48, 64), 60.0), seed=0)
    held_out, _ = read_held_out(Floors(length=3), count=3)
    return Run(start, settings(steps, every), source or Floors(), RunFolder(folder), held_out, command="glpn train ...")


def run(
    made: Run, *, resume: bool = False, then: Callable[[Event], None] | None = None
) -> tuple[RunEnd, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []

    def tell(event: Event) -> None:
        events.append(event.to_line())
        if then is not None:
            then(event)

    return run_training(made, resume=resume, report=tell), events


def test_a_run_leaves_an_ordinary_model_with_its_card_history_and_previews(shape: Path, tmp_path: Path) -> None:
    end, events = run(make_run(shape, tmp_path / "out"))
    assert end == RunEnd(6, 0, 0)
    checkpoint = Checkpoint.open(tmp_path / "out")
    depth = load_network(checkpoint)(torch.rand(1, 3, 64, 64))
    assert depth.shape == (1, 64, 64)
    assert checkpoint.config["glpn_cli"]["training_size"] == [64, 64]
    assert checkpoint.config["glpn_cli"]["training_focal_px"] == pytest.approx(
        60 * (64 * 64 / 48 / 64) ** 0.5, abs=1e-3
    )
    assert checkpoint.config["glpn_cli"]["started_from"] == "nothing: shape tiny, seed 0"
    card = (tmp_path / "out/README.md").read_text()
    assert "Data: floors" in card
    assert "glpn train ..." in card
    assert "| 0 | 64x64 | " in card
    assert "| 6 | 64x64 | " in card
    lines = [json.loads(line) for line in (tmp_path / "out" / HISTORY_FILE).read_text().splitlines()]
    assert lines == events
    assert [line["step"] for line in lines if line["type"] == "validation"] == [0, 2, 4, 6]
    with Image.open(tmp_path / "out/previews/step_0000006.png") as preview:
        assert preview.size == (3 * 64, 3 * 64)


def test_a_run_tells_how_good_it_was_before_it_learned_and_once_only(shape: Path, tmp_path: Path) -> None:
    made = make_run(shape, tmp_path / "out")

    def die(event: Event) -> None:
        if isinstance(event, Progress):
            raise ZeroDivisionError  # before the first save

    with pytest.raises(ZeroDivisionError):
        run(made, then=die)
    run(make_run(shape, tmp_path / "out"), resume=True)
    first, *others = [line for line in RunFolder(tmp_path / "out").read_history() if line["type"] == "validation"]
    untouched = score_samples(
        predict_samples(
            make_run(shape, tmp_path).initial.network, made.held_out, size=(64, 64), focal_px=69.282, limit_m=10.0
        ),
        limit_m=10.0,
    )
    assert untouched is not None
    _, raw, _ = untouched
    assert (first["step"], first["pictures"]) == (0, 0)
    assert first["raw"]["abs_rel"] == pytest.approx(raw.abs_rel, rel=1e-3)
    assert [line["step"] for line in others] == [2, 4, 6]


def test_killed_and_resumed_ends_with_the_weights_of_a_run_that_never_was(shape: Path, tmp_path: Path) -> None:
    run(make_run(shape, tmp_path / "whole"))

    def die(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 5:
            raise ZeroDivisionError  # nothing is saved on the way out, as with a kill

    with pytest.raises(ZeroDivisionError):
        run(make_run(shape, tmp_path / "killed"), then=die)
    end, _ = run(make_run(shape, tmp_path / "killed"), resume=True)
    assert end.step == 6
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    whole, killed = (RunFolder(tmp_path / name).read_history() for name in ("whole", "killed"))
    told = [[(line["type"], line["step"], line.get("loss")) for line in lines] for lines in (whole, killed)]
    assert told[0] == told[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_first_and_a_resumed_run_ends_the_same(shape: Path, tmp_path: Path, number: int) -> None:
    run(make_run(shape, tmp_path / "whole", every=4))

    def call(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 2:
            signal.raise_signal(number)

    end, _ = run(make_run(shape, tmp_path / "out", every=4), then=call)
    assert end.signal == number
    assert end.step == 3
    assert signal.getsignal(number) is not None
    resumed, _ = run(make_run(shape, tmp_path / "out", every=4), resume=True)
    assert resumed == RunEnd(6, 0, 0)
    assert (tmp_path / "out/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_a_signal_that_comes_after_the_last_step_stops_nothing(shape: Path, tmp_path: Path) -> None:
    def call(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 2:
            signal.raise_signal(signal.SIGTERM)

    end, _ = run(make_run(shape, tmp_path / "out", steps=2), then=call)
    assert end == RunEnd(2, 0, 0)
    assert (tmp_path / "out/README.md").is_file()


def test_a_folder_in_use_is_refused_unless_it_is_resumed(shape: Path, tmp_path: Path) -> None:
    run(make_run(shape, tmp_path / "out", steps=2))
    with pytest.raises(UsageError, match=r"is in use \(found: README\.md, config\.json") as caught:
        run(make_run(shape, tmp_path / "out", steps=2))
    assert caught.value.code is ErrorCode.EXISTS
    end, events = run(make_run(shape, tmp_path / "out", steps=2), resume=True)
    assert end.step == 2
    assert events == []


def test_resuming_with_other_settings_names_them(shape: Path, tmp_path: Path) -> None:
    run(make_run(shape, tmp_path / "out", steps=2))
    made = make_run(shape, tmp_path / "out", steps=2, source=Floors(name="other floors"))
    made = replace(made, config=replace(made.config, batch_size=2))
    with pytest.raises(UsageError, match=r"settings: --batch-size: 4, now 2; --data: 'floors', now 'other floors'$"):
        run(made, resume=True)
    rate = replace(made.config.schedule, peak=2e-3, low=1e-3, warm_up=1)
    longer = replace(made.config, schedule=rate, phases=(*made.config.phases, made.config.phases[-1]))
    with pytest.raises(UsageError, match=r"now 0\.002; --steps or --epochs: None, now 1; --input-size") as caught:
        run(replace(made, source=Floors(), config=longer), resume=True)
    assert str(caught.value).endswith("; --recipe (training.phases.3.gradient_weight: None, now 0.5)")


def test_resuming_with_another_model_of_the_same_name_or_other_pictures_names_them(shape: Path, tmp_path: Path) -> None:
    run(make_run(shape, tmp_path / "out", steps=2))
    with pytest.raises(UsageError, match="had other settings: pictures: 16, now 12"):
        run(make_run(shape, tmp_path / "out", steps=2, source=Floors(length=12)), resume=True)
    shape.write_text(json.dumps({"model_type": "glpn", **TINY, "drop_path_rate": 0.2}))
    with pytest.raises(UsageError, match=r"had other settings: model\.drop_path_rate: 0\.1, now 0\.2"):
        run(make_run(shape, tmp_path / "out", steps=2), resume=True)


def test_a_run_of_an_earlier_version_that_told_less_is_gone_on_with(shape: Path, tmp_path: Path) -> None:
    made = make_run(shape, tmp_path / "out", steps=2)
    run(made)
    state = TrainingState.read(tmp_path / "out")
    assert state is not None
    told = {name: value for name, value in state.settings.items() if name not in ("model", "pictures")}
    assert RunFolder(tmp_path / "out").open(made.settings, resume=True) is not None
    replace(state, settings=told).save(tmp_path / "out")
    assert RunFolder(tmp_path / "out").open(made.settings, resume=True) is not None


def test_resuming_starts_where_there_is_nothing_and_refuses_what_is_not_its_own(shape: Path, tmp_path: Path) -> None:
    end, _ = run(make_run(shape, tmp_path / "new", steps=2), resume=True)
    assert end.step == 2
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds no run to go on with \(found: photo\.jpg\)"):
        run(make_run(shape, tmp_path / "strange", steps=2), resume=True)
    assert not (tmp_path / "strange" / STATE_FILE).exists()


def test_pictures_without_depth_are_left_out_named_and_counted(shape: Path, tmp_path: Path) -> None:
    end, events = run(make_run(shape, tmp_path / "out", steps=4, source=Floors(empty=4)))
    assert end == RunEnd(4, 4, 0)
    named = [message for line in events if line["type"] == "skipped" for message in line["messages"]]
    assert len(named) == 4
    assert "4 pictures" in (tmp_path / "out/README.md").read_text()


@dataclass(frozen=True)
class OddlyNamed(Floors):
    """Floors whose every fourth cannot be read, with names as disks have them: no UTF-8, ends of lines of all kinds."""

    name: str = "caf\udce9.csv"

    def read(self, index: int) -> Sample:
        if index % 4 == 0:
            raise InputError(f"caf\udce9 \u2028 \x85 {index}.png is missing")
        return super().read(index)


def test_names_that_are_no_text_are_told_escaped_and_gone_on_with(shape: Path, tmp_path: Path) -> None:
    odd = shape.rename(shape.with_name("caf\udce9.json"))
    _, events = run(replace(make_run(odd, tmp_path / "out", source=OddlyNamed()), command="glpn caf\udce9"))
    history = RunFolder(tmp_path / "out").read_history()
    assert history == events
    assert "caf\\xe9 \u2028 \x85 12.png is missing" in {
        message for line in history for message in line.get("messages", ())
    }
    json.dumps(events, ensure_ascii=False).encode()  # as standard output takes it
    card = (tmp_path / "out/README.md").read_text("utf-8")
    assert "Data: caf\\xe9.csv" in card
    assert "glpn caf\\xe9" in card
    end, _ = run(make_run(odd, tmp_path / "out", source=OddlyNamed()), resume=True)
    assert end.step == 6


def test_a_history_that_was_cut_within_a_letter_is_gone_on_with(shape: Path, tmp_path: Path) -> None:
    run(make_run(shape, tmp_path / "out"))
    path = tmp_path / "out" / HISTORY_FILE
    whole = path.read_bytes()
    path.write_bytes(whole + '{"type": "skipped", "messages": ["é'.encode()[:-1])
    run(make_run(shape, tmp_path / "out"), resume=True)
    assert path.read_bytes() == whole


def test_as_many_pictures_are_held_out_as_were_asked_for_where_some_cannot_be_used() -> None:
    found, left_out = read_held_out(Floors(unreadable=2), count=4)
    assert [sample.name for sample in found] == ["floor 1", "floor 3", "floor 5", "floor 7"]
    assert left_out == [f"floor {index} cannot be read" for index in (0, 2, 4, 6)]
    assert len(read_held_out(Floors(length=3, unreadable=2), count=4)[0]) == 1
    assert len(read_held_out(Floors(length=None), count=4)[0]) == 4


def test_a_network_that_says_nothing_but_zero_is_validated_and_drawn(shape: Path, tmp_path: Path) -> None:
    made = make_run(shape, tmp_path / "out", steps=2)
    with torch.no_grad():
        made.initial.network.head.output.bias.fill_(-500)  # type: ignore[union-attr,operator]
    end, events = run(made)
    assert end.step == 2
    assert events[-1]["raw"]["abs_rel"] == pytest.approx(1, abs=0.01)
    assert (tmp_path / "out/previews/step_0000002.png").is_file()


def test_data_of_which_nothing_can_be_used_end_the_run(shape: Path, tmp_path: Path) -> None:
    with pytest.raises(GlpnError, match="none of the first 16 pictures can be used") as caught:
        run(make_run(shape, tmp_path / "out", steps=20, every=20, source=Floors(empty=1)))
    assert "go on with --resume" in caught.value.hint
    end, _ = run(make_run(shape, tmp_path / "out", steps=20, every=20), resume=True)
    assert end.step == 20
