"""Pixel accuracy and mean IoU have their closed forms; labels come from grey, palette and own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glpn_cli.data.pairs import LabelPair, read_label_pairs
from glpn_cli.depth_files.labels import Labels
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.evaluation.segmentation import LabelScores
from glpn_cli.images import ImageSource
from glpn_cli.prediction import LabelMap, Result

NAMES = ("wall", "floor", "lamp")


def predicted(rows: list[list[int]]) -> LabelMap:
    return LabelMap(np.array(rows, np.uint8), NAMES)


def test_scores_have_their_closed_form() -> None:
    scores = LabelScores.of(predicted([[0, 0, 1], [1, 1, 0]]), np.array([[0, 0, 0], [1, 1, -1]]))
    assert scores.pixel_accuracy == 4 / 5
    np.testing.assert_allclose(scores.iou, [2 / 3, 2 / 3, np.nan])
    assert scores.mean_iou == pytest.approx(2 / 3)


def test_a_label_that_was_given_and_is_not_there_counts_nothing_of_its_own() -> None:
    scores = LabelScores.of(predicted([[0, 2]]), np.array([[0, 0]]))
    np.testing.assert_allclose(scores.iou, [1 / 2, np.nan, 0])
    assert scores.mean_iou == 1 / 4


def test_counts_are_those_of_all_pixels_together() -> None:
    random = np.random.default_rng(0)
    labels, truth = random.integers(0, 3, (2, 8, 9)), random.integers(-1, 3, (2, 8, 9))
    parts = [
        LabelScores.of(LabelMap(one.astype(np.uint8), NAMES), true) for one, true in zip(labels, truth, strict=True)
    ]
    joined = LabelScores.of(LabelMap(labels.reshape(16, 9).astype(np.uint8), NAMES), truth.reshape(16, 9))
    total = sum(parts, LabelScores.nothing(3))
    assert total.pictures == 2
    assert total.mean_iou == joined.mean_iou
    assert total.pixel_accuracy == joined.pixel_accuracy
    # Independently: by sets of pixels.
    known = truth >= 0
    for label in range(3):
        there, given = (truth == label) & known, (labels == label) & known
        assert total.iou[label] == (there & given).sum() / (there | given).sum()


def test_nothing_counted_is_unknown_not_perfect() -> None:
    nothing = LabelScores.nothing(3)
    assert np.isnan(nothing.pixel_accuracy)
    assert np.isnan(nothing.mean_iou)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 2)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_are_read_from_ordinary_pictures(photo: Path, tmp_path: Path, mode: str) -> None:
    stored = Image.fromarray(np.array([[0, 1, 2, 3], [3, 4, 255, 1]], np.uint8))
    if mode == "P":
        stored.putpalette(bytes(768))
    stored.save(tmp_path / "truth.png")
    _, labels = LabelPair(photo, tmp_path / "truth.png", first_label=1).read(3)
    assert labels.tolist() == [[-1, 0, 1, 2], [2, -1, -1, 0]]


def test_labels_are_read_from_files_of_ours(photo: Path, tmp_path: Path) -> None:
    prediction = predicted([[0, 1, 2, 0], [2, 2, 1, 0]])
    (tmp_path / "truth.png").write_bytes(Labels().encode(Result(prediction, ImageSource(photo, "x.png", "x.png"))).data)
    _, labels = LabelPair(photo, tmp_path / "truth.png").read(3)
    assert labels.tolist() == prediction.labels.tolist()


def test_halves_that_do_not_fit_are_told(photo: Path, tmp_path: Path) -> None:
    for name, image, word in (
        ("small.png", Image.new("L", (3, 2)), "its labels 3x2"),
        ("colours.png", Image.new("RGB", (4, 2)), "RGB pixels"),
    ):
        image.save(tmp_path / name)
        with pytest.raises(InputError, match=word):
            LabelPair(photo, tmp_path / name, name="x.png").read(3)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        LabelPair(photo, tmp_path / "broken.png").read(3)
    with pytest.raises(InputError) as caught:
        LabelPair(photo, tmp_path / "absent.png").read(3)
    assert caught.value.code == ErrorCode.NOT_FOUND


def test_a_csv_lists_the_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("rgb_path,label_path,first_label,note\na/x.jpg,a/x.png,1,\nb.jpg,b.png,,\n")
    first, second = read_label_pairs(path)
    assert first == LabelPair(tmp_path / "a/x.jpg", tmp_path / "a/x.png", 1, "a/x.jpg")
    assert second.first_label == 0
    for text, word in (
        ("rgb_path,depth_path\na,b\n", "label_path"),
        ("rgb_path,label_path\n", "lists no pairs"),
        ("rgb_path,label_path\na,\n", "line 2"),
        ("rgb_path,label_path,first_label\na,b,-1\n", "first_label '-1'"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=word):
            read_label_pairs(path)
    with pytest.raises(UsageError):
        read_label_pairs(tmp_path / "absent.csv")
