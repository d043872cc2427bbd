"""Planning on bare files: collisions, outputs that are inputs, and what is there already."""

from __future__ import annotations

import hashlib
import os
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glpn_cli.depth_files import FORMATS, make_writer
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline import plan as planning
from glpn_cli.pipeline.naming import Destination, NameTemplate
from glpn_cli.pipeline.outputs import OutputRules
from glpn_cli.pipeline.plan import Plan, make_plan
from glpn_cli.pipeline.report import Status
from glpn_cli.pipeline.settings import Existing, InputSettings
from glpn_cli.pipeline.sources import Sources
from glpn_cli.prediction import DepthKind, DepthMap, Provenance, Result

WEIGHTS = "0" * 64


@dataclass(frozen=True)
class Bench:
    """A folder to plan in."""

    folder: Path

    def source(self, name: str, *, seconds: int = 1_600_000_000) -> ImageSource:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(b"picture")
        os.utime(path, (seconds, seconds))
        return ImageSource(path, name, str(path))

    def write(self, source: ImageSource, *, model: str = WEIGHTS, scale: float = 1000, **made_from: Any) -> Path:
        writer = make_writer("png16", kind=DepthKind.METRIC, limit_m=10, depth_scale=scale)
        made = Provenance("tiny", model, limit_m=10, **made_from)
        result = Result(DepthMap(np.ones((2, 2), np.float32), limit=10), source, made)
        path = self.folder / "out" / source.name.replace(".jpg", "_depth.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(writer.encode(result).data)
        return path

    def plan(
        self,
        *sources: ImageSource,
        formats: str = "png16",
        existing: str = "skip",
        out: str = "out",
        name: str = "{stem}_{map}",
    ) -> Plan:
        destination = Destination.parse(out if out == "-" else str(self.folder / out))
        writers = [make_writer(word, kind=DepthKind.METRIC, limit_m=10) for word in formats.split(",")]
        inputs = Sources(InputSettings(), takes_maps=False, sources=sources)
        inference: Any = SimpleNamespace(kind=DepthKind.METRIC, provenance=Provenance("tiny", WEIGHTS, limit_m=10))
        rules = OutputRules(writers, destination, NameTemplate(name), "tiny", Existing(existing), inference)
        return make_plan(inputs, rules)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_source_gets_one_target_a_format(bench: Bench) -> None:
    plan = bench.plan(bench.source("a.jpg"), bench.source("sub/b.jpg"), formats="png16,npy")
    targets = [[os.path.relpath(target.path or "", bench.folder) for target in task.targets] for task in plan.tasks]
    assert targets == [["out/a_depth.png", "out/a_depth.npy"], ["out/sub/b_depth.png", "out/sub/b_depth.npy"]]
    assert not (bench.folder / "out").exists(), "planning leaves nothing behind"


def test_collisions_are_listed_up_to_a_few(bench: Bench) -> None:
    sources = [bench.source(f"{number}.{kind}") for number in range(5) for kind in ("jpg", "png")]
    with pytest.raises(UsageError) as caught:
        bench.plan(*sources)
    assert "0.jpg" in caught.value.message
    assert "0.png" in caught.value.message
    assert "and 2 more" in caught.value.message


def test_two_formats_of_one_name_collide_too(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"png16 and color of 'a\.jpg'"):
        bench.plan(bench.source("a.jpg"), formats="png16,color", name="{stem}")


def test_names_that_differ_by_case_collide_where_the_file_system_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = bench.source("a.jpg"), bench.source("A.jpg")
    if sys.platform == "linux":
        assert len(bench.plan(*pair).tasks) == 2
    monkeypatch.setattr(planning, "_ignores_case", lambda folder: True)
    with pytest.raises(UsageError, match="same file"):
        bench.plan(*pair)


def test_the_two_ways_of_writing_an_accent_collide_on_a_mac(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = bench.source("caf\u00e9.jpg"), bench.source("cafe\u0301.jpg")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="same file"):
        bench.plan(*pair)


def test_a_single_file_or_stream_takes_one_result(bench: Bench) -> None:
    one, two = bench.source("a.jpg"), bench.source("b.jpg")
    for out in ("x.png", "-"):
        with pytest.raises(UsageError, match="2 inputs"):
            bench.plan(one, two, out=out)
    with pytest.raises(UsageError, match="npy and png16"):
        bench.plan(one, formats="npy,png16", out="-")
    (task,) = bench.plan(one, out="-").tasks
    assert task.targets[0].path is None


def test_an_output_that_is_an_input_by_any_name_is_refused(bench: Bench) -> None:
    source = bench.source("a.jpg")
    (bench.folder / "out").mkdir()
    (bench.folder / "out/a_depth.png").symlink_to(source.path or "")
    for policy in Existing:
        with pytest.raises(UsageError, match="is one of the inputs"):
            bench.plan(source, existing=policy)


def test_what_was_made_alike_and_is_newer_is_skipped_and_tells_what_it_is(bench: Bench) -> None:
    source = bench.source("a.jpg")
    bench.write(source)
    for policy in ("skip", "update"):
        plan = bench.plan(source, existing=policy)
        assert plan.tasks == []
        (outcome,) = plan.known
        assert outcome.status is Status.SKIPPED
        assert outcome.outputs[0].depth_scale == 1000
        assert outcome.facts["limit_m"] == 10


@pytest.mark.parametrize("change", ["model", "scale", "time"])
def test_what_was_made_otherwise_is_an_error_for_skip_and_work_for_update(bench: Bench, change: str) -> None:
    source = bench.source("a.jpg")
    path = bench.write(
        source, model="f" * 64 if change == "model" else WEIGHTS, scale=5000 if change == "scale" else 1000
    )
    if change == "time":
        os.utime(path, (1_500_000_000, 1_500_000_000))
    (outcome,) = bench.plan(source).known
    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.EXISTS
    assert "--existing update" in (outcome.error.hint or "")
    (task,) = bench.plan(source, existing="update").tasks
    assert task.targets[0].replaces


def name_bytes(data: bytes) -> dict[str, Any]:
    return {"source_bytes": len(data), "source_blake2b": hashlib.blake2b(data, digest_size=16).hexdigest()}


@pytest.mark.parametrize("seconds", [1_400_000_000, 1_600_000_000, 4_000_000_000])
@pytest.mark.parametrize("now", [b"another picture", b"PICTURE"], ids=["another size", "the same size"])
def test_a_map_belongs_to_the_bytes_it_was_made_from_whatever_the_dates(bench: Bench, now: bytes, seconds: int) -> None:
    source = bench.source("a.jpg")
    path = bench.write(source, **name_bytes(b"picture"))
    for date in (1_300_000_000, 1_500_000_000):
        os.utime(path, (date, date))
        bench.source("a.jpg", seconds=seconds)
        assert [each.status for each in bench.plan(source).known] == [Status.SKIPPED]
    assert source.path is not None
    source.path.write_bytes(now)
    bench.source("a.jpg", seconds=seconds)
    (outcome,) = bench.plan(source).known
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.EXISTS
    (task,) = bench.plan(source, existing="update").tasks
    assert task.targets[0].replaces


def test_a_picture_is_read_only_where_a_map_of_its_size_is_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("glpn_cli.images.source._hash_file", lambda path, *_: read.append(path))
    new, same, other = (bench.source(name) for name in ("new.jpg", "same.jpg", "other.jpg"))
    bench.write(same, **name_bytes(b"picture"))
    bench.write(other, **name_bytes(b"another picture"))
    bench.plan(new, same, other)
    assert read == [same.path]


@pytest.mark.parametrize("formats", ["png16,npy", "npy,png16"])
def test_bare_values_beside_a_map_of_other_bytes_are_not_kept(bench: Bench, formats: str) -> None:
    source = bench.source("a.jpg")
    path = bench.write(source, **name_bytes(b"other"))
    path.with_suffix(".npy").write_bytes(b"numbers")
    (outcome,) = bench.plan(source, formats=formats, existing="update").known
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.EXISTS
    assert "npy" in outcome.error.message


def test_foreign_files_are_touched_by_overwrite_only(bench: Bench) -> None:
    source = bench.source("a.jpg")
    (bench.folder / "out").mkdir()
    (bench.folder / "out/a_depth.png").write_bytes(b"\x89PNG\r\n\x1a\n not ours")
    for policy in ("skip", "update", "error"):
        (outcome,) = bench.plan(source, existing=policy).known
        assert outcome.status is Status.ERROR, policy
    (task,) = bench.plan(source, existing="overwrite").tasks
    assert task.targets[0].replaces


def test_only_what_is_missing_is_made(bench: Bench) -> None:
    source = bench.source("a.jpg")
    bench.write(source)
    (task,) = bench.plan(source, formats="png16,npy").tasks
    assert [target.writer.format for target in task.targets] == ["npy"]
    assert [output.format for output in task.kept] == ["png16"]


def test_a_new_target_never_replaces_what_comes_meanwhile(bench: Bench) -> None:
    (task,) = bench.plan(bench.source("a.jpg")).tasks
    assert not task.targets[0].replaces


def test_bare_values_are_kept_with_a_note_unless_they_are_older(bench: Bench) -> None:
    (bench.folder / "out").mkdir()
    (bench.folder / "out/a_depth.npy").write_bytes(b"numbers")
    plan = bench.plan(bench.source("a.jpg"), formats="npy")
    assert [outcome.status for outcome in plan.known] == [Status.SKIPPED]
    assert "npy" in plan.notes[0]
    future = bench.plan(bench.source("a.jpg", seconds=4_000_000_000), formats="npy")
    assert [outcome.status for outcome in future.known] == [Status.SKIPPED], "a clock that is wrong says nothing"
    os.utime(bench.folder / "out/a_depth.npy", (1_500_000_000, 1_500_000_000))
    newer = bench.plan(bench.source("a.jpg"), formats="npy")
    assert [outcome.status for outcome in newer.known] == [Status.ERROR]


def test_a_folder_where_a_file_should_be_is_refused(bench: Bench) -> None:
    (bench.folder / "out/a_depth.png").mkdir(parents=True)
    with pytest.raises(UsageError, match="it is a folder"):
        bench.plan(bench.source("a.jpg"))


def test_every_input_costs_at_most_3_kilobytes(bench: Bench) -> None:
    folder = bench.folder / "in"
    count = 2000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sources = [ImageSource(folder / f"{n:06}.jpg", f"{n:06}.jpg", str(folder / f"{n:06}.jpg")) for n in range(count)]
    plan = bench.plan(*sources, formats="png16,color")
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert len(plan.tasks) == count
    assert each < 3000, f"{each:.0f} bytes"


def test_every_format_can_be_planned(bench: Bench) -> None:
    for number, word in enumerate(FORMATS):
        assert len(bench.plan(bench.source(f"{number}.jpg"), formats=word).tasks) == 1
