"""Whole files in, upright RGB out."""

from __future__ import annotations

import io
import os
import resource
import struct
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from glpn_cli.errors import ErrorCode, ExitCode, InputError, UsageError
from glpn_cli.images import BACKGROUND, ImageSource, Picture, PictureWarning, ReadOptions, decode, from_pillow, read_rgb

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LOSSLESS = ["PNG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "QOI", "TGA", "SGI", "PCX", "JPEG2000", "ICO", "DDS"]

FAITHFUL: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95},
    "ICO": {"sizes": [(64, 48)]},
}


def make_rgb(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Six patches of flat colour, none of them like its mirror image; survives JPEG nearly unharmed."""
    colors = np.array(
        [[(200, 40, 40), (40, 200, 40), (40, 40, 200)], [(220, 220, 60), (30, 30, 30), (235, 235, 235)]], np.uint8
    )
    return colors[np.arange(height) * 2 // height][:, np.arange(width) * 3 // width]


def encode(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **(FAITHFUL.get(kind, {}) | options))
    return stream.getvalue()


def refusal(source: Path | bytes | ImageSource, options: ReadOptions | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_rgb(source, options)
    assert caught.value.exit_code is ExitCode.SOME_FAILED
    return caught.value


def is_close(a: NDArray[np.uint8], b: NDArray[np.uint8], *, mean: float = 3) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b).mean()) < mean


# Formats


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_come_out_as_they_went_in(kind: str) -> None:
    rgb = make_rgb()
    image = Image.fromarray(rgb)
    picture = read_rgb(encode(image.quantize(8) if kind == "GIF" else image, kind))
    assert picture.rgb.dtype == np.uint8
    np.testing.assert_array_equal(picture.rgb, rgb)
    assert picture.valid is None
    assert picture.full_size == picture.size == (48, 64)
    assert picture.warnings == ()
    assert picture.rgb.flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "MPO"])
def test_lossy_formats_come_out_nearly_as_they_went_in(kind: str) -> None:
    picture = read_rgb(encode(make_rgb(), kind))
    assert is_close(picture.rgb, make_rgb())
    assert picture.warnings == ()


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encode(make_rgb(), "PNG"))
    np.testing.assert_array_equal(read_rgb(path).rgb, make_rgb())


def test_a_path_bytes_and_a_source_give_the_same(tmp_path: Path) -> None:
    data = encode(make_rgb(), "PNG")
    path = tmp_path / "x.png"
    path.write_bytes(data)
    source = ImageSource(path, "x.png", "x.png")
    for picture in (read_rgb(path), read_rgb(data), read_rgb(source), source.read()):
        np.testing.assert_array_equal(picture.rgb, make_rgb())
    np.testing.assert_array_equal(source.read_colors(), make_rgb())
    np.testing.assert_array_equal(ImageSource(None, "stdin", "-", data).read_colors(), make_rgb())


def test_a_source_is_a_file_or_bytes() -> None:
    with pytest.raises(ValueError, match="one of them"):
        ImageSource(None, "x", "x")
    with pytest.raises(ValueError, match="one of them"):
        ImageSource(Path("x"), "x", "x", b"")


def test_a_targa_file_without_a_signature_is_known_by_its_name(tmp_path: Path) -> None:
    data = encode(make_rgb(), "TGA")[: 18 + 48 * 64 * 3]
    for name in ("x.tga", "x.TGA"):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_rgb(tmp_path / name).rgb, make_rgb())
    assert refusal(data).code is ErrorCode.UNSUPPORTED


def test_a_float_map_is_read_as_a_picture_where_one_is_asked_for() -> None:
    grey = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    picture = read_rgb(encode(Image.fromarray(grey), "PPM"))
    assert picture.warnings == ("W_RANGE",)
    assert picture.rgb[0, 0].tolist() == [0, 0, 0]
    assert picture.rgb[-1, -1].tolist() == [255, 255, 255]


# Size


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (1, 400), (400, 1)])
def test_tiny_pictures_are_read_with_a_warning(size: tuple[int, int]) -> None:
    picture = read_rgb(encode(make_rgb(*size), "PNG"))
    assert picture.size == size
    assert picture.warnings == ("W_TINY",)


def test_from_32_pixels_on_there_is_no_warning() -> None:
    assert read_rgb(encode(make_rgb(32, 33), "PNG")).warnings == ()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, color: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_from_the_header() -> None:
    # There is no data at all: whoever decodes first complains of that.
    error = refusal(png(20_000, 20_000, 8, 2))
    assert error.code is ErrorCode.TOO_LARGE
    assert "400,000,000 pixels (20000x20000)" in error.message
    assert error.hint == "Allow it with --max-pixels 400000000."


def test_the_pixel_limit_is_inclusive() -> None:
    data = encode(make_rgb(), "PNG")
    assert read_rgb(data, ReadOptions(max_pixels=48 * 64)).size == (48, 64)
    assert refusal(data, ReadOptions(max_pixels=48 * 64 - 1)).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "QOI", "TGA"])
def test_every_format_is_guarded(kind: str) -> None:
    data = encode(Image.fromarray(make_rgb()).quantize(8) if kind == "GIF" else make_rgb(), kind)
    assert refusal(data, ReadOptions(max_pixels=1000)).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_our_limit_counts_and_not_pillows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(sys.modules["glpn_cli.images.decode"], "_PILLOW_PIXELS", 200)
    assert read_rgb(encode(make_rgb(), kind)).size == (48, 64)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("options", [{}, {"frame": 1}, {"allow_truncated": True}])
def test_a_canvas_of_four_gigapixels_is_refused_before_it_is_laid_out(options: dict[str, Any]) -> None:
    data = bytearray(frames("GIF"))
    data[6:10] = b"\xff" * 4
    start = time.process_time()
    assert refusal(bytes(data), ReadOptions(**options)).code is ErrorCode.TOO_LARGE
    assert time.process_time() - start < 0.5


def test_a_later_frame_larger_than_allowed_is_refused() -> None:
    data = frames("GIF")
    second = data.rindex(b"\x2c\0\0\0\0" + struct.pack("<HH", 64, 48))
    data = data[: second + 5] + struct.pack("<HH", 64, 4000) + data[second + 9 :]
    options = ReadOptions(frame=1, max_pixels=10_000)
    assert refusal(data, options).code is ErrorCode.TOO_LARGE
    assert read_rgb(data, ReadOptions(max_pixels=10_000)).size == (48, 64)


def test_a_bomb_inside_an_icon_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert refusal(encode(make_rgb(), "ICO")).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
def test_a_text_bomb_fails_fast(name: bytes) -> None:
    packed = zlib.compress(bytes(200 << 20), 9)
    head = b"k\0\0" if name == b"zTXt" else b"k\0\1\0\0\0"
    chunk = png_chunk(name, head + packed)
    data = png(1, 1, 8, 2, *[chunk] * 20, png_chunk(b"IDAT", zlib.compress(bytes(4))))
    start = time.process_time()
    error = refusal(data)
    assert time.process_time() - start < 1
    assert error.code is ErrorCode.TOO_LARGE


# Upright


def turned(rgb: NDArray[np.uint8], orientation: int) -> Image.Image:
    """What a camera stores, if `orientation` is to bring it upright again."""
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    image = Image.fromarray(rgb)
    return image if method is None else image.transpose(method)


def oriented(kind: str, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(turned(make_rgb(), orientation), kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pictures_come_out_upright(kind: str, orientation: int) -> None:
    picture = read_rgb(oriented(kind, orientation))
    assert picture.full_size == (48, 64)
    assert is_close(picture.rgb, make_rgb())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_compressed_tiffs_come_out_upright(orientation: int) -> None:
    picture = read_rgb(oriented("TIFF", orientation, compression="tiff_lzw"))
    np.testing.assert_array_equal(picture.rgb, make_rgb())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_can_be_ignored(kind: str, orientation: int) -> None:
    picture = read_rgb(oriented(kind, orientation), ReadOptions(orientation="ignore"))
    assert is_close(picture.rgb, np.asarray(turned(make_rgb(), orientation)))


def test_an_orientation_in_xmp_counts() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    np.testing.assert_array_equal(read_rgb(encode(turned(make_rgb(), 6), "PNG", pnginfo=info)).rgb, make_rgb())


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    assert is_close(read_rgb(oriented("JPEG", orientation)).rgb, make_rgb())


@pytest.mark.parametrize(
    "junk", [b"Exif\0\0", b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_metadata_is_ignored(junk: bytes) -> None:
    picture = read_rgb(encode(make_rgb(), "JPEG", exif=junk))
    assert is_close(picture.rgb, make_rgb())
    assert picture.focal_35mm is None


@pytest.mark.parametrize("mode", ["I;16", "F", "1", "P", "LA", "RGBA", "CMYK"])
def test_pictures_of_every_mode_come_out_upright(mode: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.fromarray(make_rgb())
    image = Image.fromarray(make_rgb()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    upright = read_rgb(encode(image, "TIFF")).rgb
    stored = image.transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(read_rgb(encode(stored, "TIFF", exif=exif)).rgb, upright)


# The camera's focal length


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_focal_length_is_read(kind: str) -> None:
    fresh = Image.Exif()
    fresh[ExifTags.Base.Make] = "a camera"
    fresh.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    exif = Image.Exif()
    exif.load(fresh.tobytes())
    data = encode(make_rgb(), kind, exif=exif)
    assert read_rgb(data).focal_35mm == 28
    assert from_pillow(Image.open(io.BytesIO(data))).focal_35mm == 28


def test_a_focal_length_of_zero_is_unknown() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 0
    assert read_rgb(encode(make_rgb(), "JPEG", exif=exif)).focal_35mm is None
    assert read_rgb(encode(make_rgb(), "JPEG")).focal_35mm is None


@pytest.mark.parametrize(
    ("tags", "focal_mm"),
    [
        # A Canon 5D Mark II at 50 mm: a sensor of 36.0 mm x 24.0 mm.
        ({"FocalLength": 50, "FocalPlaneXResolution": 5616 / 36.0 * 25.4, "ExifImageWidth": 5616}, 50.0),
        # A Canon EOS 20D at 18 mm, 22.5 mm x 15 mm; resolutions per centimetre.
        (
            {
                "FocalLength": 18,
                "FocalPlaneXResolution": 3504 / 2.25,
                "FocalPlaneYResolution": 2336 / 1.5,
                "FocalPlaneResolutionUnit": 3,
                "ExifImageWidth": 3504,
                "ExifImageHeight": 2336,
            },
            28.8,
        ),
        # The picture was made smaller, and its EXIF stayed.
        (
            {
                "FocalLength": 6,
                "FocalPlaneXResolution": 4000 / 6.4,
                "FocalPlaneResolutionUnit": 4,
                "ExifImageWidth": 4000,
                "ExifImageHeight": 3000,
            },
            32.45,
        ),
        ({"FocalLength": 50, "FocalPlaneXResolution": 1.0}, None),
        ({"FocalLength": 50, "FocalPlaneXResolution": 0}, None),
        ({"FocalLength": 50, "FocalPlaneXResolution": 4000, "FocalPlaneResolutionUnit": 77}, None),
        ({"FocalLength": 50}, None),
        ({"FocalLength": 0, "FocalPlaneXResolution": 5616 / 36 * 25.4, "ExifImageWidth": 5616}, None),
    ],
)
def test_a_lens_and_the_resolution_of_its_sensor_are_a_known_lens(
    tags: dict[str, float], focal_mm: float | None
) -> None:
    exif = Image.Exif()
    if tags.get("ExifImageWidth") == 5616:
        tags = {**tags, "ExifImageHeight": 3744}
    for name, value in tags.items():
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base[name]] = value
    found = read_rgb(encode(make_rgb(), "JPEG", exif=exif)).focal_35mm
    assert found == (None if focal_mm is None else pytest.approx(focal_mm, rel=1e-3))


def test_the_35_mm_equivalent_goes_before_the_sensor() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.FocalLengthIn35mmFilm: 28,
            ExifTags.Base.FocalLength: 50,
            ExifTags.Base.FocalPlaneXResolution: 5616 / 36.0 * 25.4,
        }
    )
    assert read_rgb(encode(make_rgb(), "JPEG", exif=exif)).focal_35mm == 28


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" %s/></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_panorama_by_its_metadata_is_told(kind: str) -> None:
    wide = make_rgb(64, 128)
    xmp = XMP % b'GPano:ProjectionType="equirectangular"'
    data = encode(wide, kind, **({"tiffinfo": {700: xmp}} if kind == "TIFF" else {"xmp": xmp}))
    assert read_rgb(data).warnings == ("W_PANORAMA",)
    assert read_rgb(encode(wide, kind, xmp=XMP % b"")).warnings == ()
    assert read_rgb(encode(wide, kind)).warnings == ()


def test_a_panorama_in_a_png_is_told() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", (XMP % b'GPano:ProjectionType="equirectangular"').decode())
    assert read_rgb(encode(make_rgb(64, 128), "PNG", pnginfo=info)).warnings == ("W_PANORAMA",)


# Fewer pixels where fewer will do


@pytest.mark.parametrize(
    ("at_least", "size"),
    [
        ((100, 100), (120, 160)),
        ((60, 80), (60, 80)),
        ((61, 80), (120, 160)),
        ((241, 1), (480, 640)),
        ((9999, 9999), (480, 640)),
    ],
)
def test_jpeg_decodes_fewer_pixels_but_no_fewer_than_asked(at_least: tuple[int, int], size: tuple[int, int]) -> None:
    picture = read_rgb(encode(make_rgb(480, 640), "JPEG"), at_least=at_least)
    assert picture.size == size
    assert picture.full_size == (480, 640)
    assert is_close(picture.rgb, make_rgb(*size), mean=5)


def test_fewer_pixels_of_a_turned_jpeg_are_counted_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(turned(make_rgb(480, 640), 6), "JPEG", exif=exif)
    picture = read_rgb(data, at_least=(61, 80))
    assert picture.size == (120, 160)
    assert picture.full_size == (480, 640)
    picture = read_rgb(data, ReadOptions(orientation="ignore"), at_least=(80, 60))
    assert picture.size == (80, 60)
    assert picture.full_size == (640, 480)


def test_a_small_decode_of_a_large_picture_is_not_tiny() -> None:
    assert read_rgb(encode(make_rgb(160, 160), "JPEG"), at_least=(10, 10)).warnings == ()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_other_formats_come_at_full_size(kind: str) -> None:
    assert read_rgb(encode(make_rgb(480, 640), kind), at_least=(60, 80)).size == (480, 640)


def test_the_pixel_limit_holds_for_the_whole_picture() -> None:
    with pytest.raises(InputError, match="pixels"):
        read_rgb(encode(make_rgb(480, 640), "JPEG"), ReadOptions(max_pixels=100_000), at_least=(60, 80))


def test_who_is_asked_how_few_pixels_will_do_may_refuse_to_tell() -> None:
    """It came out as a damaged picture."""

    def refuse(size: tuple[int, int]) -> tuple[int, int] | None:
        raise UsageError(f"nothing fits {size}")

    with pytest.raises(UsageError, match=r"nothing fits \(48, 64\)"):
        read_rgb(encode(make_rgb(48, 64), "JPEG"), at_least=refuse)


# Frames


def frames(kind: str) -> bytes:
    first = Image.fromarray(make_rgb())
    pair = [first, ImageOps.mirror(first)]
    if kind == "GIF":
        pair = [image.quantize(8) for image in pair]
    return encode(pair[0], kind, save_all=True, append_images=pair[1:])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_is_read_with_a_warning_unless_another_is_asked_for(kind: str) -> None:
    data = frames(kind)
    picture = read_rgb(data)
    assert is_close(picture.rgb, make_rgb())
    assert picture.warnings == ("W_ANIMATED",)
    second = read_rgb(data, ReadOptions(frame=1))
    assert is_close(second.rgb, make_rgb()[:, ::-1])


def test_the_second_picture_in_a_photograph_is_no_animation() -> None:
    data = frames("MPO")
    assert read_rgb(data).warnings == ()
    assert is_close(read_rgb(data, ReadOptions(frame=1)).rgb, make_rgb()[:, ::-1])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_frame_that_is_not_there_is_a_usage_error(kind: str) -> None:
    error = refusal(frames(kind), ReadOptions(frame=2))
    assert error.code is ErrorCode.USAGE
    assert "no frame 2: it has 2 frames" in error.message
    single = refusal(encode(Image.fromarray(make_rgb()).quantize(8), kind), ReadOptions(frame=1))
    assert "it has one frame" in single.message


def test_a_circle_of_tiff_pages_ends() -> None:
    data = bytearray(encode(make_rgb(), "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * count, start)  # the next page is this one
    np.testing.assert_array_equal(read_rgb(bytes(data)).rgb, make_rgb())
    assert refusal(bytes(data), ReadOptions(frame=1)).code is ErrorCode.USAGE


@pytest.mark.parametrize("options", [{"frame": -1}, {"max_pixels": 0}, {"orientation": "up"}])
def test_options_refuse_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ReadOptions(**options)


# Files that are no pictures


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("missing.jpg", ErrorCode.NOT_FOUND, "does not exist"),
        ("folder.jpg", ErrorCode.IO, "is a folder"),
        ("loop.jpg", ErrorCode.IO, "symbolic links"),
        ("dangling.jpg", ErrorCode.NOT_FOUND, "does not exist"),
        ("empty.jpg", ErrorCode.DECODE, "empty (0 bytes)"),
        ("text.jpg", ErrorCode.UNSUPPORTED, "a text file"),
        ("x" * 300, ErrorCode.IO, "name too long"),
    ],
)
def test_what_is_no_picture_is_told(tmp_path: Path, path: str, code: ErrorCode, words: str) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture\n")
    error = refusal(tmp_path / path)
    assert error.code is code
    assert words in error.message
    assert repr(str(tmp_path / path)) in error.message


def test_a_name_that_could_move_the_cursor_is_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[2J\udcff.jpg"
    path.touch()
    assert "a\\n\\x1b[2J\\udcff.jpg" in refusal(path).message


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode(make_rgb(), "PNG"))
    path.chmod(0)
    assert refusal(path).code is ErrorCode.PERMISSION


def test_an_endless_device_is_given_up_at_once() -> None:
    assert refusal(Path("/dev/zero")).code is ErrorCode.UNSUPPORTED


def test_a_picture_can_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(encode(make_rgb(), "PNG")))
    writer.start()
    np.testing.assert_array_equal(read_rgb(pipe).rgb, make_rgb())
    writer.join()


def test_a_small_picture_from_a_stream_asks_for_little_memory(tmp_path: Path) -> None:
    """Under `ulimit -v` it was refused, because two gigabytes are set aside for the most that may come."""
    (tmp_path / "x.png").write_bytes(encode(make_rgb(), "PNG"))
    sources = sys.modules["glpn_cli.images.source"]
    tracemalloc.start()
    try:
        with (tmp_path / "x.png").open("rb") as stream:
            assert sources.read_limited(stream, "standard input").startswith(b"\x89PNG")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = sys.modules["glpn_cli.images.source"]
    monkeypatch.setattr(sources, "MAX_BYTES", 5000)
    monkeypatch.setattr(sources, "_AT_ONCE", 100)
    data = encode(make_rgb(400, 400), "BMP")
    with pytest.raises(InputError, match="does not end") as caught:
        sources.read_limited(io.BytesIO(data), "standard input")
    assert caught.value.code is ErrorCode.TOO_LARGE
    (tmp_path / "x.bmp").write_bytes(data)
    assert refusal(tmp_path / "x.bmp").code is ErrorCode.TOO_LARGE
    (tmp_path / "x.tif").write_bytes(encode(make_rgb(400, 400), "TIFF"))
    assert read_rgb(tmp_path / "x.tif").size == (400, 400)  # is read by pieces


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_large_files_are_read_from_the_disk(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["glpn_cli.images.source"], "_AT_ONCE", 0)
    path = tmp_path / "x"
    path.write_bytes(encode(make_rgb(), kind))
    assert is_close(read_rgb(path).rgb, make_rgb())


def test_memory_that_runs_out_is_this_pictures_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **_named: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sys.modules["glpn_cli.images.decode"], "flatten", fail)
    assert refusal(encode(make_rgb(), "PNG")).code is ErrorCode.OUT_OF_MEMORY


def test_a_format_behind_an_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert error.code is ErrorCode.UNSUPPORTED
    assert error.hint == "Run: pip install 'glpn-cli[heif]'"


# Behaving well among others


def awkward_pictures() -> list[bytes]:
    """Each of these makes Pillow warn, or close to it."""
    palette = Image.fromarray(make_rgb()).quantize(8)
    palette.info["transparency"] = bytes(range(0, 256, 32))
    apng = frames("PNG").replace(b"acTL", b"acTX")
    broken = bytearray(encode(make_rgb(), "TIFF"))
    broken[-30:] = b"\xff" * 30
    return [
        encode(palette, "PNG"),
        frames("GIF"),
        frames("MPO")[:-500],
        apng,
        bytes(broken),
        encode(make_rgb(), "JPEG"),
    ]


def read_or_refuse(data: bytes) -> NDArray[np.uint8] | str:
    try:
        return read_rgb(data).rgb
    except InputError as error:
        return error.message


def test_many_threads_read_without_a_warning_and_leave_the_filters_as_they_were() -> None:
    pictures = awkward_pictures() * 4
    alone = [read_or_refuse(data) for data in pictures]
    before = list(warnings.filters)
    together: dict[int, NDArray[np.uint8] | str] = {}

    def work(first: int) -> None:
        for index in range(first, len(pictures), 8):
            together[index] = read_or_refuse(pictures[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(together) == list(range(len(pictures)))
    for index, expected in enumerate(alone):
        np.testing.assert_array_equal(together[index], expected)
    assert list(warnings.filters) == before


def test_another_threads_tolerance_is_its_own() -> None:
    cut = encode(make_rgb(200, 200), "JPEG", quality=100)[:-2000]
    stop = threading.Event()
    tolerant: list[tuple[str, ...]] = []

    def tolerate() -> None:
        while not stop.is_set():
            tolerant.append(read_rgb(cut, ReadOptions(allow_truncated=True)).warnings)

    thread = threading.Thread(target=tolerate)
    thread.start()
    try:
        for _ in range(50):
            assert refusal(cut).code is ErrorCode.DECODE
    finally:
        stop.set()
        thread.join()
    assert set(tolerant) == {("W_TRUNCATED",)}


def test_files_are_closed_at_once(tmp_path: Path) -> None:
    for index, data in enumerate(awkward_pictures()):
        (tmp_path / f"{index}").write_bytes(data)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept: list[Picture | InputError] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        for path in sorted(tmp_path.iterdir()) * 20:
            try:
                kept.append(read_rgb(path))
            except InputError as error:
                kept.append(error)  # its traceback holds the frames, which must not hold the file
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(kept) == 120
    assert {item.code for item in kept if isinstance(item, InputError)} == {ErrorCode.DECODE}


def test_every_warning_has_words() -> None:
    for warning in PictureWarning:
        assert warning.text
        assert warning.value.startswith("W_")


def test_transparent_parts_show_the_background_in_every_format_that_has_them() -> None:
    rgba = np.dstack([make_rgb(), np.full((48, 64), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    for kind in ("PNG", "WEBP", "TIFF", "TGA", "ICO", "QOI", "AVIF", "JPEG2000"):
        picture = read_rgb(encode(rgba, kind))
        assert picture.valid is not None, kind
        assert not picture.valid[:10].any(), kind
        assert picture.valid[10:].all(), kind
        assert (picture.rgb[:10] == BACKGROUND).all(), kind


def test_decode_is_the_only_name_needed_for_streams() -> None:
    read: Callable[..., Any] = decode.decode
    assert read(io.BytesIO(encode(make_rgb(), "PNG")), ReadOptions(), label="x", name="x").size == (48, 64)


def test_a_cropped_picture_that_kept_its_exif_is_told() -> None:
    for size, exif_size, focal_mm, is_told in (
        ((60, 80), (4000, 3000), 28, False),
        ((80, 60), (4000, 3000), 28, False),  # its EXIF is of the sensor, and it stands upright
        ((60, 80), (4000, 3010), 28, False),
        ((60, 60), (4000, 3000), 28, True),
        ((45, 80), (4000, 3000), 28, True),
        ((60, 60), (4000, 3000), 0, False),  # nothing is made of its lens
        ((60, 60), (0, 0), 28, False),
    ):
        exif = Image.Exif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        inner[ExifTags.Base.FocalLengthIn35mmFilm] = focal_mm
        inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = exif_size
        picture = read_rgb(encode(make_rgb(*size), "JPEG", exif=exif))
        assert ("W_CROPPED" in picture.warnings) == is_told, (size, exif_size, focal_mm)
