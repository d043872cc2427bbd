"""Metric depth in space on the page of `glpn export --html`, turned in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import chromium
import numpy as np
import pytest
from conftest import make_rgb
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from glpn_cli.cli import app
from glpn_cli.depth_files import ColorizeOptions, make_writer
from glpn_cli.geometry import find_hanging, make_camera
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.gallery import Page, encode_depths, make_entry
from glpn_cli.prediction import DepthKind, DepthMap, LabelMap, Result

pytestmark = pytest.mark.browser

SIZE = (192, 256)
FOCAL_PX = 200.0
CAMERA = make_camera(FOCAL_PX, SIZE, source="option")
PICTURE = make_rgb(*SIZE)
HEIGHT_M, WALL_M, BOX_M = 1.4, 4.0, 2.0


def make_room() -> DepthMap:
    """A floor 1.4 m under the camera, a wall 4 m ahead, a board 2 m ahead; nothing is known at the left border."""
    down = np.arange(SIZE[0]) - CAMERA.cy
    with np.errstate(divide="ignore"):
        rows = np.where(down > 0, np.minimum(WALL_M, HEIGHT_M * FOCAL_PX / down), WALL_M)
    values = np.repeat(rows[:, None], SIZE[1], axis=1).astype(np.float32)
    values[40:90, 150:200] = BOX_M
    valid = np.ones(SIZE, np.bool_)
    valid[:, :10] = False
    return DepthMap(values, valid=valid, limit=10.0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.chromium(tmp_path_factory.mktemp("profile"), width=640, height=560) as page:
        yield page


Show = Callable[..., chromium.Page]


@pytest.fixture
def show(browser: chromium.Page, tmp_path: Path) -> Show:
    """Write a page of results, and open it and the first of them."""

    def show(*results: Result, picture: NDArray[np.uint8] | None = PICTURE) -> chromium.Page:
        gallery = Page(ColorizeOptions(), [])
        for index, result in enumerate(results):
            gallery.add(index, make_entry(result, picture, ColorizeOptions()))
        with gallery:
            gallery.write(tmp_path / "page.html", title="In space")
        browser.said.clear()
        browser.open(tmp_path / "page.html", ready=f"document.documentElement?.dataset.ready === '{len(results)}'")
        browser.run("open(entries[0]).then(() => 0)")
        return browser

    return show


def room_result(depth: DepthMap | LabelMap | None = None) -> Result:
    return Result(depth or make_room(), ImageSource(Path("a.png"), "a.png", "a.png"), intrinsics=CAMERA)


def test_a_picture_is_opened_turned_and_closed(
    browser: chromium.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("a.png")
    source = ImageSource(tmp_path / "a.png", "a.png", "a.png")
    writer = make_writer("tiff", kind=DepthKind.METRIC, limit_m=10.0)
    Path("a_depth.tiff").write_bytes(writer.encode(Result(make_room(), source)).data)
    words = ["export", "a.png", "-o", "out", "--html", "page.html", "--focal", f"{FOCAL_PX:g}px"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0

    page = browser
    page.said.clear()
    page.asked.clear()
    page.open(tmp_path / "page.html", ready="document.documentElement?.dataset.ready === '1'")

    def middle(selector: str) -> tuple[float, float]:
        box = page.run(f"(({{x, y, width, height}}) => [x, y, width, height])({selector}.getBoundingClientRect())")
        return box[0] + box[2] / 2, box[1] + box[3] / 2

    def look() -> NDArray[np.int16]:
        page.run("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go))).then(() => 0)")
        page.screenshot(tmp_path / "look.png")
        with Image.open(BytesIO((tmp_path / "look.png").read_bytes())) as image:
            return np.asarray(image.convert("RGB")).astype(np.int16)

    page.click(*middle("find('.card')"))
    page.wait_for("dialog.open && entries[0].map")
    page.click(*middle("find('[data-space]')"))
    page.wait_for("pose !== null && !canvas.hidden")
    first = look()
    # From where the picture was taken it looks as the picture does: upright, and in its proportions.
    box = page.run("(({x, y, width, height}) => [x, y, width, height])(canvas.getBoundingClientRect())")
    scale = min(box[2] / SIZE[1], box[3] / SIZE[0])
    left, top = box[0] + (box[2] - scale * SIZE[1]) / 2, box[1] + (box[3] - scale * SIZE[0]) / 2
    for column, row in ((30, 20), (128, 30), (230, 20), (30, 170), (128, 120), (230, 170), (175, 65)):
        seen = first[round(top + scale * (row + 0.5)), round(left + scale * (column + 0.5))]
        np.testing.assert_allclose(seen, PICTURE[row, column], atol=12)
    hole = first[round(top + scale * 96), round(left + scale * 4)]
    np.testing.assert_array_equal(hole, first[round(top + scale * 96), round(box[0] + 5)])

    # A key press draws a ring around the focus.
    inside = np.s_[round(box[1]) + 4 : round(box[1] + box[3]) - 4, round(box[0]) + 4 : round(box[0] + box[2]) - 4]
    x, y = middle("canvas")
    ways: dict[str, Callable[[], None]] = {
        "drag": lambda: page.drag(x, y, 80, 40),
        "wheel": lambda: page.wheel(x, y, 300),
        "key": lambda: page.press("ArrowLeft"),
    }
    for name, way in ways.items():
        way()
        page.wait_for("pose.yaw !== 0 || pose.pitch !== 0 || pose.away !== pose.pivot")
        assert (np.abs(look() - first).max(axis=2) > 20).mean() > 0.02, name
        page.click(x, y, times=2)
        page.wait_for("pose.yaw === 0 && pose.pitch === 0 && pose.away === pose.pivot")
        np.testing.assert_array_equal(look()[inside], first[inside])
    page.press("Escape")
    page.wait_for("!space.open && dialog.open")
    page.press("Escape")
    page.wait_for("!dialog.open")
    assert page.said == []
    assert [address for address in page.asked if not address.startswith(("data:", "file:"))] == []


def test_the_surface_is_where_the_room_is_and_is_cut_where_two_surfaces_part(show: Show) -> None:
    page = show(room_result())
    page.run("globalThis.made = makeSurface(entries[0], entries[0].map); 0")
    points = np.array(page.run("[...made.points]")).reshape(-1, 3)
    places = np.array(page.run("[...made.places]")).reshape(-1, 2)
    corners = np.array(page.run("[...made.triangles]")).reshape(-1, 3)
    used = np.unique(corners)
    column, row = np.rint((places[used] * SIZE[::-1]).T - 0.5)
    assert column.min() == 10
    x, y, z = points[used].T
    np.testing.assert_allclose(x, -z * (column - CAMERA.cx) / FOCAL_PX, atol=1e-3)
    on_box = (row >= 40) & (row < 90) & (column >= 150) & (column < 200)
    # The page keeps depths in 255 steps; the terraces of the steps are smoothed out of a floor.
    floor = row > CAMERA.cy + HEIGHT_M * FOCAL_PX / WALL_M + 2
    assert floor.sum() > 3000
    np.testing.assert_allclose(y[floor], -HEIGHT_M, rtol=0.004)
    assert np.std(y[floor]) < 0.001 * HEIGHT_M
    np.testing.assert_allclose(-z[on_box], BOX_M, rtol=0.004)
    np.testing.assert_allclose(-z[~on_box & ~floor & (row < 150)], WALL_M, rtol=0.004)
    assert np.ptp(points[corners, 2], axis=1).max() < 0.5
    # They face the camera: counter-clockwise.
    a, b, c = (points[corners[:, k]] for k in range(3))
    assert (np.sum(np.cross(b - a, c - a) * a, axis=1) < 0).all()


def test_pixels_hang_where_the_mesh_of_glb_leaves_them_out(show: Show) -> None:
    slide = np.concatenate([np.full(60, 1.5), np.geomspace(1.5, 4, 6), np.full(62, 4.0), np.linspace(4, 1.2, 128)])
    depth = DepthMap(np.repeat(slide[None], SIZE[0], axis=0).astype(np.float32), limit=10.0)
    page = show(room_result(depth))
    page.run("""globalThis.hanging = findHanging(
        Float32Array.from(entries[0].map.codes, (code) => Math.log(depthOf(entries[0], code))),
        entries[0].map, entries[0].camera); 0""")
    codes, low, high = encode_depths(depth)
    stored = np.exp(np.log(low) + (codes.astype(float) - 1) / 254 * np.log(high / low)).astype(np.float32)
    expected = find_hanging(DepthMap(stored), CAMERA)
    assert expected[:, 61:65].all()
    found = np.array(page.run("[...hanging]"), np.bool_).reshape(SIZE)
    assert (found != expected).mean() < 0.001


def test_a_large_map_becomes_a_surface_of_at_most_200000_triangles(show: Show) -> None:
    wall = DepthMap(np.full((1000, 1000), 3, np.float32))
    page = show(room_result(wall))
    count, used = page.run("(({triangles}) => [triangles.length / 3, Math.max(...triangles.slice(-3))])"
                           "(makeSurface(entries[0], entries[0].map))")  # fmt: skip
    assert 150_000 < count <= 200_000
    assert used == count / 2 + 2 * (count / 2) ** 0.5  # a square grid, to its last corner


@pytest.mark.parametrize("why", ["labels", "disparity", "picture", "camera", "nothing"])
def test_where_there_is_no_surface_there_is_no_button_and_the_title_says_why(show: Show, why: str) -> None:
    depth, result = make_room(), room_result()
    match why:
        case "labels":
            result = room_result(LabelMap(np.zeros(SIZE, np.uint8), ("wall",)))
        case "disparity":
            result = room_result(DepthMap(depth.values, kind=DepthKind.DISPARITY))
        case "camera":
            result = Result(depth, result.source)
        case "nothing":
            result = room_result(DepthMap(depth.values, valid=np.zeros(SIZE, np.bool_)))
    page = show(result, **({"picture": None} if why == "picture" else {}))
    assert page.run("find('[data-space]').checkVisibility()") is False
    said = {"nothing": "no depth", "camera": "focal length"}.get(why, why)
    assert said in page.run("find('h2', dialog).title")
    page = show(room_result())
    assert page.run("find('[data-space]').checkVisibility()") is True
    assert page.run("find('h2', dialog).title") == ""


def test_without_webgl_a_sentence_stands_in_its_place(show: Show) -> None:
    page = show(room_result())
    page.run("HTMLCanvasElement.prototype.getContext = () => null; openSpace(entries[0]).then(() => 0)")
    assert page.run("canvas.checkVisibility()") is False
    assert "WebGL" in page.run("find('p', space).textContent")
    page.press("Escape")
    page.wait_for("!space.open")
    assert page.said == []
