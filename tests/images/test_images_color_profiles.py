"""Wide-gamut profiles, held against the arithmetic of their matrices."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from glpn_cli.images import read_rgb

# Columns: the XYZ of each primary, adapted to D50 (Bradford), as profiles store them.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
PROPHOTO = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71187, 0.00009], [0.0, 0.0, 0.82521]])
D50 = (0.9642, 1.0, 0.8249)


def make_profile(primaries: NDArray[np.float64] | None, gamma: float, *, space: bytes = b"RGB ") -> bytes:
    """An ICC version 2 profile of a matrix and one gamma, or of a gamma alone for greys, written by hand."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"test\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(D50),
    }
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip(b"rgb", primaries.T, strict=True):
            tags[bytes([name]) + b"XYZ"] = xyz(column)
            tags[bytes([name]) + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I", 128 + len(table) + len(body)) + b"lcms\2\x10\0\0mntr" + space + b"XYZ " + bytes(12)
    header += b"acsp" + bytes(28) + fixed(*D50)
    return header.ljust(128, b"\0") + table + body


def to_srgb(rgb: NDArray[np.uint8], primaries: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    linear = (rgb / 255) ** gamma @ primaries.T @ np.linalg.inv(SRGB).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def colors() -> NDArray[np.uint8]:
    """A cube of colours, uint8 (36, 36, 3)."""
    levels = np.linspace(0, 255, 6)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(6, 36, 3).repeat(6, axis=0).astype(np.uint8)


def encode(image: Image.Image | NDArray[Any], profile: bytes, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, icc_profile=profile, **({"lossless": True} if kind == "WEBP" else {}))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("primaries", "gamma"), [(DISPLAY_P3, 2.2), (PROPHOTO, 1.8)], ids=["p3", "prophoto"])
def test_a_wide_gamut_is_brought_to_srgb(primaries: NDArray[np.float64], gamma: float, kind: str) -> None:
    picture = read_rgb(encode(colors(), make_profile(primaries, gamma), kind))
    expected = to_srgb(colors(), primaries, gamma)
    assert picture.warnings == ()
    assert np.abs(picture.rgb - expected).max() < 3
    assert np.abs(expected - colors()).max() > 20, "this test can tell"


def test_a_profile_that_is_srgb_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read_rgb(encode(colors(), profile)).rgb, colors())


def test_a_profile_is_applied_before_transparency() -> None:
    alpha = np.full((36, 36), 255, np.uint8)
    alpha[:, :18] = 0
    picture = read_rgb(encode(np.dstack([colors(), alpha]), make_profile(PROPHOTO, 1.8)))
    assert (picture.rgb[:, :18] == 128).all()
    expected = to_srgb(colors(), PROPHOTO, 1.8)
    assert np.abs(picture.rgb[:, 18:] - expected[:, 18:]).max() < 3


def test_a_profile_applies_to_palettes() -> None:
    image = Image.fromarray(colors()).quantize(16)
    plain = np.asarray(image.convert("RGB"))
    picture = read_rgb(encode(image, make_profile(PROPHOTO, 1.8)))
    assert np.abs(picture.rgb - to_srgb(plain, PROPHOTO, 1.8)).max() < 3


@pytest.mark.parametrize("scale", [1, 257])
def test_a_grey_profile_applies_to_greys(scale: int) -> None:
    grey = np.arange(256, dtype=np.uint16 if scale > 1 else np.uint8).reshape(1, 256).repeat(40, axis=0) * scale
    picture = read_rgb(encode(grey, make_profile(None, 1.0, space=b"GRAY")))
    linear = np.arange(256) / 255
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    # Dark linear levels lie far apart in sRGB, where the profile engine interpolates.
    assert np.abs(picture.rgb[0, 8:, 0] - expected[8:]).max() < 3
    assert picture.warnings == ()


def test_a_colour_profile_applies_to_greys_saved_without_their_colours() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(40, axis=0)
    picture = read_rgb(encode(grey, make_profile(PROPHOTO, 1.8)))
    expected = to_srgb(np.dstack([grey] * 3), PROPHOTO, 1.8)
    assert np.abs(picture.rgb - expected).max() < 3
    assert picture.warnings == ()


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all", b"\0" * 200, make_profile(DISPLAY_P3, 2.2)[:200], make_profile(None, 1.0, space=b"GRAY")],
    ids=["text", "zeros", "cut", "of greys"],
)
def test_a_profile_that_cannot_be_used_is_a_warning(profile: bytes) -> None:
    picture = read_rgb(encode(colors(), profile))
    assert picture.warnings == ("W_ICC",)
    np.testing.assert_array_equal(picture.rgb, colors())


def test_ink_with_a_damaged_profile_is_still_read() -> None:
    picture = read_rgb(encode(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), b"damaged", "JPEG"))
    assert picture.warnings == ("W_ICC",)
    assert np.abs(picture.rgb.astype(int) - (255, 0, 0)).max() < 5
