"""The table of formats: what goes in comes back with its unit and kind, or is refused by name."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import plyfile
import pytest
from depth_samples import PROVENANCE, SIZE, make_depth, make_result
from PIL import Image

from glpn_cli.colormaps import COLORMAPS, IMAGE_RANGE, PaintRange, RangePolicy, paint
from glpn_cli.depth_files import EXTENSIONS, FORMATS, ColorizeOptions, Format, make_writer, read_depth, read_record
from glpn_cli.depth_files.png16 import default_scale
from glpn_cli.depth_files.styles import Gray, Gray16
from glpn_cli.depth_files.tiff import encode_tiff
from glpn_cli.errors import ErrorCode, InputError, OutputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Result

MAPS = {
    "metric 10 m": make_depth(far=9.9, holes=True),
    "metric 80 m": make_depth(far=79.9, holes=True),
    "disparity": make_depth(far=37.0, holes=True, kind=DepthKind.DISPARITY),
}
EXACT = ("npy", "npz", "tiff", "pfm", "exr", "ply")
SPATIAL = ("ply", "glb", "normals", "normals16", "normals-npz", "normals-exr")
METRES_ONLY = {"png16": "png16 holds metres", **{name: f"{name} needs depth in metres" for name in SPATIAL}}
# Those that hold depths, or colours of them: meshes and normals have tests of their own.
DEPTHS = [name for name in FORMATS if name not in SPATIAL[1:]]
VALUES_ONLY = ("npy", "pfm")


def writer_of(name: str, depth: DepthMap, **options: object) -> Format:
    look = ColorizeOptions(range=RangePolicy.parse("p0:p100"))
    return make_writer(name, kind=depth.kind, limit_m=depth.limit, look=look, **options)  # type: ignore[arg-type]


def largest_error(name: str, depth: DepthMap) -> float:
    """Half a step of the format, in what it steps in."""
    if name in EXACT:
        return 0.0
    if name == "png16":
        return 0.5 / (1000 if depth.limit == 10 else 256)
    low, high = depth.min_max() or (1, 1)
    span = high - low if depth.kind is DepthKind.DISPARITY else 1 / low - 1 / high
    return 0.5 * span / (254 if name == "gray" else 65534)


def stepped(name: str, values: np.ndarray, kind: DepthKind) -> np.ndarray:
    """Values in what the format steps in: metres, or their inverse."""
    values = values.astype(np.float64)
    return 1 / values if name.startswith("gray") and kind is not DepthKind.DISPARITY else values


@pytest.mark.parametrize("name", FORMATS)
def test_the_record_that_is_reported_is_the_one_in_the_file(name: str) -> None:
    depth = MAPS[next(iter(MAPS))]
    data, record = writer_of(name, depth).encode(make_result(depth))
    found = read_record(data)
    assert (found and found.to_text()) == (record and record.to_text())


@pytest.mark.parametrize("which", MAPS)
@pytest.mark.parametrize("name", [name for name in DEPTHS if name != "color"])
def test_values_come_back_within_the_formats_step_with_unit_and_kind(name: str, which: str, tmp_path: Path) -> None:
    depth = MAPS[which]
    if name in METRES_ONLY and not depth.kind.is_metric:
        with pytest.raises(UsageError, match=f"{METRES_ONLY[name]}, and this .* disparity depth"):
            writer_of(name, depth)
        return
    writer = writer_of(name, depth)
    path = tmp_path / f"x{writer.extension}"
    path.write_bytes(writer.encode(make_result(depth)).data)
    stored = read_depth(path, kind=depth.kind if name in VALUES_ONLY else DepthKind.METRIC)

    assert stored.format == name
    assert stored.depth.kind is depth.kind
    assert stored.depth.kind.unit == depth.kind.unit
    assert np.array_equal(stored.depth.valid, depth.valid)
    error = stepped(name, stored.depth.valid_values(), depth.kind) - stepped(name, depth.valid_values(), depth.kind)
    # A four-digit range cuts off a hair at its ends; float32 rounds in the seventh digit.
    slack = 1e-3 * float(stepped(name, depth.valid_values(), depth.kind).max()) if name.startswith("gray") else 1e-5
    assert np.abs(error).max() <= largest_error(name, depth) + (slack if name not in EXACT else 0)
    if name in VALUES_ONLY:
        assert stored.record is None
    else:
        assert stored.record is not None
        assert stored.record.kind is depth.kind
        assert stored.record.to_text().get("glpn:unit") == depth.kind.unit
        assert stored.depth.limit == (PROVENANCE.limit_m if depth.kind.is_metric else None)


@pytest.mark.parametrize("which", MAPS)
def test_a_coloured_picture_is_refused_as_depth_by_name(which: str) -> None:
    depth = MAPS[which]
    data = writer_of("color", depth).encode(make_result(depth)).data
    with pytest.raises(InputError, match="coloured picture of a depth map"):
        read_depth(data)


@pytest.mark.parametrize("name", FORMATS)
def test_a_writer_keeps_its_promises(name: str) -> None:
    depth = MAPS["metric 10 m"]
    writer = writer_of(name, depth)
    result = make_result(depth)
    data = writer.encode(result).data
    assert writer.format == name
    assert writer.extension in EXTENSIONS
    assert writer.map in ("depth", "color", "gray", "points", "mesh", "normals")
    assert data == writer.encode(result).data
    record = read_record(data)
    expected = writer.expect(result.source.name, kind=depth.kind, provenance=PROVENANCE)
    assert (record is not None) == (expected is not None) == writer.carries_record
    if record is not None and expected is not None:
        assert (record.format, record.map, record.source) == (name, writer.map, result.source.name)
        assert record.provenance == PROVENANCE
        assert record.differences(expected) == ()


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "glb"])
@pytest.mark.parametrize("case", ["one pixel", "all equal", "no valid pixel", "tall", "wide"])
def test_odd_maps_are_written_without_a_warning(name: str, case: str) -> None:
    shape = {"one pixel": (1, 1), "tall": (300, 1), "wide": (1, 300)}.get(case, (5, 7))
    valid = np.zeros(shape, np.bool_) if case == "no valid pixel" else None
    values = np.full(shape, np.nan if valid is not None else 2.5, np.float32)
    depth = DepthMap(values, valid=valid, limit=10.0)
    for colorbar in (False, True):
        look = ColorizeOptions(colorbar=colorbar, contours_m=0.5)
        data = make_writer(name, kind=depth.kind, limit_m=10.0, look=look).encode(make_result(depth, size=shape)).data
        if name in DEPTHS and name != "color":
            back = read_depth(data).depth
            assert back.size == shape
            assert back.min_max() == (None if valid is not None else pytest.approx((2.5, 2.5), rel=0.01))


@pytest.mark.parametrize("name", FORMATS)
def test_labels_are_refused_by_formats_of_depth(name: str) -> None:
    labels = LabelMap(np.zeros(SIZE, np.uint8), ("wall",))
    result = Result(prediction=labels, source=make_result(make_depth()).source)
    with pytest.raises(OutputError, match="labels are not depths"):
        make_writer(name, kind=DepthKind.METRIC, limit_m=10.0).encode(result)


def test_an_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="no format 'jpeg'") as caught:
        make_writer("jpeg", kind=DepthKind.METRIC, limit_m=10.0)
    assert all(name in (caught.value.hint or "") for name in FORMATS)


def read_elsewhere(name: str, data: bytes) -> np.ndarray:
    """What a program of others sees in a file: OpenCV, NumPy, OpenEXR or plyfile."""
    match name:
        case "npy":
            return np.asarray(np.load(BytesIO(data), allow_pickle=False))
        case "npz":
            return np.asarray(np.load(BytesIO(data), allow_pickle=False)["depth"])
        case "exr":
            file = OpenEXR.File(BytesIO(data), separate_channels=True, num_threads=0)
            return np.asarray(file.channels()["Z"].pixels)
        case "ply":
            return np.asarray(plyfile.PlyData.read(BytesIO(data))["vertex"]["z"])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV's colours are BGR


@pytest.mark.parametrize("which", MAPS)
@pytest.mark.parametrize("name", DEPTHS)
def test_other_programs_read_what_we_write(name: str, which: str) -> None:
    depth = MAPS[which]
    if name in METRES_ONLY and not depth.kind.is_metric:
        return  # refused, as above
    valid = depth.valid
    assert valid is not None
    writer = writer_of(name, depth)
    seen = read_elsewhere(name, writer.encode(make_result(depth)).data)
    look = ColorizeOptions(range=RangePolicy.parse("p0:p100"))
    if name == "color":
        assert np.array_equal(seen, paint(depth, range=look.range.resolve(depth)))
    elif name == "ply":
        assert np.array_equal(seen, depth.valid_values())
    elif name == "png16":
        scale = default_scale(depth.limit)
        assert seen.dtype == np.uint16
        assert np.array_equal(seen, np.where(valid, np.rint(depth.values.astype(np.float64) * scale), 0))
    elif name.startswith("gray"):
        assert seen.dtype == (np.uint8 if name == "gray" else np.uint16)
        assert np.array_equal(seen, make_gray(name, look).quantize(depth, look.range.resolve(depth)))
    else:
        hole = np.inf if name == "exr" else np.nan
        assert seen.dtype == np.float32
        assert np.array_equal(seen, np.where(valid, depth.values, np.float32(hole)), equal_nan=True)


def make_gray(name: str, look: ColorizeOptions) -> Gray:
    return Gray(look) if name == "gray" else Gray16(look)


@pytest.mark.parametrize("scale", [1000.0, 256.0, 5000.0])
@pytest.mark.parametrize("which", MAPS)
def test_every_usual_scale_comes_back_within_half_a_unit_or_is_refused(which: str, scale: float) -> None:
    depth = MAPS[which]
    reach = 65535 / scale
    if not depth.kind.is_metric or (depth.limit or 0) > reach:
        with pytest.raises(UsageError, match="png16 holds metres" if depth.limit is None else "does not fit 16 bits"):
            make_writer("png16", kind=depth.kind, limit_m=depth.limit, depth_scale=scale)
        return
    data = make_writer("png16", kind=depth.kind, limit_m=depth.limit, depth_scale=scale).encode(make_result(depth)).data
    stored = read_depth(data)
    assert stored.record is not None
    assert stored.record.depth_scale == scale
    assert np.abs(stored.depth.valid_values() - depth.valid_values()).max() <= 0.5 / scale + 1e-6
    assert np.abs(read_elsewhere("png16", data)[depth.valid] / scale - depth.valid_values()).max() <= 0.5 / scale + 1e-6


def test_tiff_and_npz_say_what_they_are_where_other_programs_look(tmp_path: Path) -> None:
    depth = MAPS["metric 10 m"]
    with Image.open(BytesIO(writer_of("tiff", depth).encode(make_result(depth)).data)) as image:
        assert image.mode == "F"
        assert image.tag_v2[305].startswith("glpn-cli ")
        assert '"glpn:unit": "m"' in image.tag_v2[270]
    path = tmp_path / "x.npz"
    path.write_bytes(writer_of("npz", depth).encode(make_result(depth)).data)
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive) == ["depth", "glpn"]


@pytest.mark.parametrize("length", [1, 2])
def test_the_text_of_a_tiff_ends_once_whatever_its_length(length: int) -> None:
    text = {"Software": "glpn-cli 0", "glpn:source": "a" * length}
    data = encode_tiff(np.ones((2, 3), np.float32), text=text)
    entry = data.index(struct.pack("<HH", 270, 2), struct.unpack_from("<I", data, 4)[0])
    count, at = struct.unpack_from("<II", data, entry + 4)
    # libtiff warns of a second NUL, and so does everything that reads by it: OpenCV, Blender.
    assert data[at : at + count].index(0) == count - 1


def test_a_tiff_of_many_strips_comes_back() -> None:
    values = np.random.default_rng(1).uniform(1, 9, (1500, 700)).astype(np.float32)
    data = make_writer("tiff", kind=DepthKind.METRIC, limit_m=10.0).encode(make_result(DepthMap(values))).data
    assert np.array_equal(read_depth(data).depth.values, values)
    with Image.open(BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), values)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_tiff_files_of_others_are_read(compression: str, dtype: type, tmp_path: Path) -> None:
    file = BytesIO()
    array = np.array([[0, 100], [50, 200]], dtype)
    Image.fromarray(array).save(file, "TIFF", compression=compression)
    scale = None if dtype is np.float32 else 10.0
    if scale:
        with pytest.raises(InputError, match="does not say how many of them are a metre"):
            read_depth(file.getvalue())
    depth = read_depth(file.getvalue(), depth_scale=scale).depth
    assert depth.valid_values().tolist() == [value / (scale or 1) for value in (100, 50, 200)]


def test_a_big_endian_pfm_is_read_bottom_up() -> None:
    data = b"Pf\n2 2\n1.0\n" + np.array([[3, 4], [1, 2]], ">f4").tobytes()
    assert read_depth(data).depth.values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PF\n1 1\n-1\n" + b"\0" * 12, "colours"),
        (b"Pf\n9 9\n-1\n" + b"\0" * 12, "9x9 but holds 12 bytes"),
        (b"Pf\n0 9\n-1\n", "0x9"),
        (b"II*\0\x08\0\0\0", "cut short"),
        (b"II*\0\xff\xff\xff\x7f", "cut short"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
    ],
)
def test_damaged_files_are_told(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_depth(data)


def npz_of(**arrays: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_npz_files_of_others_are_read_by_name_or_alone() -> None:
    depth, other = np.full((2, 2), 3, np.float32), np.zeros(4)
    assert read_depth(npz_of(depth=depth, focal=other)).depth.valid_values().tolist() == [3] * 4
    assert read_depth(npz_of(metres=depth)).depth.valid_values().tolist() == [3] * 4
    with pytest.raises(InputError, match=r"no array named 'depth' \(found: a, b\)"):
        read_depth(npz_of(a=depth, b=other))
    with pytest.raises(InputError, match="pickled"):
        read_depth(npz_of(depth=np.array([[{}]], object)))


def test_a_record_that_asks_for_impossible_arithmetic_is_an_input_error() -> None:
    depth = MAPS["metric 10 m"]
    for name, found, put in (
        ("png16", b"glpn:depth_scale\x001000", b"glpn:depth_scale\x001e99"),
        ("gray", b"glpn:kind\0metric", b"glpn:kind\0affine"),
    ):
        data = writer_of(name, depth).encode(make_result(depth)).data
        assert found in data
        with pytest.raises(InputError):
            read_depth(data.replace(found, put))


@pytest.mark.parametrize("name", ["gray", "gray16"])
@pytest.mark.parametrize("kind", list(DepthKind))
def test_near_is_white_and_holes_are_black(name: str, kind: DepthKind) -> None:
    values = np.array([[1, 2, 4, 8]], np.float32)
    depth = DepthMap(values, kind=kind, valid=np.array([[True, True, True, False]]))
    for invert in (False, True):
        look = ColorizeOptions(range=RangePolicy.parse("1:4"), invert=invert)
        data = make_writer(name, kind=kind, limit_m=None, look=look).encode(make_result(depth)).data
        with Image.open(BytesIO(data)) as image:
            levels = np.asarray(image)[0].tolist()
        most = 255 if name == "gray" else 65535
        white_first = (kind is not DepthKind.DISPARITY) != invert
        assert levels[0] == (most if white_first else 1)
        assert levels[2] == (1 if white_first else most)
        assert levels[3] == 0
        assert read_depth(data).depth.valid_values() == pytest.approx([1, 2, 4], rel=0.02)


@pytest.mark.parametrize("name", ["gray", "gray16"])
@pytest.mark.parametrize("kind", [DepthKind.METRIC, DepthKind.DISPARITY, DepthKind.AFFINE])
@pytest.mark.parametrize("invert", [False, True])
def test_what_lies_beyond_the_range_of_greys_is_unknown_and_not_its_end(
    name: str, kind: DepthKind, *, invert: bool
) -> None:
    depth = DepthMap(np.array([[0.5, 1, 2, 3, 4, 9]], np.float32), kind=kind)
    for ends, known in (("1:4", [2, 3]), ("0.5:4", [0.5, 1, 2, 3]), ("1:9", [2, 3, 4, 9]), ("0.25:20", None)):
        look = ColorizeOptions(range=RangePolicy.parse(ends), invert=invert)
        data = make_writer(name, kind=kind, limit_m=None, look=look).encode(make_result(depth)).data
        found = read_depth(data).depth.valid_values()
        assert found == pytest.approx(known or depth.values[0].tolist(), rel=0.08), ends


def test_grey_levels_go_by_inverse_depth() -> None:
    depth = DepthMap(np.array([[1, 4 / 3, 2, 4]], np.float32))
    look = ColorizeOptions(range=RangePolicy.parse("1:4"))
    with Image.open(
        BytesIO(make_writer("gray16", kind=depth.kind, limit_m=None, look=look).encode(make_result(depth)).data)
    ) as image:
        levels = np.asarray(image)[0].astype(int)
    assert np.allclose(np.diff(levels), -65534 / 3, atol=1)


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_a_coloured_picture_is_the_painted_map_and_says_how(colormap: str) -> None:
    depth = MAPS["metric 10 m"]
    look = ColorizeOptions(colormap=colormap, invert=True)
    data = make_writer("color", kind=depth.kind, limit_m=10.0, look=look).encode(make_result(depth)).data
    ends = IMAGE_RANGE.resolve(depth)
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), paint(depth, range=ends, colormap=colormap, invert=True))
    record = read_record(data)
    assert record is not None
    assert record.look == look
    assert record.painted == (ends.near, ends.far)


def test_the_picture_stands_at_the_left_and_the_scale_at_the_right() -> None:
    depth = MAPS["metric 10 m"]
    look = ColorizeOptions(side_by_side=True, colorbar=True, contours_m=0.5)
    data = make_writer("color", kind=depth.kind, limit_m=10.0, look=look).encode(make_result(depth)).data
    with Image.open(BytesIO(data)) as image:
        pixels = np.asarray(image)
    assert pixels.shape[0] == SIZE[0]
    assert pixels.shape[1] > 2 * SIZE[1] + 20
    assert (pixels[:, : SIZE[1]] == (200, 100, 50)).all()


def test_a_picture_that_changed_its_size_is_not_put_beside_its_map() -> None:
    writer = make_writer("color", kind=DepthKind.METRIC, limit_m=10.0, look=ColorizeOptions(side_by_side=True))
    with pytest.raises(OutputError, match="the picture is 64x48, its depth map 3x2"):
        writer.encode(make_result(DepthMap(np.ones((2, 3), np.float32))))


def test_a_batch_paints_two_metres_the_same_in_every_frame() -> None:
    policy = RangePolicy.parse("batch").settle(PaintRange(0.5, 9))
    writer = make_writer("color", kind=DepthKind.METRIC, limit_m=10.0, look=ColorizeOptions(range=policy))
    frames = [np.array([[2, far]], np.float32) for far in (3, 9)]
    pixels = []
    for values in frames:
        with Image.open(BytesIO(writer.encode(make_result(DepthMap(values))).data)) as image:
            pixels.append(np.asarray(image))
    assert np.array_equal(pixels[0][0, 0], pixels[1][0, 0])
    assert not np.array_equal(pixels[0][0, 1], pixels[1][0, 1])
    expected = writer.expect("rooms/a.jpg", kind=DepthKind.METRIC, provenance=PROVENANCE)
    assert expected is not None
    assert expected.painted == (0.5, 9.0)
    assert expected.to_text()["glpn:range"] == "batch"


@pytest.mark.parametrize("name", ["color", "gray", "gray16"])
def test_a_range_that_needs_a_limit_is_refused_at_planning_without_one(name: str) -> None:
    for kind, limit_m in ((DepthKind.METRIC, None), (DepthKind.DISPARITY, None)):
        with pytest.raises(UsageError, match="--range model") as caught:
            make_writer(name, kind=kind, limit_m=limit_m, look=ColorizeOptions(range=RangePolicy.parse("model")))
        assert caught.value.code is ErrorCode.RANGE


def test_contours_without_metres_are_refused_at_planning() -> None:
    with pytest.raises(UsageError, match="contours need metres"):
        make_writer("color", kind=DepthKind.DISPARITY, limit_m=None, look=ColorizeOptions(contours_m=0.5))


@pytest.mark.parametrize(
    ("settings", "said"), [({"colormap": "jet"}, "no colormap 'jet'"), ({"contours_m": 0.0}, "contours every 0 m")]
)
def test_a_look_that_makes_no_sense_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ColorizeOptions(**settings)  # type: ignore[arg-type]
