"""Pictures and depth maps that come through pipes, which can be read only once: whoever looks in must not eat them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program_runs import TORCH, glpn

from glpn_cli.depth_files import read_record

FORMATS = ["png16", "npy", "npz", "pfm", "tiff", "exr"]


@pytest.fixture(autouse=True)
def _here(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, untouched_pictures: Path) -> None:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)
    picture = untouched_pictures / "b.png"
    assert glpn("predict", picture, "-o", "maps", "-f", ",".join(FORMATS), *TORCH).exit_code == 0


def path_of(name: str) -> Path:
    extension = {"png16": ".png"}.get(name, f".{name}")
    return Path(f"maps/b_depth{extension}")


@contextmanager
def pipe(data: bytes) -> Iterator[str]:
    """The name of a pipe with these bytes."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=[data], daemon=True)
    writer.start()
    try:
        yield "pipe"
    finally:
        writer.join(10)
        Path("pipe").unlink()
    assert not writer.is_alive()


def point(*words: object, **settings: bytes) -> float:
    result = glpn("measure", *words, "20,30", "--json", "--threads", "1", "--precision", "fp32", **settings)
    assert result.exit_code == 0, result.stderr
    depth: float = json.loads(result.stdout)["points"][0]["depth"]
    return depth


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_measures_alike_by_its_file_a_pipe_and_standard_input(name: str) -> None:
    data = path_of(name).read_bytes()
    expected = point(path_of(name))
    assert point("-", input=data) == expected
    with pipe(data) as where:
        assert point(where) == expected


def test_a_picture_measures_alike_by_its_file_and_a_pipe(untouched_pictures: Path) -> None:
    picture = untouched_pictures / "b.png"
    with pipe(picture.read_bytes()) as where:
        assert point(where) == point(picture)


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_is_painted_alike_from_its_file_a_pipe_and_standard_input(name: str) -> None:
    data = path_of(name).read_bytes()
    expected = glpn("export", path_of(name), "-o", "-").stdout_bytes
    assert (record := read_record(expected)) is not None
    assert record.map == "color"
    with pipe(data) as where:
        result = glpn("export", where, "-o", "-")
        assert result.exit_code == 0, result.stderr
        piped = result.stdout_bytes
    through = glpn("export", "-", "-o", "-", input=data).stdout_bytes
    assert pixels(piped) == pixels(through) == pixels(expected)


def pixels(data: bytes) -> bytes:
    import io

    from PIL import Image

    return Image.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_predict_takes_no_map_for_a_picture_however_it_comes(name: str) -> None:
    data = path_of(name).read_bytes()
    for result in (glpn("predict", "-", "-o", "out", input=data), _by_pipe("predict", data)):
        assert result.exit_code == 2
        assert "is a depth map already" in result.stderr
    assert not Path("out").exists()


def _by_pipe(command: str, data: bytes) -> object:
    with pipe(data) as where:
        return glpn(command, where, "-o", "out")


def test_a_map_is_inspected_alike_by_its_file_a_pipe_and_standard_input() -> None:
    data = path_of("png16").read_bytes()
    expected = json.loads(glpn("inspect", path_of("png16"), "--json").stdout)
    through = json.loads(glpn("inspect", "-", "--json", input=data).stdout)
    with pipe(data) as where:
        piped = json.loads(glpn("inspect", where, "--json").stdout)
    del expected["path"], through["path"], piped["path"]
    assert piped == through == expected


def test_what_was_painted_already_is_told_and_an_endless_device_is_given_up() -> None:
    painted = glpn("export", path_of("png16"), "-o", "-").stdout_bytes
    result = glpn("export", "-", "-o", "out", input=painted)
    assert result.exit_code == 2
    assert "made of depth already" in result.stderr
    endless = glpn("export", "/dev/zero", "-o", "out", *TORCH)
    assert endless.exit_code == 1
    assert "[E_UNSUPPORTED]" in endless.stderr


def test_a_list_from_a_pipe_is_read_once(untouched_pictures: Path) -> None:
    """Looking for clips in it too once left the run without its names."""
    Path("b.png").write_bytes((untouched_pictures / "b.png").read_bytes())
    with pipe(b"b.png\n") as where:
        result = glpn("predict", "--files-from", where, "-o", "out", *TORCH)
    assert result.exit_code == 0, result.stderr
    assert Path("out/b_depth.png").exists()
