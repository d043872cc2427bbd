"""`glpn export --html`: one page with everything, looked at in a real browser."""

from __future__ import annotations

import errno
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import chromium
from conftest import make_rgb
from faulty_disk import FaultyDisk
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.depth_files import ColorizeOptions, make_writer
from glpn_cli.errors import InputError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.gallery import Page, make_entry
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.prediction import Result as Answer

Glpn = Callable[..., Result]


def entry(name: str, depth: DepthMap, picture: np.ndarray | None = None) -> str:
    return make_entry(Answer(depth, ImageSource(Path(name), name, name)), picture, ColorizeOptions())


@pytest.fixture
def glpn(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Glpn:
    monkeypatch.setenv("GLPN_MODEL", str(tiny_model))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, **settings)

    return run


def names_on(page: Path) -> list[str]:
    entries = re.findall(r'class="entry">(.*?)\n', page.read_text("utf-8"))
    return [json.loads(facts)["name"] for facts in entries]


def failures_on(page: Path) -> list[dict[str, str]]:
    found = re.search(r'id="about">(.*?)</script>', page.read_text("utf-8"))
    assert found is not None
    failures: list[dict[str, str]] = json.loads(found[1])["failures"]
    return failures


def test_every_map_is_on_the_page_and_every_failure_listed(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    (tiny_pictures / "cut.png").write_bytes((tiny_pictures / "b.png").read_bytes()[:300])
    result = glpn("export", tiny_pictures, "-o", "out", "--html", "out/page.html")
    assert result.exit_code == 3
    page = tmp_path / "out/page.html"
    assert names_on(page) == ["a.jpg", "b.png", "sub/c.webp", "sub/d.png"]
    assert [(failure["code"], Path(failure["name"]).name) for failure in failures_on(page)] == [("E_DECODE", "cut.png")]
    assert len(list((tmp_path / "out").rglob("*_color.png"))) == 4


def test_what_was_painted_earlier_is_on_the_page_too(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    assert glpn("predict", tiny_pictures, "-o", tiny_pictures).exit_code == 0
    assert glpn("export", tiny_pictures, "-o", "out").exit_code == 0
    result = glpn("export", tiny_pictures, "-o", "out", "--html", "page.html", "--range", "image")
    assert result.exit_code == 0
    assert result.stdout == ""  # all skipped
    assert len(names_on(tmp_path / "page.html")) == 4


def test_a_batch_range_holds_on_the_page(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    assert glpn("export", tiny_pictures, "-o", "out", "--html", "page.html", "--range", "batch").exit_code == 0
    entries = re.findall(r'class="entry">(.*?)\n', (tmp_path / "page.html").read_text("utf-8"))
    assert len({(json.loads(facts)["near"], json.loads(facts)["far"]) for facts in entries}) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to be had")
@pytest.mark.parametrize("is_painted", [False, True])
def test_where_the_page_cannot_be_kept_the_run_stops_and_what_was_written_is_told(
    glpn: Glpn, tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_painted: bool
) -> None:
    if is_painted:  # all are skipped, and read for the page alone
        assert glpn("export", tiny_pictures, "-o", "out").exit_code == 0
    full = Path("/dev/full").open("r+b")  # noqa: SIM115 - the gallery closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    result = glpn("export", tiny_pictures, "-o", "out", "--html", "page.html", "--json")
    assert result.exit_code == 4
    *records, summary = map(json.loads, result.stdout.splitlines())
    assert summary["stopped"] == "E_NOSPACE"
    assert {record["status"] for record in records} == {"skipped" if is_painted else "ok"}
    told = {record["outputs"][0]["path"] for record in records}
    assert told == {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert "cannot keep what goes onto the page: no space left on device [E_NOSPACE]" in result.stderr
    assert not (tmp_path / "page.html").exists()


def test_where_the_page_cannot_be_written_the_run_is_summed_up(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    with FaultyDisk(tmp_path / "full", "write", call=1, number=errno.ENOSPC).in_place():
        result = glpn("export", tiny_pictures / "a.jpg", "-o", "out", "--html", "full/page.html", "--json")
    assert result.exit_code == 4
    record, summary = map(json.loads, result.stdout.splitlines())
    assert (record["status"], summary["stopped"], summary["exit_code"]) == ("ok", "E_NOSPACE", 4)
    assert list((tmp_path / "full").iterdir()) == []


@pytest.mark.parametrize("words", [("--html", "page.txt"), ("--html", "mine.html")])
def test_a_page_that_cannot_be_is_refused_before_anything_starts(
    glpn: Glpn, tiny_pictures: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "mine.html").write_text("mine")
    result = glpn("export", tiny_pictures, "-o", "out", *words)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert glpn("export", "--files-from", "-", "--html", "p.html", "-o", "out", input="a.jpg\n").exit_code == 2


def test_a_dry_run_writes_no_page(glpn: Glpn, tiny_pictures: Path, tmp_path: Path) -> None:
    assert glpn("export", tiny_pictures, "-o", "out", "--html", "page.html", "-n").exit_code == 0
    assert not (tmp_path / "page.html").exists()


def room(seed: int, size: tuple[int, int] = (192, 256)) -> DepthMap:
    """A sloping floor and a box, in metres."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(6, 1.2, size[0])[:, None].repeat(size[1], 1)
    top, left = rng.integers(40, 100), rng.integers(20, 180)
    rows[top : top + 60, left : left + 50] = rng.uniform(0.8, 2)
    return DepthMap(rows.astype(np.float32), limit=10.0)


@pytest.mark.browser
def test_the_page_tells_metres_under_the_mouse(glpn: Glpn, tmp_path: Path) -> None:
    depth = room(3)
    valid = np.ones(depth.size, np.bool_)
    valid[:, :20] = False
    depth = DepthMap(depth.values, valid=valid, limit=10.0)
    Image.fromarray(make_rgb(192, 256)).save(tmp_path / "a.png")
    source = ImageSource(tmp_path / "a.png", "a.png", "a.png")
    writer = make_writer("tiff", kind=DepthKind.METRIC, limit_m=10.0)
    (tmp_path / "a_depth.tiff").write_bytes(writer.encode(Answer(depth, source)).data)
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    assert glpn("export", "a.png", "broken.png", "-o", "out", "--html", "page.html").exit_code == 3

    with chromium(tmp_path / "profile") as page:
        page.open(tmp_path / "page.html", ready="document.documentElement?.dataset.ready === '1'")
        page.wait_for("document.querySelector('.card canvas').width === 256")
        box = page.run(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.querySelector('.view').getBoundingClientRect())"
        )

        def told_at(column: int, row: int) -> str:
            page.move(box[0] + (column + 0.5) / 256 * box[2], box[1] + (row + 0.5) / 192 * box[3])
            return str(page.run("document.querySelector('.depth').textContent"))

        for column, row in ((100, 10), (200, 90), (30, 180)):
            number, unit = told_at(column, row).split()
            assert unit == "m"
            assert float(number) == pytest.approx(float(depth.values[row, column]), rel=0.012)
        assert told_at(5, 100) == "unknown"
        # The divider is where the mouse is: at its left the picture, at its right the depth.
        told_at(64, 96)
        assert page.run("document.querySelector('.view').style.getPropertyValue('--cut')").startswith("25.")

        assert page.run("document.querySelector('#failures h2').textContent") == "1 input failed"
        assert "E_DECODE" in page.run("document.querySelector('#failures').textContent")
        page.click(box[0] + 80, box[1] + 80)
        page.wait_for("document.querySelector('dialog').open && document.querySelectorAll('.ticks span').length > 1")
        facts = page.run("document.querySelector('dialog dl').textContent")
        assert "metres along the camera's axis" in facts
        assert "256 × 192" in facts
        assert page.run("document.querySelector('.ticks span:last-child').textContent").endswith(" m")
        painted = (
            "[...document.querySelector('.chart').getContext('2d').getImageData(0, 0, 720, 84).data].some((v) => v)"
        )
        assert page.run(painted)
        page.press("Escape")
        assert page.said == []
        assert [address for address in page.asked if not address.startswith(("data:", "file:"))] == []


@pytest.mark.browser
def test_leafing_quickly_shows_the_scale_of_the_map_that_is_shown(tmp_path: Path) -> None:
    gallery = Page(ColorizeOptions(), [])
    for index, factor in enumerate((1, 0.01)):
        gallery.add(index, entry(f"{index}.jpg", DepthMap(room(index).values * np.float32(factor))))
    with gallery:
        gallery.write(tmp_path / "page.html", title="Two")
    with chromium(tmp_path / "profile") as page:
        page.open(tmp_path / "page.html", ready="document.documentElement?.dataset.ready === '2'")
        page.wait_for("entries.every((entry) => entry.map)")
        # The first map takes long to read, and before it is there the second is asked for.
        page.run("""{
            const map = entries[0].map, quick = load;
            entries[0].map = undefined;
            load = async (entry) => {
                if (entry === entries[0]) await new Promise((go) => setTimeout(go, 300));
                entries[0].map = map;
                return quick(entry);
            };
            window.both = [open(entries[0]), open(entries[1])];
        }""")
        page.run("Promise.all(both).then(() => 0)")
        assert page.run("document.querySelector('dialog h2').textContent") == "1.jpg"
        assert page.run("document.querySelector('.ticks span').textContent").startswith("0.0")
        assert page.said == []


@pytest.mark.browser
def test_near_comes_first_whether_a_larger_number_is_nearer_or_not(tmp_path: Path) -> None:
    for kind, expected in ((DepthKind.METRIC, ["b", "c", "a", "none"]), (DepthKind.DISPARITY, ["a", "c", "b", "none"])):
        gallery = Page(ColorizeOptions(), [])
        nothing = np.zeros((192, 256), np.bool_)
        for index, (name, factor) in enumerate((("none", 0), ("a", 3), ("b", 1), ("c", 2))):
            values = room(0).values * np.float32(factor or 1)
            depth = DepthMap(values, kind=kind, valid=None if factor else nothing)
            gallery.add(index, entry(name, depth))
        path = tmp_path / f"{kind.value}.html"
        with gallery:
            gallery.write(path, title="Order")
        with chromium(tmp_path / f"profile {kind.value}") as page:
            page.open(path, ready="document.documentElement?.dataset.ready === '4'")
            said = page.run("entries.slice(1, 2).map((entry) => entry.card.querySelector('.label span').textContent)")
            reach = "3.37 to 18.0 m" if kind is DepthKind.METRIC else "18.0 to 3.37 (disparity)"
            assert said == [reach]
            for order in ("nearest", "median"):
                page.run(f"document.querySelector('select').value = '{order}'; arrange()")
                assert page.run("listed.map(({ name }) => name)") == expected
            assert page.said == []


@pytest.mark.browser
def test_a_thousand_pictures_open_in_under_3_seconds_without_an_error(tmp_path: Path) -> None:
    gallery = Page(ColorizeOptions(), [])
    rng = np.random.default_rng(0)
    for index in range(20):
        noisy = room(index).values * rng.normal(1, 0.01, (192, 256)).astype(np.float32)
        rgb = (make_rgb(360, 480, seed=index) + rng.integers(0, 20, (360, 480, 3))).clip(0, 255).astype(np.uint8)
        made = entry(f"room {index:04d}.jpg", DepthMap(noisy, limit=10.0), rgb)
        for copy in range(50):
            gallery.add(50 * index + copy, made)
    broken = InputError("'broken.jpg' is cut short")
    gallery.watch(lambda _: None)(Outcome(Status.ERROR, "broken.jpg", "broken.jpg", "broken.jpg", error=broken))
    path = tmp_path / "page.html"
    with gallery:
        gallery.write(path, title="A thousand rooms")
    assert path.stat().st_size > 40e6

    with chromium(tmp_path / "profile") as page:
        took = page.open(path, ready="document.documentElement?.dataset.ready === '1000'")
        page.wait_for("[...document.querySelectorAll('.card')].slice(0, 8).every((card) => card.entry.map)", seconds=3)
        assert took < 3
        page.screenshot(tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as image:
            assert len(set(image.convert("RGB").resize((64, 48)).get_flattened_data())) > 100
        page.run(
            "document.querySelector('input').value = '0007';"
            "document.querySelector('input').dispatchEvent(new Event('input'))"
        )
        assert page.run("document.querySelector('.count').textContent") == "50 of 1000 maps"
        assert page.said == []
