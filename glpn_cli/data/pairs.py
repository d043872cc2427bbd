"""Pictures on disk with their measured depth: a CSV, or the layouts of NYU and KITTI.

A pair is checked when it is read, not when it is listed: the train lists of NYU and KITTI name some 24,000 files on
what is often a slow disk, and one file that is missing costs one pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.kitti_crop import kb_cropped
from glpn_cli.data.rows import Row, read_rows
from glpn_cli.data.samples import Sample
from glpn_cli.depth_files import StoredDepth, read_depth
from glpn_cli.errors import ErrorCode, InputError, UsageError, about_file
from glpn_cli.images import ImageSource, ReadOptions, read_rgb
from glpn_cli.prediction import Intrinsics

CSV_COLUMNS = ("rgb_path", "depth_path", "depth_scale")
_CSV_CAMERA = ("fx", "fy", "cx", "cy")
_SCALE_HINT = "The depth_scale is stored units per metre: 1000 for millimetres, 256 for KITTI, 1 for metres."
_FOCAL_HINT = "Write the focal length in pixels of the picture, or leave both fx and fy empty."
_AXIS_HINT = "Write where the optical axis meets the picture, in pixels from 0, or leave both cx and cy empty."

# The median depth of no room, street or landscape that a camera measures; beyond these the scale is wrong.
_LEAST_MEDIAN_M, _MOST_MEDIAN_M = 0.02, 300.0


Half = TypeVar("Half")
_Read = Callable[[Path], StoredDepth]

_HERE = ReadOptions()


@dataclass(frozen=True)
class Pair:
    """One picture and the file with its depth.

    depth_scale: stored units per metre, for integer files that do not say their own: 1000 is millimetres.
    focal_px:    focal length in pixels of the picture as stored, None where nobody said.
    name:        what results and messages call it, with `/` between folders.
    is_kitti:    cut to the benchmark's 352x1216 when read.
    fx_to_fy:    fx over fy; 1 where the pixels are square.
    axis_px:     (cx, cy), None for the middle of the picture.
    """

    rgb_path: Path
    depth_path: Path
    depth_scale: float
    focal_px: float | None = None
    name: str = ""
    is_kitti: bool = False
    fx_to_fy: float = 1.0
    axis_px: tuple[float | None, float | None] = (None, None)

    def read(self, reading: ReadOptions = _HERE) -> Sample:
        """The upright picture with its depth in metres, 0 where nothing was measured.

        reading: how, and in which processes, both are decoded.

        Raises InputError for a half that is missing or unreadable, for halves of different size, for depth without a
        single valid pixel, for a scale that the file's own record contradicts, and for depths that can only come from a
        wrong one.
        """
        rgb = self._half(self.rgb_path, lambda path: read_rgb(path, reading).rgb, "picture")
        read = partial(reading.run, read_depth, about="it", max_pixels=reading.max_pixels)
        stored = self._half(self.depth_path, partial(read, depth_scale=self.depth_scale), "depth")
        self._check_scale(stored, read)
        depth = stored.depth
        if not depth.kind.is_metric:
            raise InputError(
                f"{self.depth_path}: {depth.kind.value} is no depth in metres",
                hint="Name a file of measured depth, in metres along the camera's axis.",
                code=ErrorCode.DATA,
            )
        if depth.size != rgb.shape[:2]:
            raise InputError(
                f"{self.name}: the picture is {rgb.shape[1]}x{rgb.shape[0]}, its depth {depth.size[1]}x{depth.size[0]}",
                hint="Both halves of a pair must have the same size.",
                code=ErrorCode.DATA,
            )
        known = np.where(np.isfinite(depth.values), depth.values, np.float32(0))
        if depth.valid is not None:
            known = np.where(depth.valid, known, np.float32(0))
        name = self.name or self.rgb_path.name
        source = ImageSource(self.rgb_path, name, str(self.rgb_path), options=reading)
        camera = self._camera(depth.size)
        sample = Sample(rgb, known, self.focal_px, self.name, source=source, intrinsics=camera)
        if self.is_kitti:
            sample = kb_cropped(sample)
        self._check_depth(sample.depth, stored, read)
        return sample

    def _camera(self, size: tuple[int, int]) -> Intrinsics | None:
        """The camera of the whole picture of (H, W); None where nobody said."""
        if self.focal_px is None:
            return None
        (height, width), (cx, cy) = size, self.axis_px
        return Intrinsics(
            fx=self.focal_px * math.sqrt(self.fx_to_fy),
            fy=self.focal_px / math.sqrt(self.fx_to_fy),
            cx=(width - 1) / 2 if cx is None else cx,
            cy=(height - 1) / 2 if cy is None else cy,
            source="file",
        )

    def _half(self, path: Path, read: Callable[[Path], Half], what: str) -> Half:
        with about_file(path):
            is_there = path.is_file()
        if not is_there:
            raise InputError(f"{self.name}: its {what} {path} is missing", code=ErrorCode.NOT_FOUND)
        with about_file(path):
            return read(path)

    def _check_scale(self, stored: StoredDepth, read: _Read) -> None:
        own = None if stored.record is None else stored.record.depth_scale
        if own is not None and not math.isclose(own, self.depth_scale, rel_tol=1e-5):  # records have six digits
            raise InputError(
                f"{self.depth_path}: its own record says {own:g} units per metre, and its depth_scale is said to be "
                f"{self.depth_scale:g}",
                hint="Correct the depth_scale of its line; glpn inspect shows what a depth file says of itself.",
                code=ErrorCode.DATA,
            )
        if stored.record is None and self.depth_scale != 1 and self._is_float(stored, read):
            raise InputError(
                f"{self.depth_path}: a file of floats is read as metres, and its depth_scale is said to be "
                f"{self.depth_scale:g}",
                hint="Write 1 if they are metres; if not, divide them until they are.",
                code=ErrorCode.DATA,
            )

    def _is_float(self, stored: StoredDepth, read: _Read) -> bool:
        if stored.format == "png16":
            return False
        try:
            read(self.depth_path)
        except InputError:  # integers, which need a scale
            return False
        return True

    def _check_depth(self, depth: NDArray[np.float32], stored: StoredDepth, read: _Read) -> None:
        known = depth[depth > 0]
        if known.size == 0:
            raise InputError(
                f"{self.name}: {self.depth_path.name} has no valid pixel",
                hint="Zeros, negative numbers and NaN are unknown depths: replace the file, or leave the pair out.",
                code=ErrorCode.DATA,
            )
        median = float(np.median(known))
        if not _LEAST_MEDIAN_M < median < _MOST_MEDIAN_M:
            side = "beyond" if median > _LEAST_MEDIAN_M else "below"
            why, hint = self._explain_scale(stored, read)
            raise InputError(
                f"{self.name}: half of its depths lie {side} {median:.3g} m {why}", hint=hint, code=ErrorCode.RANGE
            )

    def _explain_scale(self, stored: StoredDepth, read: _Read) -> tuple[str, str]:
        """What made the metres of its depth, and what to do where that was wrong."""
        if stored.record is not None and stored.record.depth_scale is not None:
            return f"with the scale {stored.record.depth_scale:g} of its own record", "Write the depth file again."
        if self._is_float(stored, read):
            hint = "Divide its numbers until they are metres, or store them as integers with their depth_scale."
            return "(a file of floats is read as metres)", hint
        return f"with depth_scale {self.depth_scale:g}", _SCALE_HINT


@dataclass(frozen=True)
class PairList:
    """Pairs in the order of their list; a source of samples for training.

    reading:    how, and in which processes, they are decoded.
    focal_hint: how to tell the focal lengths, where there are none.
    own_scales: what the column depth_scale of a CSV says, None for lines that leave it to the user.
    """

    name: str
    pairs: tuple[Pair, ...]
    reading: ReadOptions = _HERE
    focal_hint: str = "Add the columns fx,fy to the CSV."
    own_scales: frozenset[float | None] = frozenset()

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self.pairs)

    def read(self, index: int) -> Sample:
        """Sample `index`; see `Pair.read`."""
        return self.pairs[index].read(self.reading)

    def name_of(self, index: int) -> str:
        """What pair `index` is called."""
        return self.pairs[index].name


def read_pairs_csv(path: Path, *, depth_scale: float | None = None, may_be_empty: bool = False) -> PairList:
    """Pairs of a CSV file: `rgb_path,depth_path,depth_scale[,fx,fy,cx,cy]`, paths relative to it.

    Other columns are ignored. The principal point is for evaluation; without it the axis meets the middle.

    depth_scale: stored units per metre where a line does not say.

    Raises UsageError where it is no such file, naming the line.
    """
    if depth_scale is not None and not 0 < depth_scale < math.inf:
        raise UsageError(f"--depth-scale {depth_scale:g} is no positive number", hint="Write 1000 for millimetres.")
    needed = CSV_COLUMNS if depth_scale is None else CSV_COLUMNS[:2]
    or_asked = "; without the last, use --depth-scale" if depth_scale is None else ""
    hint = f"The first line must name {','.join(needed)}{or_asked}. It may name {','.join(_CSV_CAMERA)} too."
    rows = read_rows(path, needed=needed, paths=CSV_COLUMNS[:2], hint=hint, may_be_empty=may_be_empty)
    pairs = tuple(_pair_of(path, row, depth_scale) for row in rows)
    scaled = "" if depth_scale is None else f", {depth_scale:g} units per metre"
    own = frozenset(pair.depth_scale if row.get("depth_scale") else None for pair, row in zip(pairs, rows, strict=True))
    return PairList(f"{path}{scaled}", pairs, own_scales=own)


def _pair_of(path: Path, row: Row, depth_scale: float | None) -> Pair:
    rgb, told = row.get("rgb_path"), row.get("depth_scale")
    scale = depth_scale if depth_scale is not None and not told else _positive(row, "depth_scale", _SCALE_HINT)
    told_focals = [_positive(row, column, _FOCAL_HINT) for column in ("fx", "fy") if row.get(column)]
    focal = math.sqrt(told_focals[0] * told_focals[-1]) if told_focals else None  # one of them is both
    return Pair(
        path.parent / rgb,
        path.parent / row.get("depth_path"),
        scale,
        focal,
        Path(rgb).as_posix(),
        fx_to_fy=told_focals[0] / told_focals[-1] if told_focals else 1.0,
        axis_px=(_coordinate(row, "cx"), _coordinate(row, "cy")),
    )


def _positive(row: Row, column: str, hint: str) -> float:
    value = _number(row, column)
    if not 0 < value < math.inf:
        message = f"{row.where}: {column} {row.get(column)!r} is no positive number"
        raise UsageError(message, hint=hint, code=ErrorCode.DATA)
    return value


def _coordinate(row: Row, column: str) -> float | None:
    """A coordinate of the principal point, which may be outside of a picture that was cut; None where it is empty."""
    if not row.get(column):
        return None
    value = _number(row, column)
    if not math.isfinite(value):
        message = f"{row.where}: {column} {row.get(column)!r} is no number"
        raise UsageError(message, hint=_AXIS_HINT, code=ErrorCode.DATA)
    return value


def _number(row: Row, column: str) -> float:
    """A cell as a number, nan where it is none."""
    try:
        return float(row.get(column))
    except ValueError:
        return math.nan
