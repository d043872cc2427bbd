"""A scene is a pure function of seed and index, and looks like something that a camera saw."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from glpn_cli.scenes import Scene, render_scene
from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.compiled import KERNEL_FILES
from glpn_cli.scenes.render import camera_of

SMALL = (48, 64)


@pytest.fixture(scope="module")
def some() -> list[Scene]:
    return [render_scene(900, i, size=SMALL) for i in range(60)]


def test_the_same_seed_and_index_give_the_same_picture_and_others_do_not(some: list[Scene]) -> None:
    again = render_scene(900, 3, size=SMALL)
    assert np.array_equal(again.rgb, some[3].rgb)
    assert np.array_equal(again.depth, some[3].depth)
    assert not np.array_equal(some[3].depth, some[4].depth)
    assert not np.array_equal(render_scene(901, 3, size=SMALL).depth, some[3].depth)


def test_every_pixel_has_a_depth_a_normal_and_a_label(some: list[Scene]) -> None:
    for scene in some:
        assert scene.rgb.shape == (*SMALL, 3)
        assert scene.rgb.dtype == np.uint8
        assert scene.depth.shape == scene.labels.shape == SMALL
        assert scene.depth.dtype == np.float32
        assert np.isfinite(scene.depth).all()
        assert scene.depth.min() > 0.05
        assert scene.depth.max() < 60
        assert np.linalg.norm(scene.normals, axis=-1) == pytest.approx(1.0, abs=1e-4)
        assert scene.labels.max() <= 8


def test_normals_face_the_camera(some: list[Scene]) -> None:
    v, u = np.mgrid[: SMALL[0], : SMALL[1]]
    for scene in some[:10]:
        k = scene.intrinsics
        rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(SMALL)], axis=-1)
        assert ((rays * scene.normals).sum(-1) < 1e-3).mean() > 0.999


def test_depth_agrees_with_the_normals_it_comes_with(some: list[Scene]) -> None:
    v, u = np.mgrid[: SMALL[0], : SMALL[1]]
    for scene in some[:10]:
        k = scene.intrinsics
        points = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(SMALL)], axis=-1) * scene.depth[..., None]
        step = points[:, 1:] - points[:, :-1]
        same = (scene.normals[:, 1:] * scene.normals[:, :-1]).sum(-1) > 0.9999
        off = np.abs((step * scene.normals[:, 1:]).sum(-1))[same]
        assert same.mean() > 0.2
        assert np.median(off) < 1e-3


def test_depths_are_those_of_rooms(some: list[Scene]) -> None:
    medians = [float(np.median(scene.depth)) for scene in some]
    assert 1.4 < np.median(medians) < 3.2
    assert min(medians) < 1.3
    assert max(medians) > 3.2


def test_pictures_are_neither_flat_nor_all_alike(some: list[Scene]) -> None:
    spreads = np.array([scene.rgb.std() for scene in some])
    means = np.array([scene.rgb.mean() for scene in some])
    assert (spreads > 12).mean() > 0.9
    assert means.std() > 15
    assert 60 < means.mean() < 190
    assert len({scene.kind for scene in some}) > 8


def test_a_larger_picture_shows_the_same_room() -> None:
    small, large = render_scene(900, 7, size=(48, 64)), render_scene(900, 7, size=(96, 128))
    assert np.median(large.depth) == pytest.approx(np.median(small.depth), rel=0.03)
    assert large.intrinsics.fx == pytest.approx(2 * small.intrinsics.fx)


def test_the_camera_is_known_without_rendering(some: list[Scene]) -> None:
    assert camera_of(900, 5, size=SMALL) == some[5].intrinsics
    degrees = [2 * np.degrees(np.arctan(32 / scene.intrinsics.fx)) for scene in some]
    assert 44 < min(degrees) < max(degrees) < 81
    assert 57 < np.median(degrees) < 66


def test_chance_is_a_stream_that_its_key_alone_decides() -> None:
    first, again, other = Chance(1, 2), Chance(1, 2), Chance(1, 3)
    numbers = [first.unit() for _ in range(1000)]
    assert numbers == [again.unit() for _ in range(1000)]
    assert numbers != [other.unit() for _ in range(1000)]
    assert 0.0 <= min(numbers) < max(numbers) < 1.0
    assert {first.whole(2, 4) for _ in range(200)} == {2, 3, 4}
    assert {first.weigh([(1, "a"), (0, "b"), (3, "c")]) for _ in range(200)} == {"a", "c"}
    assert all(-1 <= first.bell(0, 5, -1, 1) <= 1 for _ in range(200))


def test_every_file_that_kernels_are_made_of_decides_where_their_machine_code_is_kept() -> None:
    from glpn_cli.scenes import compiled

    sources = {path.stem: path.read_text("utf-8") for path in Path(compiled.__file__).parent.glob("*.py")}
    imports = {
        name: set(re.findall(r"^from glpn_cli\.scenes\.(\w+) import", text, re.MULTILINE))
        for name, text in sources.items()
    }
    reached = {name for name, found in imports.items() if "compiled" in found}
    while more := set.union(*(imports[name] for name in reached)) - reached:
        reached |= more
    assert set(compiled.KERNEL_FILES) == reached


def test_importing_scenes_needs_no_numba_and_rendering_says_what_to_install() -> None:
    code = """
import sys
import glpn_cli.scenes as scenes
assert "numba" not in sys.modules and "torch" not in sys.modules
sys.modules["numba"] = None
try:
    scenes.render_scene(0, 0)
except Exception as error:
    print(type(error).__name__, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["UsageError", "Run: pip install 'glpn-cli[train]'\n"]


def test_kernels_return_no_arrays_which_numba_would_need_python_code_to_hand_over(some: list[Scene]) -> None:
    assert some
    returned = {
        f"{name}.{kernel}": str(signature.return_type)
        for name in KERNEL_FILES
        for kernel, found in vars(import_module(f"glpn_cli.scenes.{name}")).items()
        for signature in getattr(found, "nopython_signatures", ())
    }
    assert {"tracer.draw", "tracer.look_around", "rays.grow_tree"} <= returned.keys()
    assert {kernel: kind for kernel, kind in returned.items() if "array" in kind} == {}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that signal")
def test_a_signal_during_a_picture_is_heard_as_an_interrupt_and_nothing_breaks() -> None:
    code = """
import signal
from glpn_cli.scenes import render_scene

def interrupt(number, frame):
    raise KeyboardInterrupt

render_scene(900, 0, size=(24, 32))
signal.signal(signal.SIGALRM, interrupt)
for _ in range(4):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        while True:
            render_scene(900, 0, size=(480, 640))
    except KeyboardInterrupt:
        print("heard")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=250)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["heard"] * 4, "")
