"""Labels on disk: what is written reads back, says what it is, and is never taken for depth."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glpn_cli.colormaps import HOLE_COLOR
from glpn_cli.colormaps.colorbar import add_legend
from glpn_cli.colormaps.painting import label_palette, paint_labels
from glpn_cli.depth_files import is_depth_file, is_own_output, make_writer, read_depth, read_record
from glpn_cli.depth_files.labels import LABEL_FORMATS, LabelColor, Labels, make_label_writer, read_labels
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Provenance, Result

NAMES = ("wall", "floor", "lampe à pied", "door", "sky")
MADE = Provenance(model="dpt-large-ade", weights_sha256="ab" * 32, network_size=(480, 480))


@dataclass(frozen=True)
class Picture:
    name: str = "a/x.jpg"

    def read_colors(self) -> NDArray[np.uint8]:
        raise AssertionError("nobody asked for colours")


def labels_like(count: int = len(NAMES)) -> LabelMap:
    names = NAMES if count == len(NAMES) else tuple(f"thing {index}" for index in range(count))
    labels = np.random.default_rng(0).integers(0, count, (40, 60))
    return LabelMap(labels.astype(np.uint8 if count <= 256 else np.uint16), names)


@pytest.mark.parametrize("count", [1, 2, 5, 150, 256, 257, 1000])
def test_labels_come_back_with_their_names(count: int) -> None:
    prediction = labels_like(count)
    data = Labels().encode(Result(prediction, Picture(), MADE)).data
    found = read_labels(data)
    np.testing.assert_array_equal(found.labels, prediction.labels)
    assert found.names == prediction.names
    assert data == Labels().encode(Result(prediction, Picture(), MADE)).data


@pytest.mark.parametrize("count", [2, 255, 256, 1000])
def test_pixels_without_a_label_come_back_and_are_what_data_sets_mean_by_none(count: int) -> None:
    prediction = labels_like(count)
    valid = np.ones(prediction.size, np.bool_)
    valid[:, :20] = False
    prediction = LabelMap(prediction.labels, prediction.names, valid)
    data = Labels().encode(Result(prediction, Picture(), MADE)).data
    found = read_labels(data)
    assert found.valid is not None
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_array_equal(found.valid_values(), prediction.valid_values())
    with Image.open(io.BytesIO(data)) as image:
        assert set(np.asarray(image)[:, :20].ravel()) == {255 if count < 256 else 65535}
        if count < 256:
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            np.testing.assert_array_equal(alpha == 0, ~valid)
    again = Labels().encode(Result(found, Picture(), MADE)).data
    assert again == data


def test_pixels_without_a_label_are_painted_as_holes_and_are_not_in_the_legend() -> None:
    labels = np.zeros((60, 80), np.uint8)
    valid = np.zeros(labels.shape, np.bool_)
    valid[:, 60:] = True
    labels[:, 60:] = 2
    painted = paint_labels(LabelMap(labels, NAMES, valid))
    assert {tuple(color) for color in painted[:, :60].reshape(-1, 3).tolist()} == {HOLE_COLOR}
    assert {tuple(color) for color in painted[:, 60:].reshape(-1, 3).tolist()} == {tuple(label_palette(3)[2].tolist())}
    alone = LabelMap(labels[:, 60:].repeat(4, axis=1), NAMES)
    with_holes, without = (add_legend(painted, each) for each in (LabelMap(labels, NAMES, valid), alone))
    np.testing.assert_array_equal(with_holes[:, 80:], without[:, 80:])


def test_anyone_sees_the_numbers_and_the_palette() -> None:
    prediction = labels_like()
    with Image.open(io.BytesIO(Labels().encode(Result(prediction, Picture(), MADE)).data)) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), prediction.labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), paint_labels(prediction))
        assert image.info["glpn:names"] == '["wall", "floor", "lampe \\u00e0 pied", "door", "sky"]'


def test_a_file_of_labels_says_what_it_is_and_is_no_depth(tmp_path: Path) -> None:
    path = tmp_path / "x_labels.png"
    path.write_bytes(Labels().encode(Result(labels_like(), Picture(), MADE)).data)
    record = read_record(path)
    assert record is not None
    assert (record.kind, record.map, record.format, record.source) == (None, "labels", "labels", "a/x.jpg")
    assert record.provenance == MADE
    assert record.names == NAMES
    expected = Labels().expect("a/x.jpg", provenance=MADE)
    assert expected is not None
    assert record.differences(expected) == ()
    other = Labels().expect("a/y.jpg", provenance=MADE)
    assert other is not None
    assert [difference.key for difference in record.differences(other)] == ["source"]
    assert is_own_output(path)
    assert not is_depth_file(path)
    with pytest.raises(InputError, match="labels, not of depth"):
        read_depth(path)


def test_a_painted_file_is_no_file_of_labels() -> None:
    data = LabelColor().encode(Result(labels_like(), Picture(), MADE)).data
    record = read_record(data)
    assert record is not None
    assert (record.kind, record.map) == (None, "color")
    with pytest.raises(InputError, match="no file of labels"):
        read_labels(data)


def test_what_is_no_label_file_is_refused(tmp_path: Path) -> None:
    plain = io.BytesIO()
    Image.new("P", (4, 4)).save(plain, "PNG")
    for data in (plain.getvalue(), b"", b"P5 4 4 255 " + bytes(16)):
        with pytest.raises(InputError):
            read_labels(data)
    with pytest.raises(InputError) as caught:
        read_labels(tmp_path / "nothing.png")
    assert caught.value.code == ErrorCode.NOT_FOUND


def test_a_palette_picture_is_still_no_depth() -> None:
    plain = io.BytesIO()
    Image.new("P", (4, 4)).save(plain, "PNG")
    with pytest.raises(InputError, match="P pixels"):
        read_depth(plain.getvalue(), depth_scale=1000)


def test_depth_and_labels_do_not_go_into_each_others_formats() -> None:
    depth = DepthMap(np.ones((4, 4), np.float32))
    for name in LABEL_FORMATS:
        with pytest.raises(OutputError):
            make_label_writer(name).encode(Result(depth, Picture()))
        with pytest.raises(UsageError, match="gives disparity depth"):
            make_label_writer(name).check(DepthKind.DISPARITY, None)
    with pytest.raises(UsageError, match="png16 holds depth"):
        make_label_writer("png16")
    with pytest.raises(OutputError):
        make_writer("tiff", kind=DepthKind.METRIC, limit_m=10).encode(Result(labels_like(), Picture()))


def test_the_palette_is_pascal_vocs() -> None:
    """Its published first colours."""
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert label_palette(256)[:7].tolist() == first
    assert len({tuple(color) for color in label_palette(256).tolist()}) == 256
    assert (label_palette(1000)[256:].max(axis=1) > 0).all()


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (40, 60), (300, 400)])
@pytest.mark.parametrize("count", [5, 150])
def test_the_legend_stands_beside_the_picture_at_any_size(size: tuple[int, int], count: int) -> None:
    prediction = labels_like(count)
    rng = np.random.default_rng(1)
    prediction = LabelMap(rng.integers(0, count, size).astype(np.uint8), prediction.names)
    painted = paint_labels(prediction)
    both = add_legend(painted, prediction)
    assert both.shape[0] == size[0]
    assert both.shape[1] > size[1]
    np.testing.assert_array_equal(both[:, : size[1]], painted)


def test_the_legend_names_the_largest_labels_and_counts_the_others() -> None:
    labels = np.zeros((200, 300), np.uint8)
    labels[:20, :20] = 3
    few = LabelMap(labels, NAMES)
    panel = add_legend(paint_labels(few), few)[:, 300:]
    palette = label_palette(len(NAMES))
    present = {tuple(color) for color in panel.reshape(-1, 3).tolist()}
    assert tuple(palette[0].tolist()) in present
    assert tuple(palette[3].tolist()) in present
    assert tuple(palette[1].tolist()) not in present
