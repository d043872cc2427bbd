"""Lists on standard input: a process that is fed, one picture after the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glpn_cli.atomic_write import new_temporary_name
from glpn_cli.cli import app
from glpn_cli.depth_files.labels import Labels
from glpn_cli.images import ImageSource
from glpn_cli.prediction import LabelMap
from glpn_cli.prediction import Result as Answer


@pytest.fixture(autouse=True)
def _beside_the_pictures(tiny_pictures: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_pictures)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))


def glpn(*arguments: object, **settings: Any) -> Result:
    words = [*map(str, arguments), "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, words, catch_exceptions=False, **settings)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def fed(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for names; a parameter is its size of batches."""
    command = [
        sys.executable,
        "-m",
        "glpn_cli",
        "predict",
        "--files-from",
        "-",
        "-o",
        "out",
        "--json",
        "--threads",
        "1",
        "--batch-size",
        getattr(request, "param", "auto"),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as child:
        yield child
        if child.poll() is None:
            child.kill()


@pytest.mark.parametrize("fed", ["1", "4"], indirect=True)
def test_each_picture_is_answered_before_the_next_is_named(fed: subprocess.Popen[bytes]) -> None:
    assert fed.stdin is not None
    assert fed.stdout is not None
    for name in ("a.jpg", "sub/c.webp", "nothere.jpg", "b.png"):
        fed.stdin.write(name.encode() + b"\n")
        record = json.loads(fed.stdout.readline())
        assert record["input"] == name
        assert record["status"] == ("error" if name == "nothere.jpg" else "ok")
    assert Path("out/sub/c_depth.png").exists()
    fed.stdin.close()
    assert json.loads(fed.stdout.readline())["total"] == 4
    assert fed.wait(timeout=30) == 3


def test_an_interrupt_while_it_waits_ends_it_cleanly(fed: subprocess.Popen[bytes]) -> None:
    assert fed.stdin is not None
    assert fed.stdout is not None
    assert fed.stderr is not None
    fed.stdin.write(b"a.jpg\n")
    assert json.loads(fed.stdout.readline())["status"] == "ok"
    fed.terminate()
    assert fed.wait(timeout=30) == 143
    talk = fed.stderr.read().decode()
    assert "Fatal" not in talk
    assert "stopped by SIGTERM: 1 written" in talk


def test_a_collision_is_the_error_of_the_item_that_brings_it() -> None:
    os.link("b.png", "a.png")
    result = glpn(
        "predict", "--files-from", "-", "-o", "out", "--json", "--workers", "1", input="a.jpg\na.png\nb.png\n"
    )
    assert result.exit_code == 3
    found = {record["name"]: record for record in records(result)[:-1]}
    assert found["a.png"]["error"]["code"] == "E_EXISTS"
    assert "a.jpg" in found["a.png"]["error"]["message"]
    assert found["b.png"]["status"] == "ok"


def test_what_is_done_is_skipped_and_maps_are_refused() -> None:
    assert glpn("predict", "a.jpg", "-o", ".").exit_code == 0
    result = glpn("predict", "--files0-from", "-", "-o", ".", "--json", input="a.jpg\0a_depth.png\0")
    assert result.exit_code == 3
    statuses = {record["name"]: record["status"] for record in records(result)[:-1]}
    assert statuses == {"a.jpg": "skipped", "a_depth.png": "error"}


@pytest.mark.parametrize("names", ["q.jpg q.png", "q.png q.jpg", "q.jpg"])
@pytest.mark.parametrize("has_maps", [False, True])
def test_no_photograph_is_overwritten_that_the_list_names_or_may_name(names: str, has_maps: bool) -> None:
    shutil.copy("a.jpg", "q.jpg")
    shutil.copy("b.png", "q.png")
    if has_maps:  # the photographs are then painted from them
        assert glpn("predict", "q.png", "-o", ".").exit_code == 0
    photograph = Path("q.png").read_bytes()
    result = glpn(
        *("export", "--files-from", "-", "--name", "{stem}", "--existing", "overwrite", "-o", ".", "--json"),
        input=names.replace(" ", "\n"),
    )
    assert Path("q.png").read_bytes() == photograph
    assert result.exit_code == 1
    *told, _ = records(result)
    assert {record["error"]["code"] for record in told} <= {"E_EXISTS", "E_USAGE"}
    assert len(told) == len(names.split())


@pytest.mark.parametrize("words", [("predict", "-f", "png16,npy,pfm"), ("export",)])
def test_what_glpn_wrote_or_cannot_be_an_input_is_overwritten(words: tuple[str, ...]) -> None:
    again = (*words, "--files-from", "-", "--existing", "overwrite", "-o", "out")
    first, second = (glpn(*again, input="a.jpg\nb.png\n") for _ in range(2))
    assert first.exit_code == second.exit_code == 0, second.stderr
    assert sorted(first.stdout.split()) == sorted(second.stdout.split())


def test_two_formats_of_an_item_that_would_be_one_file_are_refused_at_once() -> None:
    words = ("export", "--files-from", "-", "-f", "color,gray", "-o", "out")
    result = glpn(*words, "--name", "{stem}", input="a.jpg\n")
    assert result.exit_code == 2
    assert "color and gray of every input would be the same file" in result.stderr
    assert not Path("out").exists()
    result = glpn(*words, "--name", "{stem}_{map}", input="a.jpg\n")
    assert sorted(result.stdout.split()) == ["out/a_color.png", "out/a_gray.png"]


def test_what_killed_runs_left_in_any_folder_is_swept_but_not_by_a_dry_run() -> None:
    words = ("predict", "--files-from", "-", "-o", "out")
    names = {"input": "a.jpg\nsub/c.webp\n"}
    left = [Path(folder) / new_temporary_name() for folder in ("out", "out/sub")]
    for _ in range(2):  # all is done at the second time, and skipped
        for path in left:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert glpn(*words, "-n", **names).exit_code == 0
        assert all(path.exists() for path in left)
        assert glpn(*words, **names).exit_code == 0
        assert not any(path.exists() for path in left)


def test_a_dry_run_tells_each_item() -> None:
    result = glpn("predict", "--files-from", "-", "-o", "out", "-n", input="a.jpg\nb.png\n")
    assert result.stdout.splitlines() == ["out/a_depth.png", "out/b_depth.png"]
    assert not Path("out").exists()


def test_export_is_fed_with_pictures_and_maps_alike() -> None:
    assert glpn("predict", "a.jpg", "-o", "depth").exit_code == 0
    result = glpn("export", "--files-from", "-", "-o", "out", input="depth/a_depth.png\nb.png\n")
    assert result.exit_code == 0
    assert sorted(path.as_posix() for path in Path("out").rglob("*.png")) == [
        "out/b_color.png",
        "out/depth/a_color.png",
    ]


def test_bare_numbers_of_a_list_are_taken_for_metres_with_a_warning() -> None:
    np.save("bare.npy", np.full((6, 8), 2, np.float32))
    words = ("export", "--files-from", "-", "--existing", "overwrite", "--json", "-o", "out")
    assert records(glpn(*words, input="bare.npy\n"))[0]["warnings"] == ["W_FLAT", "W_UNIT"]
    assert records(glpn(*words, "--kind", "metric", input="bare.npy\n"))[0]["warnings"] == ["W_FLAT"]


def test_what_was_made_of_depth_already_is_no_picture_of_a_list_either() -> None:
    assert glpn("predict", "a.jpg", "-o", "made", "--uncertainty").exit_code == 0
    assert glpn("export", "a.jpg", "-o", "made", "-f", "color,gray").exit_code == 0
    sky = Answer(LabelMap(np.zeros((9, 9), np.uint8), ("sky",)), ImageSource(Path("a.jpg"), "a.jpg", "a.jpg"))
    Path("made/a_labels.png").write_bytes(Labels().encode(sky).data)
    names = [f"made/a_{name}" for name in ("color.png", "gray.png", "uncertainty.tiff", "labels.png")]
    result = glpn("export", "--files-from", "-", "-o", "out", "--json", input="\n".join(["b.png", *names]))
    assert result.exit_code == 3
    told = {record["input"]: record for record in records(result)[:-1]}
    assert told.pop("b.png")["status"] == "ok"
    assert {name: record["error"]["code"] for name, record in told.items()} == dict.fromkeys(names, "E_UNSUPPORTED")
    assert "made of depth already" in told["made/a_color.png"]["error"]["message"]
    result = glpn("export", "--files-from", "-", "-o", "out", "--as", "picture", input="made/a_color.png\n")
    assert result.stdout.split() == ["out/made/a_color_color.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "-o", "x.png"], "needs a folder"),
        (["predict", "-o", "-"], "needs a folder"),
        (["export", "--range", "batch"], "--range batch"),
        (["predict", "-o", "a.jpg/x"], "cannot write"),
    ],
)
def test_what_cannot_be_done_one_by_one_is_refused_at_once(arguments: list[str], says: str) -> None:
    result = glpn(*arguments, "--files-from", "-", input="a.jpg\n")
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_empty_list_is_a_usage_error_unless_it_is_allowed() -> None:
    assert glpn("predict", "--files-from", "-", "-o", "out", input="").exit_code == 2
    assert glpn("predict", "--files-from", "-", "-o", "out", "--allow-empty", input="").exit_code == 0


def test_bytes_that_are_no_list_end_the_run_with_a_usage_error() -> None:
    result = glpn("predict", "--files-from", "-", "-o", "out", input=b"x" * 200_000)
    assert result.exit_code == 2
    assert "no list of file names" in result.stderr
