"""The page as bytes: nothing from outside, nothing that a name could break, metres that come back."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glpn_cli.colormaps import RangePolicy
from glpn_cli.depth_files import ColorizeOptions
from glpn_cli.errors import InputError, StoppedError, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.gallery import DEPTH_SIDE, PICTURE_SIDE, Page, check_page, encode_depths, make_entry
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Result

RAMP = DepthMap(np.geomspace(0.5, 10, 40 * 60).reshape(40, 60).astype(np.float32), limit=10.0)


def decode(codes: np.ndarray, low: float, high: float) -> np.ndarray:
    """What the page makes of codes on a logarithmic scale."""
    return np.exp(np.log(low) + (codes.astype(float) - 1) / 254 * np.log(high / low))


def entry(name: str, depth: DepthMap = RAMP, picture: np.ndarray | None = None) -> str:
    return make_entry(Result(depth, ImageSource(Path(name), name, name)), picture, ColorizeOptions())


def parts(text: str) -> tuple[dict[str, object], Image.Image | None, np.ndarray]:
    facts, picture, codes = text.split("\n")
    image = Image.open(io.BytesIO(base64.b64decode(picture))) if picture else None
    return json.loads(facts), image, np.asarray(Image.open(io.BytesIO(base64.b64decode(codes))))


def test_depths_come_back_within_their_step() -> None:
    codes, low, high = encode_depths(RAMP)
    assert (codes.min(), codes.max()) == (1, 255)
    np.testing.assert_allclose(decode(codes, low, high), RAMP.values, rtol=0.0061)


def test_holes_are_code_0_whatever_they_hold() -> None:
    values, valid = RAMP.values.copy(), np.ones(RAMP.size, np.bool_)
    values[:5], valid[:5] = np.nan, False
    codes, low, _ = encode_depths(DepthMap(values, valid=valid))
    assert not codes[:5].any()
    assert codes[5:].all()
    assert low == values[5:].min()
    nothing, *_ = encode_depths(DepthMap(values, valid=np.zeros(RAMP.size, np.bool_)))
    assert not nothing.any()


@pytest.mark.parametrize("kind", list(DepthKind))
def test_an_entry_of_every_kind_and_of_flat_depth(kind: DepthKind) -> None:
    for values in (RAMP.values, np.full((3, 4), 2, np.float32)):
        facts, picture, codes = parts(entry("x", DepthMap(values, kind=kind)))
        assert picture is None
        assert facts["unit"] == kind.unit
        assert codes.shape == values.shape
        assert all(0 <= place <= 1 for place, _ in facts["ticks"])  # type: ignore[attr-defined]


def test_an_entry_carries_the_camera_that_puts_it_into_space(tmp_path: Path) -> None:
    source = ImageSource(Path("x"), "x", "x")
    camera = Intrinsics(50.5, 51, 29, 20, "exif")
    facts, *_ = parts(make_entry(Result(RAMP, source, intrinsics=camera), None, ColorizeOptions()))
    assert facts["camera"] == {"fx": 50.5, "fy": 51, "cx": 29, "cy": 20, "source": "exif"}
    assert parts(entry("x"))[0]["camera"] is None
    # The page itself, with all that turns surfaces, is light beside one picture of 40 to 70 kB.
    assert len(write(tmp_path, Page(ColorizeOptions(), []))) < 35_000


def test_large_maps_and_pictures_become_small_without_inventing_depths() -> None:
    depth = DepthMap(np.where(np.arange(3000) % 2, 1, 9).astype(np.float32)[None].repeat(2000, 0))
    rgb = np.zeros((2000, 3000, 3), np.uint8)
    facts, picture, codes = parts(entry("x", depth, rgb))
    assert max(codes.shape) == DEPTH_SIDE
    assert set(np.unique(codes)) <= {1, 255}
    assert picture is not None
    assert max(picture.size) == PICTURE_SIDE
    assert (facts["width"], facts["height"]) == (3000, 2000)


@pytest.mark.parametrize("kind", list(DepthKind))
def test_the_nearest_and_the_farthest_are_those_of_the_whole_map(kind: DepthKind) -> None:
    values = np.full((2000, 3000), 4, np.float32)
    values[0, 0], values[1, 0] = 0.5, 9  # between the pixels that the page keeps
    facts, _, codes = parts(entry("x", DepthMap(values, kind=kind)))
    assert len(np.unique(codes)) == 1
    ends = (9, 0.5) if kind is DepthKind.DISPARITY else (0.5, 9)
    assert (facts["nearest"], facts["farthest"], facts["median"]) == (*ends, 4)


def write(folder: Path, gallery: Page) -> str:
    path = folder / "page.html"
    with gallery:
        gallery.write(path, title="</script><b>")
    return path.read_text("utf-8")


def test_the_page_holds_entries_in_order_and_asks_for_nothing(tmp_path: Path) -> None:
    gallery = Page(ColorizeOptions(range=RangePolicy.parse("0.5:8"), colormap="turbo"), [])
    for position in (2, 0, 1):
        gallery.add(position, entry(f"{position}.jpg"))
    page = write(tmp_path, gallery)
    assert re.findall(r'"name": "(\d)\.jpg"', page) == ["0", "1", "2"]
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://|url\(|@import|fetch\(""", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!--", "a\nb", "\udcff.jpg", '"', "]]>"])
def test_no_name_breaks_the_page(name: str, tmp_path: Path) -> None:
    gallery = Page(ColorizeOptions(), [])
    gallery.add(0, entry(name))
    broken = InputError(f"{name} is broken", hint=name)
    gallery.watch(lambda _: None)(Outcome(Status.ERROR, name, name, name, error=broken))
    page = write(tmp_path, gallery)
    found = re.search(r'<script type="text/plain" class="entry">(.*?)</script>', page, re.DOTALL)
    about = re.search(r'<script type="application/json" id="about">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert about is not None
    assert parts(found[1])[0]["name"] == name
    assert json.loads(about[1])["failures"][0]["name"] == name
    assert json.loads(about[1])["title"] == "</script><b>"


def test_only_pages_of_ours_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sub/page.html"
    check_page(path)
    assert not path.parent.exists()
    with Page(ColorizeOptions(), []) as gallery:
        gallery.write(path, title="x")
    check_page(path)
    path.write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="was not written by glpn"):
        check_page(path)
    with pytest.raises(UsageError, match=r"does not end in \.html"):
        check_page(tmp_path / "page.png")
    with pytest.raises(UsageError, match="one of the inputs"):
        check_page(tmp_path / "a.html", [tmp_path / "a.html"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")
def test_a_folder_for_temporary_files_that_is_full_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - the gallery closes it
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: full)
    shown: list[Outcome] = []
    with Page(ColorizeOptions(), []) as gallery:
        gallery.add(0, entry("a.jpg"))
        with pytest.raises(StoppedError, match="no space left on device") as caught:
            gallery.watch(shown.append)(Outcome(Status.OK, "a.jpg", "a.jpg", "a.jpg"))
    assert "TMPDIR" in caught.value.hint
    assert shown, "its own result is told before"
