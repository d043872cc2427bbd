from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glpn_cli.data.samples import Sample
from glpn_cli.evaluation.cameras import through_cameras
from glpn_cli.geometry import FocalChoice, back_project
from glpn_cli.prediction import Intrinsics


@dataclass(frozen=True)
class Frames:
    """A KITTI frame of a wall 5 m away, stored as ray length, cut to the benchmark's window or whole."""

    is_cut: bool
    name: str = "frames"
    length: int = 1

    def name_of(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> Sample:
        wall = np.full((375, 1242), 5, np.float32)
        rays = np.linalg.norm(back_project(wall, Intrinsics(700, 710, 609, 172)), axis=2).astype(np.float32)
        sample = Sample(np.zeros((375, 1242, 3), np.uint8), rays, name=self.name_of(index))
        return sample.kb_cropped() if self.is_cut else sample


def test_a_camera_that_is_named_is_that_of_the_whole_frame_cut_or_not() -> None:
    choice = FocalChoice.from_intrinsics("700,710,609,172")
    whole, cut = (through_cameras(Frames(is_cut), choice, is_ray=True).read(0) for is_cut in (False, True))
    assert whole.intrinsics == Intrinsics(700, 710, 609, 172, "option")
    assert cut.intrinsics == Intrinsics(700, 710, 596, 149, "option")
    for sample in (whole, cut):
        assert sample.focal_px == math.sqrt(700 * 710)
        np.testing.assert_allclose(sample.depth, 5, rtol=1e-6)


def test_where_nothing_is_asked_the_source_is_itself() -> None:
    frames = Frames(is_cut=False)
    assert through_cameras(frames, None, is_ray=False) is frames
