"""Pictures and depth maps that worker processes read: the same as read here, by processes that know no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import misbehaviour
import numpy as np
import pytest
from conftest import make_rgb
from PIL import ExifTags, Image
from program_runs import encode

from glpn_cli.depth_files import make_writer, read_depth
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ImageSource, Picture, ReadOptions, read_rgb
from glpn_cli.prediction import DepthKind, DepthMap, Result
from glpn_cli.process_pool import Workers

KINDS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "AVIF": "avif"}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(1, timeout_s=60, memory_bytes=4 << 30, modules=("glpn_cli.images",)) as found:
        yield found


@pytest.fixture
def there(workers: Workers) -> ReadOptions:
    return ReadOptions(workers=workers)


def check_same(one: Picture, other: Picture) -> None:
    np.testing.assert_array_equal(one.rgb, other.rgb)
    assert (one.valid is None) == (other.valid is None)
    if one.valid is not None:
        np.testing.assert_array_equal(one.valid, other.valid)
    assert (one.full_size, one.focal_35mm, one.warnings) == (other.full_size, other.focal_35mm, other.warnings)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_any_format_come_out_the_same(tmp_path: Path, there: ReadOptions, kind: str) -> None:
    path = tmp_path / f"x.{KINDS[kind]}"
    path.write_bytes(encode(make_rgb(48, 64), kind))
    check_same(read_rgb(path, there), read_rgb(path))
    check_same(read_rgb(path.read_bytes(), there), read_rgb(path))


def test_what_only_some_pictures_have_comes_along(tmp_path: Path, there: ReadOptions) -> None:
    rgba = np.dstack([make_rgb(20, 30), np.full((20, 30), 255, np.uint8)])
    rgba[:5, :, 3] = 0
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FocalLengthIn35mmFilm: 28}
    path = tmp_path / "x.png"
    Image.fromarray(rgba).save(path, exif=exif)
    picture = read_rgb(path, there)
    assert (picture.focal_35mm, picture.warnings) == (28.0, ("W_TINY",))
    assert picture.valid is not None
    assert picture.valid.sum() == 15 * 30
    check_same(picture, read_rgb(path))


def test_how_many_pixels_will_do_is_asked_here(tmp_path: Path, there: ReadOptions) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encode(make_rgb(800, 1200), "JPEG"))
    asked = []

    def enough(size: tuple[int, int]) -> tuple[int, int]:
        asked.append(size)
        return 200, 300

    picture = ImageSource(path, "x.jpg", "x.jpg", options=there).read(at_least=enough)
    assert asked == [(800, 1200)]
    assert (picture.size, picture.full_size) == ((200, 300), (800, 1200))


def test_errors_are_the_same_to_the_letter(tmp_path: Path, there: ReadOptions) -> None:
    cases = {"empty.png": b"", "text.jpg": b"hello\n", "cut.png": encode(make_rgb(48, 64), "PNG")[:300]}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name in [*cases, "missing.png", "folder.png", "loop.png"]:
        errors = []
        for options in (ReadOptions(), there):
            with pytest.raises(InputError) as caught:
                read_rgb(tmp_path / name, options)
            errors.append((caught.value.message, caught.value.hint, caught.value.code))
        assert errors[0] == errors[1]


def test_options_go_along(tmp_path: Path, workers: Workers) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode(make_rgb(48, 64), "PNG"))
    with pytest.raises(InputError, match="has 3,072 pixels") as caught:
        read_rgb(path, ReadOptions(max_pixels=3000, workers=workers))
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("how", ["pipe", "file"])
def test_what_only_this_process_has_open_is_read_here_and_decoded_there(
    tmp_path: Path, there: ReadOptions, how: str
) -> None:
    """`/dev/fd/N`, as shells name what another program writes, or a file that was opened for this one."""
    path = tmp_path / "x.png"
    path.write_bytes(encode(make_rgb(48, 64), "PNG"))
    if how == "pipe":
        number, end = os.pipe()
        os.write(end, path.read_bytes())
        os.close(end)
    else:
        number = os.open(path, os.O_RDONLY)
    try:
        check_same(read_rgb(Path(f"/dev/fd/{number}"), there), read_rgb(path))
    finally:
        os.close(number)


def test_a_path_is_found_from_wherever_this_process_stands(
    tmp_path: Path, there: ReadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.png").write_bytes(encode(make_rgb(48, 64), "PNG"))
    name = Path(os.fsdecode(b"caf\xe9.png"))
    name.write_bytes(encode(make_rgb(48, 64), "PNG"))
    assert read_rgb(Path("x.png"), there).size == (48, 64)
    assert read_rgb(name, there).size == (48, 64)


@pytest.mark.parametrize("form", ["png16", "npy", "npz", "tiff", "pfm", "exr", "ply"])
def test_depth_maps_of_any_format_come_out_the_same(tmp_path: Path, workers: Workers, form: str) -> None:
    writer = make_writer(form, kind=DepthKind.METRIC, limit_m=10.0)
    depth = DepthMap(np.linspace(1, 9, 48, dtype=np.float32).reshape(6, 8), limit=10.0)
    picture = ImageSource(None, "x.png", "-", data=encode(make_rgb(6, 8), "PNG"))
    path = tmp_path / f"x{writer.extension}"
    path.write_bytes(writer.encode(Result(depth, picture)).data)
    here, there = read_depth(path), workers.run(read_depth, path, about="x")
    np.testing.assert_array_equal(here.depth.values, there.depth.values)
    assert (here.record, here.format, here.camera) == (there.record, there.format, there.camera)
    assert (here.depth.kind, here.depth.limit) == (there.depth.kind, there.depth.limit)


def test_a_worker_that_has_read_everything_knows_no_torch_and_nothing_of_networks_or_commands(
    tmp_path: Path, there: ReadOptions, workers: Workers
) -> None:
    for kind, extension in KINDS.items():
        path = tmp_path / f"x.{extension}"
        path.write_bytes(encode(make_rgb(48, 64), kind))
        read_rgb(path, there)
    np.save(tmp_path / "x.npy", np.ones((4, 5), np.float32))
    workers.run(read_depth, tmp_path / "x.npy", about="x")
    loaded = workers.run(misbehaviour.loaded_modules, about="x")
    assert "glpn_cli.images.decode" in loaded
    assert "glpn_cli.depth_files.npy" in loaded
    heavy = {"torch", "typer", "rich", "safetensors", "huggingface_hub", "pytest", "multiprocessing"}
    assert heavy.isdisjoint(loaded)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("glpn_cli.")}
    assert rooms.isdisjoint({"models", "predictor", "batch", "cli", "checkpoint"}), rooms
