"""The processor gives transformers' numbers exactly, and refuses by name what it cannot do."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from glpn_cli.errors import UsageError
from glpn_cli.models.dpt.processor import DPTImageProcessor, prepare
from glpn_cli.models.hf_compat_base import DepthEstimatorOutput, SemanticSegmenterOutput
from glpn_cli.models.image_processor import restore_disparity, restore_labels

RANDOM = np.random.default_rng(0)


def photograph(size: tuple[int, int], *, mode: str = "RGB") -> Image.Image:
    """Opened from PNG bytes, as a user's picture is."""
    smooth = Image.fromarray(RANDOM.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size[::-1])
    bytes_ = BytesIO()
    smooth.convert(mode).save(bytes_, "PNG")
    return Image.open(BytesIO(bytes_.getvalue()))


INPUTS: dict[str, Any] = {
    "PIL": photograph((101, 130)),
    "portrait": photograph((130, 61)),
    "array": RANDOM.integers(0, 256, (100, 140, 3), dtype=np.uint8),
    "channels-first array": RANDOM.integers(0, 256, (3, 100, 140), dtype=np.uint8),
    "float array": RANDOM.random((70, 90, 3), dtype=np.float32),
    "whole floats": RANDOM.integers(0, 256, (70, 90, 3)).astype(np.float32),
    "tensor": torch.from_numpy(RANDOM.integers(0, 256, (3, 100, 140), dtype=np.uint8)),
    "batch in one array": RANDOM.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8),
    "list": [photograph((64, 96)), photograph((70, 100))],
    "already right": photograph((64, 64)),
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"size": {"height": 64, "width": 96}},
    {"size": 100, "keep_aspect_ratio": True},
    {"size": 100, "keep_aspect_ratio": True, "ensure_multiple_of": 32},
    {"size": (70, 50), "ensure_multiple_of": 16},
    {"do_resize": False},
    {"do_rescale": False},
    {"do_normalize": False},
    {"do_rescale": False, "do_normalize": False},
    {"resample": 2},
    {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    {"image_mean": 0.4, "image_std": 0.3},
    {"size": 50, "do_pad": True, "size_divisor": 32},
    {"size": 50, "do_pad": True},
    {"do_resize": False, "do_pad": True, "size_divisor": 15},
    {"rescale_factor": 1 / 127.5},
]


@pytest.mark.parametrize("images", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_pixels_equal_transformers_exactly(images: Any, settings: dict[str, Any]) -> None:
    small = {"size": 64} | settings
    expected = DPTImageProcessorPil()(images, **small)["pixel_values"]
    for found in (DPTImageProcessor()(images, **small), DPTImageProcessor(**small)(images)):
        assert len(found.pixel_values) == len(expected)
        for mine, theirs in zip(found.pixel_values, expected, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("size", [(480, 640), (640, 427), (300, 300)])
def test_pictures_of_ordinary_size_equal_transformers_both_ways(size: tuple[int, int]) -> None:
    image = photograph(size)
    expected = DPTImageProcessorPil()(image, return_tensors="pt").pixel_values
    assert torch.equal(DPTImageProcessor()(image, return_tensors="pt").pixel_values, expected)
    assert torch.equal(prepare(np.asarray(image), (384, 384)), expected)


def test_channels_may_come_last() -> None:
    image = photograph((70, 90))
    last = DPTImageProcessor(size=64)(image, data_format="channels_last", return_tensors="np").pixel_values
    first = DPTImageProcessor(size=64)(image, return_tensors="np").pixel_values
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), first)


def test_depth_comes_back_as_transformers_brings_it() -> None:
    outputs = DepthEstimatorOutput(None, torch.rand(2, 20, 30, generator=torch.Generator().manual_seed(0)))
    sizes = [(41, 67), (10, 12)]
    expected = DPTImageProcessorPil().post_process_depth_estimation(outputs, sizes)
    found = DPTImageProcessor().post_process_depth_estimation(outputs, sizes)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine["predicted_depth"], theirs["predicted_depth"])


@pytest.mark.parametrize("sizes", [None, [(41, 67), (10, 12)], torch.tensor([[5, 6], [7, 8]])], ids=str)
def test_labels_come_back_as_transformers_brings_them(sizes: Any) -> None:
    outputs = SemanticSegmenterOutput(None, torch.randn(2, 5, 20, 30, generator=torch.Generator().manual_seed(0)))
    theirs = None if sizes is None else [tuple(map(int, size)) for size in sizes]
    expected = DPTImageProcessorPil().post_process_semantic_segmentation(outputs, theirs)
    found = DPTImageProcessor().post_process_semantic_segmentation(outputs, sizes)
    assert len(found) == len(expected) == 2
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)
    scored = DPTImageProcessor().post_process_semantic_segmentation(outputs, sizes, return_segmentation_scores=True)
    assert torch.equal(scored[0].segmentation_scores.argmax(dim=0), scored[0].segmentation)


def test_labels_restored_a_few_at_a_time_are_those_of_all_at_once() -> None:
    logits = torch.randn(37, 20, 30, generator=torch.Generator().manual_seed(0))
    found = restore_labels(logits, (50, 41))
    at_once = DPTImageProcessor().post_process_semantic_segmentation(
        SemanticSegmenterOutput(None, logits[None]), [(50, 41)]
    )[0]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, at_once.numpy())


def test_segmentation_maps_keep_their_labels() -> None:
    labels = RANDOM.choice(np.array([0, 1, 7, 150], np.uint8), (40, 60))
    processor = DPTImageProcessor(size=64, do_reduce_labels=True)
    found = processor(photograph((40, 60)), labels, return_tensors="pt").labels
    assert found.shape == (1, 64, 64)
    assert found.dtype == torch.int64
    assert set(found.unique().tolist()) == {255, 0, 6, 149}
    nearest = DPTImageProcessorPil(size=64, do_reduce_labels=True, resample=0)(
        photograph((40, 60)), labels.copy(), return_tensors="pt"
    )
    assert torch.equal(found, nearest.labels)


@pytest.mark.parametrize("most", [1.0, 0.0, -3.0])
def test_restored_inverse_depth_is_above_zero(most: float) -> None:
    flat = torch.full((8, 8), most)
    flat[:4] = min(most, 0)
    restored = restore_disparity(flat, (33, 21))
    assert restored.dtype == np.float32
    assert restored.shape == (33, 21)
    assert restored.min() > 0


@pytest.mark.parametrize(
    ("images", "settings", "word"),
    [
        (photograph((64, 96)), {"return_tensors": "tf"}, "tf"),
        (photograph((64, 96)), {"size": {"shortest_edge": 5}}, "shortest_edge"),
        (photograph((64, 96)), {"size": 0}, "size"),
        (photograph((64, 96)), {"ensure_multiple_of": 0}, "ensure_multiple_of"),
        (photograph((64, 96)), {"size": 20, "ensure_multiple_of": 64}, "multiple of 64"),
        (photograph((64, 96), mode="L"), {}, "1 channels"),
        (photograph((64, 96)), {"segmentation_maps": np.zeros((3, 4))}, "whole numbers"),
        (photograph((64, 96)), {"segmentation_maps": np.zeros((2, 3, 4, 1), int)}, "2 segmentation maps"),
        (photograph((64, 96)), {"colour": True}, "colour"),
        ("photo.jpg", {}, "str"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(images: Any, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        DPTImageProcessor()(images, **settings)


def test_sizes_must_be_as_many_as_maps() -> None:
    with pytest.raises(UsageError, match="1 target sizes"):
        DPTImageProcessor().post_process_semantic_segmentation(
            SemanticSegmenterOutput(None, torch.ones(2, 3, 4, 4)), [(8, 8)]
        )
