"""Films whose flicker is known, steadied: less of it, nothing smeared, nothing invented, and all maps in order."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from films import CAMERA, FOCAL_PX, photograph, pose_at
from numpy.typing import NDArray

from glpn_cli.data.samples import Sample
from glpn_cli.evaluation.temporal import ScoredFrame
from glpn_cli.prediction import DepthKind, DepthMap
from glpn_cli.video.steady import Steady

Values = NDArray[np.float32]
POSES = [pose_at((0.02 * frame, 0, 0.03 * frame), 0.01 * frame) for frame in range(12)]


@pytest.fixture(scope="module")
def film() -> list[tuple[NDArray[np.uint8], Values]]:
    return [photograph(pose) for pose in POSES]


def steadied(frames: list[tuple[DepthMap, NDArray[np.uint8]]], ahead: int = 4) -> list[DepthMap]:
    steady = Steady(focal_px=FOCAL_PX, ahead=ahead)
    return [*(each for frame in frames for each in steady.push(*frame)), *steady.flush()]


def scores(film: list[tuple[NDArray[np.uint8], Values]], maps: list[Values]) -> dict[str, float]:
    frames = [
        ScoredFrame(Sample(rgb, truth, intrinsics=CAMERA, pose=pose), values, truth > 0)
        for (rgb, truth), values, pose in zip(film, maps, POSES, strict=True)
    ]
    changes = [a.score_change(b) for a, b in pairwise(frames)]
    return {name: float(np.mean([change[name] for change in changes])) for name in changes[0]}


def test_a_perfect_film_stays_as_it_is(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    maps = steadied([(DepthMap(truth), rgb) for rgb, truth in film])
    assert len(maps) == len(film)
    for after, (_, truth) in zip(maps, film, strict=True):
        assert np.median(np.abs(after.values / truth - 1)) < 0.003
        assert np.max(np.abs(after.values / truth - 1)) < 0.02


def test_jitter_of_the_scale_goes_and_the_camera_may_still_walk(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    wobble = np.exp(np.random.default_rng(0).normal(0, 0.03, len(film))).astype(np.float32)
    raw = [truth * by for (_, truth), by in zip(film, wobble, strict=True)]
    maps = [each.values for each in steadied([(DepthMap(m), rgb) for m, (rgb, _) in zip(raw, film, strict=True)])]
    before, after = scores(film, raw), scores(film, maps)
    assert after["scale_jitter"] < before["scale_jitter"] / 5
    assert after["flicker"] < before["flicker"] / 4


def test_parts_that_change_by_themselves_are_calmed(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    rng = np.random.default_rng(1)
    halves = [np.where(np.arange(96) < 48, *np.exp(rng.normal(0, 0.04, 2))).astype(np.float32) for _ in film]
    raw = [truth * by for (_, truth), by in zip(film, halves, strict=True)]
    maps = [each.values for each in steadied([(DepthMap(m), rgb) for m, (rgb, _) in zip(raw, film, strict=True)])]
    assert scores(film, maps)["flicker"] < scores(film, raw)["flicker"] / 2


def test_edges_of_the_map_are_not_smeared(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    rng = np.random.default_rng(2)
    frames = []
    for _ in range(10):
        rgb, truth = film[0]
        post = truth.copy()
        post[:, 40:50] *= np.float32(0.5 * np.exp(rng.normal(0, 0.05)))
        frames.append((DepthMap(post), rgb))
    for after, (before, _) in zip(steadied(frames), frames, strict=True):
        change = np.log(after.values / before.values)
        assert np.abs(np.diff(change, axis=1)).max() < 0.03  # smooth, where the depth itself is cut in half


def test_a_thing_that_moves_by_itself_keeps_its_depth() -> None:
    rgb, truth = photograph(pose_at())
    other, _ = photograph(pose_at(), seed=5)
    frames = []
    for start in range(8, 32, 2):  # two hundredths of the picture's width a frame
        picture, depth = rgb.copy(), truth.copy()
        picture[20:52, start : start + 24], depth[20:52, start : start + 24] = other[20:52, 10:34], 1.5
        frames.append((DepthMap(depth), picture))
    for after, (before, _) in zip(steadied(frames), frames, strict=True):
        thing = before.values == np.float32(1.5)
        assert np.mean(np.abs(after.values[thing] / before.values[thing] - 1)) < 0.03  # the wall is 100 % behind it
        assert np.median(np.abs(after.values[~thing] / before.values[~thing] - 1)) < 0.01


def test_relative_maps_lose_jitter_of_scale_and_shift(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    rng = np.random.default_rng(3)
    wobbles = [(np.exp(rng.normal(0, 0.05)), rng.normal(0, 0.02)) for _ in film]
    frames = [
        (DepthMap((a / truth + b).astype(np.float32), DepthKind.DISPARITY), rgb)
        for (rgb, truth), (a, b) in zip(film, wobbles, strict=True)
    ]

    def changes(maps: list[DepthMap]) -> float:
        """How much scale and shift change from frame to frame, in the disparity of the wall."""
        lines = [np.polyfit(1 / truth.ravel(), m.values.ravel(), 1) for m, (_, truth) in zip(maps, film, strict=True)]
        return float(np.mean([np.abs(np.subtract(*pair)).sum() for pair in pairwise(lines)]))

    maps = steadied(frames)
    assert maps[0].kind is DepthKind.DISPARITY
    assert changes(maps) < changes([m for m, _ in frames]) / 3


def test_a_cut_starts_anew_and_every_map_comes_back_in_order() -> None:
    still = pose_at()
    first, second = photograph(still, 1), photograph(still, 2)
    frames = [(DepthMap(first[1] * np.float32(1 + i / 1000)), first[0]) for i in range(6)]
    frames += [(DepthMap(second[1] * np.float32(2)), second[0])] * 6
    maps = steadied(frames)
    assert len(maps) == 12
    for after, (before, _) in zip(maps, frames, strict=True):
        assert np.abs(after.values / before.values - 1).max() < 0.01  # nothing of the other scene's factor


def test_frames_wait_for_those_ahead_and_no_longer(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    steady = Steady(ahead=3)
    counts = [len(steady.push(DepthMap(truth), rgb)) for rgb, truth in film[:8]]
    assert counts == [0, 0, 0, 1, 1, 1, 1, 1]
    assert len(steady.flush()) == 3
    assert steady.flush() == []
    assert Steady(ahead=0).push(DepthMap(film[0][1]), film[0][0])[0].values == pytest.approx(film[0][1])


def test_holes_stay_and_limits_hold(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    rgb, truth = film[0]
    valid = np.ones(truth.shape, np.bool_)
    valid[:20] = False
    high = DepthMap(np.where(valid, truth, np.float32(np.nan)), valid=valid, limit=float(truth.max()))
    low = replace(high, values=high.values * np.float32(0.9))
    maps = steadied([(low, rgb), (high, rgb), (high, rgb)])
    assert np.array_equal(maps[0].valid, valid)
    assert max(m.values[valid].max() for m in maps) <= truth.max()


def test_frames_that_are_done_are_let_go(film: list[tuple[NDArray[np.uint8], Values]]) -> None:
    steady = Steady(ahead=2)
    rgb, truth = film[0]
    steady.push(DepthMap(truth), rgb)
    view, depth = weakref.ref(steady._frames[0].view), weakref.ref(steady._frames[0].depth)
    gc.disable()  # or a cycle would be collected by chance
    try:
        for _ in range(6):
            steady.push(DepthMap(truth), rgb)
    finally:
        gc.enable()
    assert view() is None
    assert depth() is None
    assert len(steady._frames) <= 4
