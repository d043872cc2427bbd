"""What a photograph tells of its maker stays in it: no output carries its EXIF, its place, its text or its folder."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from conftest import make_rgb
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from glpn_cli.cli import app

SECRET = "Wilhelmine-of-4711-Secret-Lane"
FORMATS = ("png16,npy,npz,tiff,pfm,exr,color,gray,ply", "gray16")
LATITUDE = (52.0, 31.0, 12.25)


def save_photos(folder: Path) -> None:
    """A JPEG and a PNG that tell who took them, where, and with what."""
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = SECRET
    exif[ExifTags.Base.ImageDescription] = SECRET
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    details[ExifTags.Base.MakerNote] = SECRET.encode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = LATITUDE
    picture = Image.fromarray(make_rgb(48, 64))
    picture.save(folder / "a.jpg", exif=exif, comment=SECRET)
    text = PngInfo()
    text.add_text("Author", SECRET)
    text.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET}</x:xmpmeta>")
    picture.save(folder / "b.png", exif=exif, pnginfo=text)


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.stderr


def texts_of(path: Path) -> bytes:
    """A file's bytes, with the pictures of a page as bytes too."""
    data = path.read_bytes()
    if path.suffix == ".html":
        lines = re.findall(rb"^[A-Za-z0-9+/]{40,}={0,2}$", data, re.MULTILINE)
        assert lines, "the page holds no pictures"
        data += b"".join(base64.b64decode(line) for line in lines)
    return data


def test_no_output_tells_what_its_photograph_tells(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "home of Wilhelmine"
    save_photos(photos)
    assert SECRET.encode() in (photos / "a.jpg").read_bytes()
    assert SECRET.encode() in (photos / "b.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    for index, names in enumerate(FORMATS):
        run("predict", photos, "-o", f"out/{index}", "-f", names)
    run("predict", photos, "-o", "out/doubt", "--uncertainty", "--tta", "flip", "--upsample", "guided")
    run("export", photos, "-o", "out/look", "--side-by-side", "--colorbar", "--html", "out/look/page.html")
    outputs = [path for path in Path("out").rglob("*") if path.is_file()]
    assert len(outputs) == 2 * 10 + 4 + 3
    for path in outputs:
        data = texts_of(path)
        for told in (SECRET.encode(), b"Exif\0", b"eXIf", b"xmpmeta", str(tmp_path).encode(), b"Wilhelmine"):
            assert told not in data, (path, told)
        if path.suffix in (".png", ".tiff"):
            with Image.open(path) as image:
                assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
