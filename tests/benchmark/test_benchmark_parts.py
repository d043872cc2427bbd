"""The parts of a benchmark: turns, processes, rates, subjects, and agreement."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights_depth_anything import METRIC, pixels_for, randomized_model
from tiny_checkpoints import TINY

from glpn_cli.benchmark import stages as stages_module
from glpn_cli.benchmark.agreement import compare_depths, compare_inverse, compare_labels
from glpn_cli.benchmark.peer import PeerModel, PeerSettings
from glpn_cli.benchmark.stages import MatrixProduct, ModelStages
from glpn_cli.benchmark.synthetic import make_pictures, make_random_model, read_config
from glpn_cli.benchmark.timing import Timing, import_seconds, run_python, time_in_turns
from glpn_cli.checkpoint import Checkpoint
from glpn_cli.errors import GlpnError, UsageError
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import load_network


def test_a_timing_is_its_median_between_its_extremes() -> None:
    timing = Timing((3.0, 1.0, 10.0))
    assert (timing.low, timing.median, timing.high) == (1.0, 3.0, 10.0)


def test_works_are_timed_in_turns_after_one_round_that_does_not_count() -> None:
    done: list[str] = []

    def sleep() -> None:
        done.append("b")
        time.sleep(0.02)

    timed = time_in_turns({"a": lambda: done.append("a"), "b": sleep}, rounds=2)
    assert done == ["a", "b"] * 3
    assert len(timed["a"].seconds) == 2
    assert timed["b"].low >= 0.02 > timed["a"].median


def test_a_process_tells_its_time_and_the_memory_it_took() -> None:
    _, small = run_python("-S", "-c", "pass")
    seconds, large = run_python("-S", "-c", "import time; held = b'x' * 100_000_000; time.sleep(0.1)")
    assert seconds > 0.1
    assert small is not None
    assert large is not None
    assert 90e6 < large < 300e6
    assert small <= large


def test_what_the_benchmark_itself_holds_does_not_count_as_the_memory_of_what_it_measures() -> None:
    held = np.ones(40_000_000)
    _, peak = run_python("-S", "-c", "pass")
    assert peak is not None
    assert peak < 100e6 < held.nbytes


def test_a_process_that_fails_says_its_last_words() -> None:
    with pytest.raises(GlpnError, match="ended with 3: not today"):
        run_python("-S", "-c", "import sys; print('not today', file=sys.stderr); sys.exit(3)")


def test_importing_takes_time() -> None:
    assert 0 < import_seconds("json.tool") < 5


def test_the_matrix_product_does_the_operations_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, and of the sizes that it may choose from the quickest for each operation."""
    monkeypatch.setattr(stages_module, "_SIDES", {"cpu": (8, 192)})
    done: list[int] = []
    multiply = torch.mm

    def count(left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        done.append(2 * left.shape[0] * left.shape[1] * right.shape[1])
        return multiply(left, right, out=out)

    monkeypatch.setattr(torch, "mm", count)
    product = MatrixProduct("cpu", "fp32")
    assert product.side == 192
    done.clear()
    started = time.perf_counter()
    product()
    assert sum(done) == product.flops
    assert 1e8 < product.flops / (time.perf_counter() - started) < 1e14


def test_pictures_differ_from_each_other_and_never_from_run_to_run(tmp_path: Path) -> None:
    first, second = make_pictures(tmp_path / "one", 2, size=(48, 64))
    again, _ = make_pictures(tmp_path / "two", 2, size=(48, 64))
    assert first.read_bytes() == again.read_bytes() != second.read_bytes()
    with Image.open(first) as picture:
        assert picture.size == (64, 48)


def test_random_models_answer_with_depths_that_fill_their_range(tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", TINY)
    (picture,) = make_pictures(tmp_path, 1, size=(96, 128))
    subject = ModelStages(InferenceSettings(resolve_model(str(folder)), precision="fp32"), picture, device="cpu")
    depth = subject.infer(subject.prepare())
    low, high = depth.flatten().quantile(torch.tensor([0.01, 0.99])).tolist()
    assert high - low > 2.0


@pytest.mark.parametrize("name", ["dpt-large", "dpt-hybrid", "dpt-large-ade"])
def test_random_dpts_answer_with_inverse_depth_of_ten_units_or_with_many_labels(name: str, tmp_path: Path) -> None:
    """Of the published shape, but narrow."""
    narrow = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "fusion_hidden_size": 16}
    fields = {**read_config(name), **narrow, "image_size": 64, "num_hidden_layers": 12}
    fields |= {"backbone_out_indices": [0, 1, 8, 11]}
    if name == "dpt-hybrid":
        fields |= {"backbone_config": {"hidden_sizes": [16, 32, 64], "embedding_size": 8, "num_groups": 4}}
        fields["backbone_config"] |= {"depths": [1, 1, 1], "out_features": ["stage1", "stage2", "stage3"]}
        fields["backbone_config"] |= {"global_padding": "SAME", "embedding_dynamic_padding": True}
        fields |= {"backbone_featmap_shape": [1, 64, 4, 4], "neck_hidden_sizes": [16, 32, 24, 32]}
    (picture,) = make_pictures(tmp_path, 1, size=(96, 128))
    folder = make_random_model(tmp_path / name, fields)
    subject = ModelStages(InferenceSettings(resolve_model(str(folder)), precision="fp32"), picture, device="cpu")
    (answer,) = subject.infer(subject.prepare())
    if name == "dpt-large-ade":
        assert answer.argmax(0).unique().numel() > 15
    else:
        assert 3 < float(answer.max() - answer.min()) < 60
    assert [len(work()) > 100 for stage, work in subject.stages().items() if stage == "encode"] == [True]


@pytest.mark.parametrize(("name", "least"), [("da2-small", 3.0), ("da2-indoor-small", 2.0)])
def test_random_depth_anythings_fill_their_range(name: str, least: float, tmp_path: Path) -> None:
    """Of the published shape, but narrow."""
    fields = dict(read_config(name)) | {"reassemble_hidden_size": 32, "neck_hidden_sizes": [8, 16, 24, 32]}
    fields["backbone_config"] = fields["backbone_config"] | {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "image_size": 70,
    }
    (picture,) = make_pictures(tmp_path, 1, size=(96, 128))
    folder = make_random_model(tmp_path / name, fields)
    subject = ModelStages(InferenceSettings(resolve_model(str(folder)), precision="fp32"), picture, device="cpu")
    low, high = subject.infer(subject.prepare()).flatten().quantile(torch.tensor([0.01, 0.99])).tolist()
    assert least < high - low < 60


@torch.no_grad()
def test_the_peer_opens_a_depth_anything_with_the_processor_of_its_checkpoints(tmp_path: Path) -> None:
    randomized_model(**METRIC).save_pretrained(tmp_path)
    opened = PeerModel.open(str(tmp_path), PeerSettings(limit_m=20.0))
    assert type(opened.processor).__name__ == "DPTImageProcessorPil"
    pixels, network = pixels_for((70, 98)), load_network(Checkpoint.open(tmp_path))
    torch.testing.assert_close(network(pixels), opened.infer(pixels), rtol=0, atol=1e-4)


def test_a_config_that_nobody_published_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'b9'"):
        read_config("b9")


def test_every_stage_of_a_picture_can_be_done_again_and_again(tiny_model: Path, tmp_path: Path) -> None:
    (picture,) = make_pictures(tmp_path, 1, size=(48, 64))
    recipe = InferenceSettings(resolve_model(str(tiny_model)), precision="fp32")
    subject = ModelStages(recipe, picture, device="cpu", batch_size=2)
    stages = subject.stages()
    assert list(stages) == ["decode", "preprocess", "network", "postprocess", "encode"]
    for work in stages.values():
        work()
        work()
    assert subject.flops == 2 * 2 * recipe.config.cost((32, 64)).macs
    encoded = stages["encode"]()
    assert isinstance(encoded, bytes)
    assert encoded.startswith(b"\x89PNG")


def test_metres_agree_to_a_hundred_thousandth_in_fp32_and_on_average_in_less() -> None:
    theirs = np.full((4, 4), 5.0, dtype=np.float32)
    near, far = theirs + np.float32(5e-5), theirs + np.float32(5e-3)
    assert compare_depths(near, theirs, limit_m=10.0).agrees
    assert not compare_depths(far, theirs, limit_m=10.0).agrees
    assert compare_depths(far, theirs, limit_m=10.0, rounded=far).agrees
    assert not compare_depths(theirs * 1.01, theirs, limit_m=10.0, rounded=theirs * 1.01).agrees
    assert compare_depths(far, theirs, limit_m=10.0).figures["largest_difference"] == pytest.approx(5e-4, rel=1e-3)


def test_metres_that_come_in_steps_do_not_agree_however_near_they_are() -> None:
    theirs = np.linspace(4, 5, 2000, dtype=np.float32).reshape(40, 50)
    steps = (np.rint(theirs * 250) / 250).astype(np.float32)  # 4 mm
    found = compare_depths(steps, theirs, limit_m=10.0, rounded=theirs)
    assert (found.figures["millimetres"], found.figures["millimetres_of"]) == (251, 1001)
    assert found.figures["mean_relative_difference"] < 2e-3
    assert not found.agrees


def test_inverse_depth_agrees_within_a_share_of_its_range_or_of_what_rounding_costs() -> None:
    theirs = np.linspace(0, 50, 1000, dtype=np.float32).reshape(20, 50)
    assert compare_inverse(theirs + np.float32(0.004), theirs).agrees
    far = theirs + np.float32(0.02)
    assert not compare_inverse(far, theirs).agrees
    assert compare_inverse(far, theirs).figures["largest_difference"] == pytest.approx(4e-4, rel=1e-2)
    assert compare_inverse(far, theirs, rounded=theirs + np.float32(0.015)).agrees
    assert not compare_inverse(far, theirs, rounded=theirs + np.float32(0.012)).agrees


def test_labels_agree_pixel_by_pixel_or_within_what_rounding_changes() -> None:
    random = np.random.default_rng(0)
    theirs = random.normal(size=(3, 100, 100)).astype(np.float32)
    other = theirs.copy()
    other[:, :2] = np.roll(theirs[:, :2], 1, axis=0)  # 2 % of pixels
    assert compare_labels(theirs, theirs).agrees
    assert compare_labels(other, theirs).figures["labels_apart"] == pytest.approx(0.02)
    assert not compare_labels(other, theirs).agrees
    assert compare_labels(other, theirs, rounded=other).agrees
    assert not compare_labels(other, theirs, rounded=theirs).agrees


def test_the_other_program_runs_where_and_as_ours_does() -> None:
    setting = PeerSettings(10.0, device="cuda:0", precision="bf16", threads=3)
    assert setting.arguments() == ["--limit=10.0", "--device=cuda:0", "--precision=bf16", "--threads=3"]
    assert PeerSettings().arguments() == ["--device=cpu", "--precision=fp32"]
