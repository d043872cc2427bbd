"""The parts of a benchmark: turns, processes, rates, subjects, and agreement."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import TINY

from glpn_cli.benchmark.machine import matrix_rate
from glpn_cli.benchmark.processes import import_seconds, run_python
from glpn_cli.benchmark.stages import Subject, compare
from glpn_cli.benchmark.subjects import make_pictures, make_random_model, write_random_model
from glpn_cli.benchmark.timings import Timing, time_in_turns
from glpn_cli.errors import GlpnError, UsageError
from glpn_cli.models.recipe import Recipe
from glpn_cli.models.registry import resolve_model


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
    small = run_python("-S", "-c", "pass")
    large = run_python("-S", "-c", "import time; held = b'x' * 100_000_000; time.sleep(0.1)")
    assert large.seconds > 0.1
    assert small.peak_bytes is not None
    assert large.peak_bytes is not None
    assert 90e6 < large.peak_bytes < 300e6
    assert small.peak_bytes <= large.peak_bytes


def test_what_the_benchmark_itself_holds_does_not_count_as_the_memory_of_what_it_measures() -> None:
    held = np.ones(40_000_000)
    peak = run_python("-S", "-c", "pass").peak_bytes
    assert peak is not None
    assert peak < 100e6 < held.nbytes


def test_a_process_that_fails_says_its_last_words() -> None:
    with pytest.raises(GlpnError, match="ended with 3: not today"):
        run_python("-S", "-c", "import sys; print('not today', file=sys.stderr); sys.exit(3)")


def test_importing_takes_time() -> None:
    assert 0 < import_seconds("json.tool") < 5


def test_the_matrix_rate_is_what_multiplying_takes() -> None:
    rate = matrix_rate("cpu", "fp32", rounds=3, side=256)
    assert 1e8 < rate < 1e14


def test_pictures_differ_from_each_other_and_never_from_run_to_run(tmp_path: Path) -> None:
    first, second = make_pictures(tmp_path / "one", 2, size=(48, 64))
    again, _ = make_pictures(tmp_path / "two", 2, size=(48, 64))
    assert first.read_bytes() == again.read_bytes() != second.read_bytes()
    with Image.open(first) as picture:
        assert picture.size == (64, 48)


def test_random_models_answer_with_depths_that_fill_their_range(tmp_path: Path) -> None:
    folder = write_random_model(tmp_path / "model", {key: TINY[key] for key in ("depths", "hidden_sizes")})
    (picture,) = make_pictures(tmp_path, 1, size=(96, 128))
    subject = Subject(Recipe(resolve_model(str(folder)), precision="fp32"), picture, device="cpu")
    depth = subject.infer(subject.prepare())
    low, high = depth.flatten().quantile(torch.tensor([0.01, 0.99])).tolist()
    assert high - low > 2.0


def test_a_config_that_nobody_published_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'b9'"):
        make_random_model(tmp_path, "b9")


def test_every_stage_of_a_picture_can_be_done_again_and_again(tiny_model: Path, tmp_path: Path) -> None:
    (picture,) = make_pictures(tmp_path, 1, size=(48, 64))
    recipe = Recipe(resolve_model(str(tiny_model)), precision="fp32")
    subject = Subject(recipe, picture, device="cpu", batch_size=2)
    stages = subject.stages()
    assert list(stages) == ["decode", "preprocess", "network", "postprocess", "encode"]
    for work in stages.values():
        work()
        work()
    assert subject.flops == 2 * 2 * recipe.family.cost(recipe.config, (32, 64)).macs
    encoded = stages["encode"]()
    assert isinstance(encoded, bytes)
    assert encoded.startswith(b"\x89PNG")


def test_fp32_agrees_to_a_hundred_thousandth_of_the_limit_and_bf16_on_average() -> None:
    theirs = np.full((4, 4), 5.0, dtype=np.float32)
    near, far = theirs + np.float32(5e-5), theirs + np.float32(5e-3)
    assert compare(near, theirs, limit_m=10.0, precision="fp32").agrees
    assert not compare(far, theirs, limit_m=10.0, precision="fp32").agrees
    assert compare(far, theirs, limit_m=10.0, precision="bf16").agrees
    assert not compare(theirs * 1.01, theirs, limit_m=10.0, precision="bf16").agrees
    assert compare(far, theirs, limit_m=10.0, precision="fp32").largest == pytest.approx(5e-4, rel=1e-3)
