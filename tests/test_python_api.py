"""`DepthEstimator` in a program: what it takes, what its maps offer, many pictures, threads, processes, tensors."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import re
import resource
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_rgb
from PIL import ExifTags, Image

from glpn_cli import DepthKind, DepthMap, GlpnError, read_depth
from glpn_cli.depth_files import read_record
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.prediction import Intrinsics, PredictedDepth
from glpn_cli.predictor import DepthEstimator

RGB = make_rgb(48, 64)
GREY = np.ascontiguousarray(RGB[..., 0])


@pytest.fixture(scope="module")
def estimator(tiny_model: Path) -> DepthEstimator:
    return DepthEstimator.from_pretrained(tiny_model, device="cpu", precision="fp32", threads=1)


def png(rgb: np.ndarray = RGB) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()


SAME: dict[str, Any] = {
    "bytes": (png(), {}),
    "bytearray": (bytearray(png()), {}),
    "file": (io.BytesIO(png()), {}),
    "rgba": (np.dstack([RGB, np.full((48, 64), 255, np.uint8)]), {}),
    "bgr": (RGB[..., ::-1], {"channels": "bgr"}),
    "uint16": (RGB.astype(np.uint16) * 257, {}),
    "float": (RGB / np.float32(255), {"value_range": (0, 1)}),
    "float to 255": (RGB.astype(np.float64), {"value_range": (0, 255)}),
    "12 bits": (RGB.astype(np.uint16) * 16, {"value_range": (0, 4080)}),
    "tensor": (torch.from_numpy(RGB.copy()).movedim(-1, 0), {}),
    "float tensor": (torch.from_numpy(RGB.copy()).movedim(-1, 0) / 255, {"value_range": (0, 1)}),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_picture_in_any_form_gives_the_same_depth(estimator: DepthEstimator, name: str) -> None:
    thing, said = SAME[name]
    np.testing.assert_array_equal(estimator(thing, **said).values, estimator.predict(RGB).values)


@pytest.mark.parametrize("grey", [GREY, GREY[..., None], GREY.astype(np.uint16) * 257, torch.from_numpy(GREY)], ids=str)
def test_greys_are_the_picture_of_three_equal_channels(estimator: DepthEstimator, grey: Any) -> None:
    expected = estimator.predict(np.dstack([GREY] * 3)).values
    np.testing.assert_array_equal(estimator.predict(grey).values, expected)


def test_opacity_and_nan_are_holes(estimator: DepthEstimator) -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:10] = 0
    holes = estimator.predict(np.dstack([RGB, alpha])).valid
    assert holes is not None
    np.testing.assert_array_equal(holes, alpha > 0)
    floats = RGB / np.float32(255)
    floats[5, 6, 1] = np.nan
    unknown = estimator.predict(floats, value_range=(0, 1)).valid
    assert unknown is not None
    assert np.argwhere(~unknown).tolist() == [[5, 6]]


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "float without range": (RGB / 255, {}, "value_range"),
    "range that does not fit": (RGB.astype(np.float32), {"value_range": (0, 1)}, "0 to 25"),
    "range turned round": (RGB / 255, {"value_range": (1, 0)}, "smaller first"),
    "channels first": (np.zeros((3, 48, 64), np.uint8), {}, "moveaxis"),
    "a batch": (np.zeros((2, 48, 64, 3), np.uint8), {}, "predict_many"),
    "a batch of tensors": (torch.zeros(2, 3, 48, 64), {}, "predict_tensor"),
    "two channels": (np.zeros((48, 64, 2), np.uint8), {}, r"\(48, 64, 2\)"),
    "nothing in it": (np.zeros((0, 4, 3), np.uint8), {}, r"\(0, 4, 3\)"),
    "bgr grey": (GREY, {"channels": "bgr"}, "one channel"),
    "bgr file": (png(), {"channels": "bgr"}, "says its own"),
    "no channels": (RGB, {"channels": "brg"}, "brg"),
    "text file": (io.StringIO("x"), {}, "'rb'"),
    "list": ([[1, 2, 3]], {}, "list"),
    "None": (None, {}, "NoneType"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_picture_is_refused_and_told_what_to_do(estimator: DepthEstimator, name: str) -> None:
    thing, said, words = WRONG[name]
    with pytest.raises(UsageError) as caught:
        estimator.predict(thing, **said)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


def test_an_address_is_never_opened(estimator: DepthEstimator) -> None:
    with pytest.raises(InputError, match="an address") as caught:
        estimator.predict("https://example.org/a.jpg")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_damaged_bytes_are_an_input_error(estimator: DepthEstimator) -> None:
    with pytest.raises(InputError) as caught:
        estimator.predict(png()[:200])
    assert caught.value.code is ErrorCode.DECODE


# Maps


def test_a_saved_map_comes_back_and_says_how_it_was_made(
    estimator: DepthEstimator, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    depth = estimator.predict(tmp_path / "a.png")
    for name, most in (("d.png", 0.0006), ("d.npz", 0), ("d.tif", 0), ("new/d.exr", 0)):
        stored = read_depth(depth.save(tmp_path / name))
        np.testing.assert_allclose(stored.depth.values, depth.values, rtol=0, atol=most)
    record = read_record(tmp_path / "d.png")
    assert record is not None
    assert record.provenance is not None
    assert (record.source, record.provenance.model) == ("a.png", str(tiny_model))
    with pytest.raises(UsageError, match=r"\.jpg"):
        depth.save(tmp_path / "d.jpg")


def test_a_cloud_has_the_colours_of_an_array_too(estimator: DepthEstimator, tmp_path: Path) -> None:
    assert estimator.predict(RGB).save(tmp_path / "d.ply").stat().st_size > 48 * 64 * 15
    with pytest.raises(OutputError) as caught:
        DepthMap(np.ones((4, 5), np.float32)).save(tmp_path / "e.ply")
    assert caught.value.code is ErrorCode.UNSUPPORTED


def test_a_map_of_numbers_alone_is_painted_placed_and_made_a_tensor() -> None:
    values = np.linspace(1, 4, 20, dtype=np.float32).reshape(4, 5)
    valid = values < 3.9
    depth = DepthMap(values, valid=valid)
    painted = depth.colorize(range="1:4", colormap="turbo")
    assert (painted.shape, painted.dtype) == ((4, 5, 3), np.uint8)
    points = depth.points(Intrinsics(10, 10, 2, 1.5))
    np.testing.assert_allclose(points[0], [-0.2, -0.15, 1], rtol=1e-6)
    assert points.shape == (19, 3)
    tensor = depth.to_torch()
    assert tensor.dtype is torch.float32
    assert torch.isnan(tensor).sum() == 1
    with pytest.raises(UsageError, match="camera"):
        depth.points()
    with pytest.raises(UsageError, match="disparity"):
        DepthMap(values, kind=DepthKind.DISPARITY).points(Intrinsics(10, 10, 2, 1.5))


def test_points_know_an_assumed_camera(estimator: DepthEstimator) -> None:
    depth = estimator.predict(RGB)
    assert depth.made is not None
    assert depth.made.intrinsics is not None
    assert depth.made.intrinsics.source == "assumed"
    assert depth.points().shape == (48 * 64, 3)


def test_points_go_through_the_lens_that_was_said() -> None:
    estimator = DepthEstimator.from_pretrained("mini", device="cpu", focal="60,70,30,20")
    for depth in (estimator.predict(RGB), *estimator.predict_many([RGB])):
        assert isinstance(depth, PredictedDepth)
        assert depth.made is not None
        assert depth.made.intrinsics == Intrinsics(60, 70, 30, 20, "option")
        assert depth.points()[0] == pytest.approx(depth.values[0, 0] * np.array([-30 / 60, -20 / 70, 1]), rel=1e-6)


def test_one_picture_is_warned_about_as_many_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 100
    Image.fromarray(RGB).save(tmp_path / "far.jpg", exif=exif)
    estimator = DepthEstimator.from_pretrained("mini", device="cpu")
    (of_many,) = estimator.predict_many([tmp_path / "far.jpg"])
    assert isinstance(of_many, PredictedDepth)
    assert estimator.predict(tmp_path / "far.jpg").warnings == of_many.warnings == ("W_FOCAL",)


def test_12_bits_in_an_array_of_16_are_warned_about(estimator: DepthEstimator) -> None:
    assert estimator.predict(RGB.astype(np.uint16) * 16).warnings == ("W_DARK",)
    assert estimator.predict(RGB.astype(np.uint16) * 16, value_range=(0, 4095)).warnings == ()
    assert estimator.predict(RGB.astype(np.uint16) * 257).warnings == ()


def test_depth_is_not_taken_for_a_photograph(estimator: DepthEstimator, tmp_path: Path) -> None:
    depth = estimator.predict(RGB)
    for name, format_ in (("a.png", "png16"), ("b.png", "gray"), ("c.png", "color"), ("d.tiff", "tiff")):
        depth.save(tmp_path / name, format=format_)
        for given in (tmp_path / name, (tmp_path / name).read_bytes()):
            with pytest.raises(InputError, match="made of depth by glpn"):
                estimator.predict(given)
            (error,) = estimator.predict_many([given], on_error="return")
            assert isinstance(error, InputError)
        assert estimator.predict(Image.open(tmp_path / name)).size == (48, 64)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "sensor.png")
    assert estimator.predict(tmp_path / "sensor.png").warnings == ("W_DEPTH_LIKE",)


# Many


def test_a_list_comes_back_in_its_order(estimator: DepthEstimator) -> None:
    pictures = [make_rgb(48 + 7 * (index % 3), 64, seed=index) for index in range(12)]
    alone = [estimator.predict(each).values for each in pictures]
    for batch_size in ("auto", 4):
        for one, depth in zip(alone, estimator.predict_many(pictures, batch_size=batch_size, workers=3), strict=True):
            assert isinstance(depth, DepthMap)
            np.testing.assert_allclose(depth.values, one, rtol=0, atol=1e-4 if batch_size == 4 else 0)


def test_errors_are_raised_or_take_their_place(estimator: DepthEstimator) -> None:
    pictures = [RGB, b"nonsense", None, RGB]
    found = list(estimator.predict_many(pictures, on_error="return"))
    assert [type(each).__name__ for each in found] == ["PredictedDepth", "InputError", "UsageError", "PredictedDepth"]
    many = estimator.predict_many(pictures)
    assert isinstance(next(many), DepthMap)
    with pytest.raises(InputError):
        next(many)
    assert list(many) == []


def test_what_the_iterable_raises_passes_through(estimator: DepthEstimator) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield RGB
        raise KeyError("the list is broken")

    with pytest.raises(KeyError, match="broken"):
        list(estimator.predict_many(broken()))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"workers": 0}, {"on_error": "ignore"}], ids=str)
def test_a_setting_of_many_is_refused_at_once(estimator: DepthEstimator, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        estimator.predict_many([RGB], **wrong)


def test_an_iterator_that_is_left_reads_no_further(estimator: DepthEstimator) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(1)
            yield RGB

    many = estimator.predict_many(endless(), workers=2)
    next(many)
    many.close()  # type: ignore[attr-defined]
    count = len(taken)
    assert count < 100
    assert len(taken) == count


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_generator_takes_memory_for_some_pictures_however_many_it_has(estimator: DepthEstimator, count: int) -> None:
    alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
    most, before = 0, 0

    def pictures() -> Iterator[np.ndarray]:
        for number in range(count):
            made = np.full((32, 32, 3), 99, np.uint8)
            alive[number] = made
            yield made

    for index, depth in enumerate(estimator.predict_many(pictures())):
        assert not isinstance(depth, GlpnError)
        most = max(most, len(alive))
        if index == count // 4:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert index == count - 1
    assert most < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 20_000  # kB


def test_an_iterable_that_gives_nothing_more_keeps_nobody_who_leaves(estimator: DepthEstimator) -> None:
    more = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        yield RGB
        assert more.wait(timeout=60)

    many = estimator.predict_many(camera(), workers=1)
    assert isinstance(next(many), DepthMap)
    started = time.monotonic()
    many.close()  # type: ignore[attr-defined]  # it is a generator
    assert time.monotonic() - started < 30
    more.set()


# Threads, processes, devices, tensors


def test_eight_threads_get_the_serial_answers(estimator: DepthEstimator) -> None:
    pictures = [make_rgb(48, 64 + 3 * index, seed=index) for index in range(16)]
    alone = [estimator.predict(each).values for each in pictures]
    with ThreadPoolExecutor(8) as pool:
        for one, depth in zip(alone, pool.map(estimator, pictures), strict=True):
            np.testing.assert_array_equal(depth.values, one)


def answer(estimator: DepthEstimator, rgb: np.ndarray) -> Any:
    return estimator.predict(rgb).values


def test_it_is_pickled_as_its_settings_and_answers_the_same_in_a_spawned_process(estimator: DepthEstimator) -> None:
    data = pickle.dumps(estimator)
    assert len(data) < 20_000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(answer, (estimator, RGB)), estimator.predict(RGB).values)


def test_it_moves_and_refuses_devices_that_are_not_there(tiny_model: Path) -> None:
    moved = DepthEstimator.from_pretrained(tiny_model, device="cpu")
    assert moved.to("cpu") is moved
    with pytest.raises(UsageError):
        moved.to("cuda:77")
    assert moved.predict(RGB).size == (48, 64)


def test_a_tensor_gives_the_depth_of_its_pictures(estimator: DepthEstimator) -> None:
    same, other = make_rgb(64, 96), make_rgb(64, 96, seed=1)
    pixels = torch.from_numpy(np.stack([same, other])).movedim(-1, 1) / 255
    depth = estimator.predict_tensor(pixels)
    assert depth.shape == (2, 64, 96)
    for row, rgb in zip(depth, (same, other), strict=True):
        np.testing.assert_allclose(row.numpy(), estimator.predict(rgb).values, rtol=0, atol=1e-4)
    resized = estimator.predict_tensor(torch.from_numpy(RGB.copy()).movedim(-1, 0)[None] / 255)[0].numpy()
    np.testing.assert_allclose(resized, estimator.predict(RGB).values, rtol=0, atol=0.05)


def test_a_tensor_is_brought_to_the_lens_that_was_said() -> None:
    pixels = torch.from_numpy(make_rgb(64, 96).copy()).movedim(-1, 0)[None] / 255
    plain = DepthEstimator.from_pretrained("mini", device="cpu", precision="fp32")
    wide = DepthEstimator.from_pretrained("mini", device="cpu", precision="fp32", focal="28mm")
    factor = wide.recipe.picture_factor((64, 96), None)
    assert factor != pytest.approx(1, abs=0.01)
    torch.testing.assert_close(wide.predict_tensor(pixels), plain.predict_tensor(pixels) * factor)
    with pytest.raises(InputError, match="cannot be brought to its lens"):
        DepthEstimator.from_pretrained("mini", device="cpu", focal="auto").predict_tensor(pixels)


def test_a_tensor_is_not_silently_scaled_another_way(tiny_model: Path) -> None:
    guided = DepthEstimator.from_pretrained(tiny_model, device="cpu", upsample="guided")
    with pytest.raises(UsageError, match="upsample='guided'"):
        guided.predict_tensor(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 32, 32),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(1, 3, 32, 32).int(),
        torch.full((1, 3, 32, 32), 9.0),
    ],
    ids=["no batch", "grey", "integers", "to 255"],
)
def test_a_tensor_of_another_kind_is_refused(estimator: DepthEstimator, wrong: torch.Tensor) -> None:
    with pytest.raises(UsageError):
        estimator.predict_tensor(wrong)
