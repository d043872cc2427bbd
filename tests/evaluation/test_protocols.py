from __future__ import annotations

import numpy as np
import pytest

from glpn_cli.errors import InputError, UsageError
from glpn_cli.evaluation.protocols import PROTOCOLS, Crop, Protocol


def test_nyu_counts_the_official_window_and_range() -> None:
    target = np.full((480, 640), 2.0, np.float32)
    target[100, 100], target[101, 100], target[102, 100], target[103, 100] = 0, 1e-3, 10, 9.999
    counted = PROTOCOLS["nyu"].counted(target)
    rows, columns = np.nonzero(counted)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    assert counted.sum() == (471 - 45) * (601 - 41) - 3
    assert counted[103, 100]


def test_nyu_refuses_frames_of_another_size() -> None:
    with pytest.raises(InputError, match="640x480"):
        PROTOCOLS["nyu"].counted(np.ones((240, 320), np.float32))


@pytest.mark.parametrize(
    ("crop", "window"),
    # Of 352x1216: shares times height and width, cut down to whole pixels, by hand.
    [(Crop.GARG, (143, 349, 43, 1172)), (Crop.EIGEN, (117, 321, 43, 1172)), (Crop.NONE, (0, 352, 0, 1216))],
)
def test_kitti_crops_are_shares_of_the_benchmarks_frame(crop: Crop, window: tuple[int, int, int, int]) -> None:
    assert Protocol(crop=crop).window((352, 1216)) == window


def test_kitti_counts_depths_under_eighty_metres_inside_gargs_crop() -> None:
    target = np.full((352, 1216), 20.0, np.float32)
    target[200, 200] = 80
    assert PROTOCOLS["kitti"].counted(target).sum() == (349 - 143) * (1172 - 43) - 1


def test_without_a_protocol_every_known_depth_counts() -> None:
    target = np.array([[0, 0.0001, 500]], np.float32)
    assert Protocol().counted(target).tolist() == [[False, True, True]]


def test_eigens_crop_of_nyu_is_the_official_window_and_gargs_is_of_kitti() -> None:
    assert Protocol.choose("nyu", crop="eigen").window((480, 640)) == (45, 471, 41, 601)
    assert Protocol.choose("kitti", crop="eigen").window((352, 1216)) == (117, 321, 43, 1172)
    with pytest.raises(UsageError, match="--crop garg is a window of KITTI's frames"):
        Protocol.choose("nyu", crop="garg")


@pytest.mark.parametrize("text", ["0.1:inf", "nan:5", "0.1:nan"])
def test_a_range_without_an_end_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--gt-range {text}"):
        Protocol.choose("none", gt_range=text)


def test_nonsense_is_refused_and_a_heading_says_the_rules() -> None:
    with pytest.raises(UsageError, match="--gt-range 5:2"):
        Protocol(range_m=(5, 2))
    with pytest.raises(UsageError, match="--clip needs a range"):
        Protocol(clip=True)
    words = PROTOCOLS["kitti"].describe()
    assert words == ("protocol kitti, 0.001 < true depth < 80 m, crop garg, frames cut to 1216x352, clip off")
