"""What is no picture is called by its name."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import read_rgb
from glpn_cli.images.formats import AVIF, HEIF, JXL, Foreign, recognise


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", b"x")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FOREIGN = {
    "git-LFS pointer": LFS,
    "web page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "SVG drawing": b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "PDF document": b"%PDF-1.7\n%\xe2\xe3",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "metafile": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "camera raw": b"II*\0\x10\0\0\0CR\x02\0" + bytes(40),
    "video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(40),
    "NumPy array": npy(),
    "FITS": b"SIMPLE  =                    T",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "zip archive": zipped(),
    "an archive": gzip.compress(b"x"),
    "archive": tarred(),
    "pickle": pickle.dumps({"a": 1}),
    "program": b"\x7fELF\2\1\1" + bytes(20),
    "macOS resource": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "text file": "Zürich, 5 pictures\n".encode(),
    "of no format that is known here": b"\x07\x08\x09\x0b\x0e\xff\xfe random",
}


@pytest.mark.parametrize("words", FOREIGN)
def test_what_is_no_picture_is_called_by_its_name(words: str) -> None:
    with pytest.raises(InputError, match="cannot be read as a picture: it is") as caught:
        read_rgb(FOREIGN[words])
    assert words in caught.value.message
    assert caught.value.code is ErrorCode.UNSUPPORTED


@pytest.mark.parametrize(
    ("words", "way_out"),
    [("git-LFS pointer", "git lfs pull"), ("video", "ffmpeg"), ("SVG drawing", "PNG"), ("camera raw", "Develop")],
)
def test_there_is_a_way_out(words: str, way_out: str) -> None:
    found = recognise(FOREIGN[words])
    assert isinstance(found, Foreign)
    assert found.hint is not None
    assert way_out in found.hint


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B", AVIF),
        (b"\0\0\0\x20ftypavis\0\0\0\0avisavifmif1miaf", AVIF),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", AVIF),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", HEIF),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", HEIF),
        (b"\xff\x0a\0\0", JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
    ],
)
def test_relatives_are_told_apart(head: bytes, kind: object) -> None:
    assert recognise(head + bytes(100)) is kind


def test_a_camera_raw_file_in_tiffs_clothes_is_not_taken_for_its_thumbnail() -> None:
    import struct

    def tiff(*extra: tuple[int, int]) -> bytes:
        tags = sorted(
            [(256, 40), (257, 40), (258, 8), (259, 1), (262, 1), (273, 0), (277, 1), (278, 40), (279, 1600), *extra]
        )
        start = 8 + 2 + 12 * len(tags) + 4
        out = b"II" + struct.pack("<HIH", 42, 8, len(tags))
        for tag, value in tags:
            out += struct.pack("<HHII", tag, 4, 1, start if tag in (273, 330) else value)
        return out + bytes(4 + 1600)

    assert read_rgb(tiff()).size == (40, 40)
    assert read_rgb(tiff((254, 0), (330, 0))).size == (40, 40)
    for extra in [(254, 1), (330, 0)], [(50706, 0x01040000)]:
        with pytest.raises(InputError, match="camera raw"):
            read_rgb(tiff(*extra))


def test_nothing_is_empty() -> None:
    with pytest.raises(InputError, match="empty") as caught:
        read_rgb(b"")
    assert caught.value.code is ErrorCode.DECODE


def test_text_in_another_encoding_is_no_known_format() -> None:
    found = recognise("Zürich".encode("latin-1"))
    assert isinstance(found, Foreign)
    assert "no format" in found.words


def test_long_text_is_text_wherever_its_head_is_cut() -> None:
    for shift in range(3):
        found = recognise((" " * shift + "ü" * 5000).encode()[:4096])
        assert isinstance(found, Foreign)
        assert found.words == "a text file"


@pytest.mark.parametrize("start", [b"", b"<?xml version='1.0'?>\n"])
def test_a_text_of_many_comments_is_told_from_a_drawing_at_once(start: bytes) -> None:
    """Twenty-four of them took 22 s, each one more doubled that, and no regular expression can be interrupted."""
    comments = start + b"<!-- a -->\n" * 300
    found = [recognise((comments + end)[:4096]) for end in (b"<note/>", b"<!doctype svg>\n<svg/>", b"<svg/>")]
    assert [kind.words for kind in found if isinstance(kind, Foreign)] == ["a text file", *["an SVG drawing"] * 2]
