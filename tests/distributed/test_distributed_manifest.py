"""Names in a file are read as they are needed, judged as a whole, and planned where they are done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.cli.predict import ClusterParams
from glpn_cli.pipeline.engine import Engine
from glpn_cli.pipeline.plan_stream import StreamPlanner
from glpn_cli.pipeline.report import RunEnd
from glpn_cli.pipeline.stages import Stages

needs_parquet = pytest.mark.skipif(find_spec("pyarrow") is None, reason="Parquet needs the extra [ray]")


class HereEngine:
    """In place of a cluster: plans tasks as its actors do, and does them in this process."""

    def __init__(self, stages: Stages, tell: Any, *, planner: StreamPlanner, **_: Any) -> None:
        self._planner = planner
        self._engine = Engine(stages, tell, workers=1)

    def run(self, tasks: Iterable[Any]) -> RunEnd:
        return self._engine.run(self._planner.plan_alone(task.source) for task in tasks)


@pytest.fixture(autouse=True)
def _here(tiny_model: Path, tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "tiny")

    monkeypatch.setattr(ClusterParams, "make_engine", lambda *_: HereEngine)


def predict(*more: str) -> Result:
    words = ["predict", "-m", "tiny", "-o", "out", "--threads", "1", "--precision", "fp32", "--engine", "ray", *more]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def statuses(result: Result) -> dict[str, str]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {
        line["name"]: line["error"]["code"] if "error" in line else line["status"]
        for line in lines
        if line["type"] == "result"
    }


def write_list(*names: str) -> None:
    Path("list.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


def test_a_list_is_done_item_by_item_and_again_skipped() -> None:
    write_list("photos/a.jpg", "photos/b.png", "photos/gone.png", "photos/a.jpg", "list.txt")
    result = predict("--files-from", "list.txt", "--json")
    assert result.exit_code == 3, result.output
    found = statuses(result)
    assert found == {
        "photos/a.jpg": "ok",
        "photos/b.png": "ok",
        "photos/gone.png": "E_NOT_FOUND",
        "list.txt": "E_UNSUPPORTED",
    }
    assert Path("out/photos/a_depth.png").exists()
    assert json.loads(result.stdout.splitlines()[-1])["total"] == 4
    again = predict("--files-from", "list.txt", "--json")
    assert statuses(again) == {**found, "photos/a.jpg": "skipped", "photos/b.png": "skipped"}


@needs_parquet
def test_a_parquet_list_is_one_for_either_engine() -> None:
    from pyarrow import parquet, table

    parquet.write_table(table({"id": [1, 2], "path": ["photos/a.jpg", "photos/sub/c.webp"]}), "list.parquet")
    assert statuses(predict("--files-from", "list.parquet", "--json")).keys() == {"photos/a.jpg", "photos/sub/c.webp"}
    local = predict("--files-from", "list.parquet", "--json", "--engine", "local")
    assert set(statuses(local).values()) == {"skipped"}
    parquet.write_table(table({"name": ["photos/a.jpg"]}), "other.parquet")
    other = predict("--files-from", "other.parquet")
    assert other.exit_code == 2
    assert "no column 'path'" in other.stderr


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (("photos/a.jpg", "photos/a.png"), (), "several results would be the same file"),
        (("photos/a.jpg", "../a.png"), (), "outside the root"),
        (("photos/a.jpg", "photos/a_depth.png"), ("-o", "."), "is one of the inputs"),
        ((), (), "name nothing"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(names: tuple[str, ...], more: tuple[str, ...], words: str) -> None:
    write_list(*names)
    result = predict("--files-from", "list.txt", *more)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert not Path("out").exists()


def test_a_shard_of_a_list_is_its_part() -> None:
    write_list("photos/a.jpg", "photos/b.png", "photos/sub/c.webp", "photos/sub/d.png")
    parts = [statuses(predict("--files-from", "list.txt", "--json", "-n", "--shard", f"{part}/2")) for part in (1, 2)]
    assert not parts[0].keys() & parts[1].keys()
    assert len(parts[0]) + len(parts[1]) == 4


def test_what_is_in_the_way_is_that_items_error() -> None:
    write_list("photos/a.jpg", "photos/b.png")
    Path("out/photos").mkdir(parents=True)
    Path("out/photos/a_depth.png").write_bytes(b"mine")
    result = predict("--files-from", "list.txt", "--json")
    assert statuses(result) == {"photos/a.jpg": "E_EXISTS", "photos/b.png": "ok"}
    assert Path("out/photos/a_depth.png").read_bytes() == b"mine"


@needs_parquet
def test_a_report_in_parquet_holds_the_records() -> None:
    from pyarrow import parquet

    write_list("photos/a.jpg", "photos/gone.png")
    result = predict("--files-from", "list.txt", "--json", "--report", "report.parquet")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    found = parquet.read_table("report.parquet")
    assert [without_none(row) for row in found.to_pylist()] == lines[:2]
    assert json.loads(parquet.read_metadata("report.parquet").metadata[b"glpn_summary"]) == lines[2]
    assert predict("--files-from", "list.txt", "--report", "report.parquet").exit_code == 3
    Path("mine.parquet").write_bytes(b"mine")
    assert predict("--files-from", "list.txt", "--report", "mine.parquet").exit_code == 2


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}
    return [without_none(each) for each in value] if isinstance(value, list) else value
