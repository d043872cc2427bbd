"""16-bit PNG: the unit never goes wrong, holes are 0 and nothing else is."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from depth_samples import PROVENANCE, make_depth, make_result
from PIL import Image

from glpn_cli.depth_files import make_writer, read_depth, read_record
from glpn_cli.depth_files.png import decode_png, encode_png
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap


def one_row(*metres: float) -> DepthMap:
    return DepthMap(np.array([metres], np.float32))


def stored_in(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "I;16"
        return np.asarray(image)


@pytest.mark.parametrize(
    ("limit_m", "scale"), [(10.0, 1000.0), (65.0, 1000.0), (65.1, 256.0), (80.0, 256.0), (None, 1000.0)]
)
def test_the_default_scale_is_millimetres_up_to_65_m_and_256_beyond(limit_m: float | None, scale: float) -> None:
    writer = make_writer("png16", kind=DepthKind.METRIC, limit_m=limit_m)
    assert isinstance(writer, Png16)
    assert writer.depth_scale == scale


def test_eighty_metres_in_millimetres_are_refused_at_planning_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="80 m x 1000 units per metre does not fit 16 bits") as caught:
        make_writer("png16", kind=DepthKind.METRIC, limit_m=80.0, depth_scale=1000)
    assert caught.value.code is ErrorCode.RANGE
    assert "--depth-scale 256" in (caught.value.hint or "")


def test_eighty_metres_in_millimetres_never_wrap_while_writing() -> None:
    with pytest.raises(OutputError, match="does not fit 16 bits") as caught:
        Png16(1000).encode(make_result(one_row(2.0, 80.0)))
    assert caught.value.code is ErrorCode.RANGE


def test_a_hole_that_holds_a_huge_number_is_still_a_hole() -> None:
    depth = DepthMap(np.array([[1e30, np.nan, 2.0]], np.float32), valid=np.array([[False, False, True]]))
    assert Png16(1000).quantize(depth).tolist() == [[0, 0, 2000]]


@pytest.mark.parametrize("scale", [1000.0, 256.0, 5000.0, 33.3, 0.5])
@pytest.mark.parametrize("holes", [False, True])
def test_depths_come_back_within_half_a_step(scale: float, holes: bool) -> None:
    depth = make_depth(holes=holes)
    stored = read_depth(Png16(scale).encode(make_result(depth)).data)
    assert stored.format == "png16"
    assert stored.depth.kind is DepthKind.METRIC
    assert stored.depth.limit == depth.limit
    assert (stored.depth.valid is None) == (depth.valid is None)
    if depth.valid is not None and stored.depth.valid is not None:
        assert np.array_equal(stored.depth.valid, depth.valid)
    step = np.maximum(0.5, 1 - depth.valid_values().astype(np.float64) * scale) / scale
    assert np.all(np.abs(stored.depth.valid_values().astype(np.float64) - depth.valid_values()) <= step + 1e-6)


def test_a_valid_pixel_is_never_stored_as_zero() -> None:
    assert Png16(1000).quantize(one_row(1e-9, 0.0004, 0.0006, 0.0016)).tolist() == [[1, 1, 1, 2]]


def test_rounding_is_to_nearest_up_to_the_last_stored_number() -> None:
    metres = (np.arange(1, 65536) / 1000).astype(np.float32)[None]
    assert np.array_equal(Png16(1000).quantize(DepthMap(metres)), np.arange(1, 65536, dtype=np.uint16)[None])


@pytest.mark.parametrize("scale", [1000.0, 256.0, 5000.0, 0.3])
def test_reading_divides_exactly(scale: float) -> None:
    metres = np.arange(1, 65536, dtype=np.float64) / scale
    depth = DepthMap(metres.astype(np.float32).reshape(-1, 257))
    stored = read_depth(Png16(scale).encode(make_result(depth, provenance=None)).data)
    assert np.array_equal(stored.depth.values, depth.values)


def test_the_record_travels_in_front_of_the_pixels() -> None:
    data = Png16(1000).encode(make_result(make_depth())).data
    assert data.index(b"glpn:source") < data.index(b"IDAT")
    record = read_record(data)
    assert record is not None
    assert record == read_depth(data).record
    assert (record.format, record.map, record.source, record.depth_scale) == ("png16", "depth", "rooms/a.jpg", 1000)
    assert record.provenance == PROVENANCE
    with Image.open(BytesIO(data)) as image:
        assert image.text["glpn:depth_scale"] == "1000"
        assert image.text["glpn:unit"] == "m"
        assert not image.getexif()


def test_what_planning_expects_is_what_the_file_says() -> None:
    writer = make_writer("png16", kind=DepthKind.METRIC, limit_m=10.0)
    record = read_record(writer.encode(make_result(make_depth())).data)
    expected = writer.expect("rooms/a.jpg", kind=DepthKind.METRIC, provenance=PROVENANCE)
    assert record is not None
    assert expected is not None
    assert record.differences(expected) == ()


def test_the_same_result_gives_the_same_bytes() -> None:
    first, second = (Png16(1000).encode(make_result(make_depth())).data for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", [DepthKind.DISPARITY, DepthKind.AFFINE, DepthKind.SCALE])
def test_depth_without_a_unit_is_refused_with_the_way_out(kind: DepthKind) -> None:
    with pytest.raises(UsageError, match=f"png16 holds metres, and this is {kind.value} depth") as caught:
        make_writer("png16", kind=kind, limit_m=None)
    assert "tiff" in (caught.value.hint or "")
    with pytest.raises(OutputError, match="holds metres"):
        Png16().encode(make_result(make_depth(kind=kind)))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="depth-scale"):
        make_writer("png16", kind=DepthKind.METRIC, limit_m=10.0, depth_scale=scale)


def test_steps_larger_than_all_there_is_are_refused_with_a_scale_that_fits() -> None:
    with pytest.raises(UsageError, match="steps of 1e\\+12 m") as caught:
        make_writer("png16", kind=DepthKind.METRIC, limit_m=10.0, depth_scale=1e-12)
    assert caught.value.code is ErrorCode.RANGE
    assert "--depth-scale 1000" in caught.value.hint
    make_writer("png16", kind=DepthKind.METRIC, limit_m=10.0, depth_scale=0.1)


def png_of(pixels: np.ndarray, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def test_a_png_of_others_needs_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "kitti.png"
    path.write_bytes(png_of(np.array([[0, 256], [512, 20480]], np.uint16)))
    with pytest.raises(InputError, match="does not say how many of them are a metre") as caught:
        read_depth(path)
    assert "--depth-scale" in (caught.value.hint or "")
    stored = read_depth(path, depth_scale=256)
    assert stored.record is None
    assert stored.depth.valid_values().tolist() == [1, 2, 80]


def test_the_files_own_scale_wins() -> None:
    data = Png16(256).encode(make_result(one_row(2.0))).data
    assert read_depth(data, depth_scale=1000).depth.values.tolist() == [[2.0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "LA"])
def test_a_coloured_png_is_no_depth(mode: str) -> None:
    file = BytesIO()
    Image.new(mode, (4, 3)).save(file, "PNG")
    with pytest.raises(InputError, match="grey"):
        read_depth(file.getvalue(), depth_scale=1000)


def test_a_flipped_bit_in_the_pixels_is_noticed() -> None:
    data = bytearray(Png16(1000).encode(make_result(make_depth())).data)
    data[data.index(b"IDAT") + 100] ^= 1
    with pytest.raises(InputError, match="checksum"):
        read_depth(bytes(data))


def test_a_header_that_claims_too_much_is_refused_before_decoding() -> None:
    data = bytearray(Png16(1000).encode(make_result(make_depth())).data)
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match="60000x60000") as caught:
        read_depth(bytes(data))
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("shape", [(1, 1), (700, 900), (1, 70000), (70000, 1), (500, 300, 3)])
def test_what_is_packed_in_bands_is_what_comes_out(shape: tuple[int, ...]) -> None:
    whole = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    pictures = [whole, whole[::-1, ::-1]]
    if len(shape) == 2:
        pictures.append(whole.astype(np.uint16) * 251 + 7)
    for pixels in pictures:
        data = encode_png(pixels, text={"key": "some words"})
        for found in (decode_png(data)[0], np.asarray(Image.open(BytesIO(data)))):
            assert found.dtype == pixels.dtype
            np.testing.assert_array_equal(found, pixels)
        assert decode_png(data)[1] == {"key": "some words"}
