"""The processor gives transformers' numbers exactly, and refuses by name what it cannot do."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights import picture
from transformers.modeling_outputs import DepthEstimatorOutput as TheirOutput
from transformers.models.glpn.image_processing_pil_glpn import GLPNImageProcessorPil

from glpn_cli.errors import UsageError
from glpn_cli.models.glpn.processor import GLPNImageProcessor, prepare
from glpn_cli.models.hf_compat_base import DepthEstimatorOutput
from glpn_cli.models.image_processor import restore_metres

RANDOM = np.random.default_rng(0)


def photograph(size: tuple[int, int], *, mode: str = "RGB") -> Image.Image:
    """Opened from PNG bytes, as a user's picture is."""
    smooth = Image.fromarray(RANDOM.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size[::-1])
    bytes_ = BytesIO()
    smooth.convert(mode).save(bytes_, "PNG")
    return Image.open(BytesIO(bytes_.getvalue()))


INPUTS = {
    "PIL": photograph((101, 130)),
    "grey PIL": photograph((64, 70), mode="L"),
    "transparent PIL": photograph((64, 70), mode="RGBA"),
    "array": RANDOM.integers(0, 256, (100, 140, 3), dtype=np.uint8),
    "channels-first array": RANDOM.integers(0, 256, (3, 100, 140), dtype=np.uint8),
    "float array": RANDOM.random((70, 90, 3), dtype=np.float32),
    "whole floats": RANDOM.integers(0, 256, (70, 90, 3)).astype(np.float32),
    "tensor": torch.from_numpy(RANDOM.integers(0, 256, (3, 100, 140), dtype=np.uint8)),
    "batch in one array": RANDOM.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8),
    "list": [photograph((64, 96)), photograph((70, 100))],
    "already a multiple": photograph((64, 96)),
}
SETTINGS: list[dict[str, object]] = [
    {},
    {"do_rescale": False},
    {"size_divisor": 16},
    {"resample": 3},
    {"data_format": "channels_last"},
    {"return_tensors": "np"},
    {"rescale_factor": 1 / 127.5},
]


@pytest.mark.parametrize("images", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_pixels_equal_transformers_exactly(images: object, settings: dict[str, object]) -> None:
    if settings.get("data_format"):
        expected = [np.moveaxis(a, 0, -1) for a in GLPNImageProcessorPil()(images)["pixel_values"]]
    else:
        expected = GLPNImageProcessorPil()(images, **settings)["pixel_values"]
    found = GLPNImageProcessor()(images, **settings)["pixel_values"]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_without_resizing_the_size_stays() -> None:
    image = photograph((50, 70))
    expected = GLPNImageProcessorPil(do_resize=False)(image, return_tensors="pt").pixel_values
    assert torch.equal(GLPNImageProcessor(do_resize=False)(image, return_tensors="pt").pixel_values, expected)


def test_a_grey_array_is_taken_as_its_picture_is() -> None:
    grey = RANDOM.integers(0, 256, (70, 90), dtype=np.uint8)
    np.testing.assert_array_equal(
        GLPNImageProcessor()(grey).pixel_values, GLPNImageProcessorPil()(Image.fromarray(grey)).pixel_values
    )


def test_the_quick_way_equals_the_documented_one() -> None:
    image = photograph((101, 130))
    documented = GLPNImageProcessor()(image, return_tensors="pt").pixel_values
    assert torch.equal(prepare(np.asarray(image), (96, 128)), documented)


def test_depth_comes_back_as_transformers_brings_it() -> None:
    depth = 10 * picture((64, 96), batch=2)[:, 0]
    sizes = [(101, 130), (480, 333)]
    theirs = GLPNImageProcessorPil().post_process_depth_estimation(TheirOutput(predicted_depth=depth), sizes)
    ours = GLPNImageProcessor().post_process_depth_estimation(DepthEstimatorOutput(None, depth), sizes)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine["predicted_depth"], other["predicted_depth"])
    plain = GLPNImageProcessor().post_process_depth_estimation(DepthEstimatorOutput(None, depth))
    assert torch.equal(plain[1]["predicted_depth"], depth[1])


def test_restored_depth_stays_inside_the_range() -> None:
    edges = torch.where(torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) > 0.5, 10.0, 0.001)
    restored = restore_metres(edges, (301, 203), limit_m=10.0)
    assert restored.shape == (301, 203)
    assert restored.dtype == np.float32
    assert restored.min() == np.float32(0.001)
    assert restored.max() == 10.0


def test_answers_are_a_mapping_with_attributes_that_moves() -> None:
    batch = GLPNImageProcessor()(photograph((64, 96)), return_tensors="pt")
    assert batch["pixel_values"] is batch.pixel_values
    assert batch.to(torch.float64).pixel_values.dtype == torch.float64
    with pytest.raises(AttributeError):
        _ = batch.labels


@pytest.mark.parametrize(
    ("images", "settings", "word"),
    [
        (photograph((64, 96)), {"return_tensors": "tf"}, "tf"),
        (photograph((64, 96)), {"return_tensors": "jax"}, "jax"),
        (photograph((64, 96)), {"data_format": "sideways"}, "sideways"),
        (photograph((20, 96)), {}, "96x20"),
        ("photo.jpg", {}, "str"),
        (np.zeros((5, 5, 5, 5, 5), np.uint8), {}, "not"),
        (np.full((64, 64, 3), 7.5), {}, "7.5"),
        (np.full((64, 64, 3), 300), {}, "300"),
        (np.zeros((64, 64, 7), np.uint8), {}, "channels"),
        ([photograph((64, 96)), photograph((96, 96))], {"return_tensors": "pt"}, "different sizes"),
        ([], {"return_tensors": "pt"}, "no pictures"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(images: object, settings: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        GLPNImageProcessor()(images, **settings)


def test_sizes_must_be_as_many_as_maps() -> None:
    with pytest.raises(UsageError, match="1 target sizes"):
        GLPNImageProcessor().post_process_depth_estimation(DepthEstimatorOutput(None, torch.ones(2, 4, 4)), [(8, 8)])
