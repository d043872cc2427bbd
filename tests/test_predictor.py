"""A model in memory: sizes, units, settings, transparent pixels, and what it says of its own answers."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from glpn_cli.errors import ErrorCode, InputError, ModelError, StoppedError, UsageError
from glpn_cli.images import Picture, read_rgb
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.predictor import DepthEstimator

SIZES = [(48, 64), (65, 97), (31, 31), (1, 1), (33, 200)]


def picture(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def estimator(tiny_model: Path) -> DepthEstimator:
    return DepthEstimator.from_pretrained(tiny_model, device="cpu", precision="fp32", threads=1)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_size_of_picture_gets_metres_at_its_own_size(estimator: DepthEstimator, height: int, width: int) -> None:
    depth = estimator.predict(picture(height, width))
    assert depth.size == (height, width)
    assert depth.kind.is_metric
    assert depth.limit == 10.0
    assert depth.valid is None
    low, high = depth.min_max() or (0, 0)
    assert 10.0 / 10_000 <= low <= high <= 10.0


def test_a_path_a_pil_image_and_an_array_are_the_same_picture(estimator: DepthEstimator, tmp_path: Path) -> None:
    rgb = picture(48, 64)
    Image.fromarray(rgb).save(tmp_path / "x.png")
    expected = estimator.predict(rgb).values
    for given in (tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(rgb)):
        np.testing.assert_array_equal(estimator.predict(given).values, expected)


def test_pictures_of_several_sizes_come_back_in_their_order(estimator: DepthEstimator, tmp_path: Path) -> None:
    pictures = []
    for index, (height, width) in enumerate([(48, 64), (65, 97), (48, 64), (33, 40)]):
        path = tmp_path / f"{index}.png"
        Image.fromarray(picture(height, width, seed=index)).save(path)
        pictures.append(read_rgb(path))
    together = estimator.predict_pictures(pictures)
    for each, depth in zip(pictures, together, strict=True):
        assert depth.size == each.full_size
        alone = estimator.predict_pictures([each])[0]
        np.testing.assert_allclose(depth.values, alone.values, rtol=0, atol=1e-5 * 10)


def test_transparent_pixels_are_not_valid(estimator: DepthEstimator, tmp_path: Path) -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.dstack([picture(48, 64), alpha])).save(tmp_path / "x.png")
    depth = estimator.predict(tmp_path / "x.png")
    assert depth.valid is not None
    np.testing.assert_array_equal(depth.valid, alpha > 0)


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"tta": "rotate"}, {"input_size": -5}, {"upsample": "x"}, {"precision": "x"}], ids=str
)
def test_a_setting_that_makes_no_sense_is_refused(tiny_model: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        DepthEstimator.from_pretrained(tiny_model, **wrong)


def test_the_longest_side_may_be_a_number(tiny_model: Path) -> None:
    small = DepthEstimator.from_pretrained(tiny_model, input_size=64)
    assert small.network_size(Picture(picture(96, 192), (96, 192))) == (32, 64)


def test_max_depth_rescales_every_depth(tiny_model: Path, estimator: DepthEstimator) -> None:
    rgb = picture(48, 64)
    farther = DepthEstimator.from_pretrained(tiny_model, precision="fp32", max_depth=25.0)
    assert farther.predict(rgb).limit == 25.0
    np.testing.assert_allclose(farther.predict(rgb).values, estimator.predict(rgb).values * 2.5, rtol=1e-5)


def test_flip_is_the_average_with_the_mirrored_picture(tiny_model: Path, estimator: DepthEstimator) -> None:
    # A size that the network sees as it is, so that resampling does not come between.
    rgb = picture(64, 96)
    mirrored = estimator.predict(np.ascontiguousarray(rgb[:, ::-1])).values[:, ::-1]
    expected = (estimator.predict(rgb).values + mirrored) / 2
    both = DepthEstimator.from_pretrained(tiny_model, precision="fp32", tta="flip")
    np.testing.assert_allclose(both.predict(rgb).values, expected, rtol=0, atol=1e-4)
    assert np.abs(expected - estimator.predict(rgb).values).max() > 0.01, "weights that cannot tell left from right"


def test_the_spread_of_answers_is_their_standard_deviation_in_the_memory_of_a_few(estimator: DepthEstimator) -> None:
    large = Picture(picture(1000, 1500), (1000, 1500))
    expected = np.std(list(estimator._answers_about(large)), axis=0)
    assert expected.max() > 0.01, "answers that cannot tell"
    tracemalloc.start()
    try:
        found = estimator.predict_std(large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert peak < 32 * 1_500_000


def test_bf16_is_close_and_says_so(tiny_model: Path, estimator: DepthEstimator) -> None:
    low = DepthEstimator.from_pretrained(tiny_model, precision="bf16")
    rgb = picture(48, 64)
    assert low.precision == "bf16"
    difference = np.abs(low.predict(rgb).values - estimator.predict(rgb).values)
    assert 0 < difference.max() < 0.3


def test_an_answer_says_how_it_was_made(estimator: DepthEstimator, tiny_model: Path, tmp_path: Path) -> None:
    Image.fromarray(picture(65, 97)).save(tmp_path / "x.png")
    made = estimator.provenance(read_rgb(tmp_path / "x.png"))
    assert made.model == str(tiny_model)
    assert made.network_size == (64, 96)
    assert (made.device, made.precision, made.precision_asked, made.limit_m) == ("cpu", "fp32", "fp32", 10.0)
    assert len(made.weights_sha256) == 64


def make_jpeg(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stream = io.BytesIO()
    Image.fromarray(picture(48, 64)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("image", "trouble"),
    [
        (Image.open(io.BytesIO(make_jpeg(1)[:-200])), "the image is cut short"),
        (Image.new("RGB", (0, 5)), "the image has no pixels: it is 0x5"),
        (Image.fromarray(np.full((40, 40), np.nan, np.float32)), "the image has no picture in it"),
    ],
    ids=["cut short", "no pixels", "no numbers"],
)
def test_a_pil_image_that_cannot_be_read_is_an_input_error(
    estimator: DepthEstimator, image: Image.Image, trouble: str
) -> None:
    with pytest.raises(InputError, match=trouble):
        estimator.predict(image)


def test_a_pil_image_is_turned_upright_whatever_else_its_metadata_say(estimator: DepthEstimator) -> None:
    data = make_jpeg(6)
    assert estimator.predict(Image.open(io.BytesIO(data))).size == (64, 48)
    at = data.index(b"Exif\0\0") + 6
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        broken = Image.open(io.BytesIO(data[: at + 4] + b"\xff\xff\xff\x7f" + data[at + 8 :]))
    assert estimator.predict(broken).size == (48, 64)  # without a Python warning


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), InputError, ErrorCode.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), InputError, ErrorCode.OUT_OF_MEMORY),
        (RuntimeError("could not create a primitive"), InputError, ErrorCode.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            InputError,
            ErrorCode.OUT_OF_MEMORY,
        ),
        (MemoryError(), InputError, ErrorCode.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access"), StoppedError, ErrorCode.DEVICE),
    ],
)
def test_missing_memory_is_the_pictures_error_and_a_lost_device_everybodys(
    tiny_model: Path, fault: Exception, kind: type[Exception], code: ErrorCode
) -> None:
    broken = DepthEstimator.from_pretrained(tiny_model, precision="fp32")

    def fail(pixels: torch.Tensor) -> torch.Tensor:
        raise fault

    broken._network.forward = fail
    with pytest.raises(kind) as caught:
        broken.predict(picture(48, 64))
    assert caught.value.code is code


def test_an_answer_of_nans_is_an_error_and_never_a_depth_map(tiny_model: Path) -> None:
    broken = DepthEstimator.from_pretrained(tiny_model, precision="fp32")
    broken._network.forward = lambda pixels: torch.full((1, *pixels.shape[2:]), float("nan"))
    with pytest.raises(InputError, match="no depth map") as caught:
        broken.predict(picture(48, 64))
    assert caught.value.code is ErrorCode.DATA


def test_a_model_that_is_not_there_is_a_model_error_and_a_word_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError):
        DepthEstimator.from_pretrained(tmp_path / "empty")
    with pytest.raises(UsageError):
        DepthEstimator.from_pretrained("minni")


def test_a_recipe_knows_before_torch_what_a_run_will_need(tiny_model_80: Path) -> None:
    from glpn_cli.models.resolve import resolve_model

    recipe = InferenceSettings(resolve_model(str(tiny_model_80)))
    assert recipe.limit_m == 80.0
    assert recipe.network_size((480, 640)) == (480, 640)
    assert recipe.provenance.weights_sha256 == recipe.model.checkpoint.sha256()
