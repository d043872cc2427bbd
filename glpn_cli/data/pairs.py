"""Pictures on disk with depth or labels for their pixels, listed in CSV files.

A pair is checked when it is read, not when it is listed: the train lists of NYU and KITTI name some 24,000 files,
often on a slow disk, and a missing file costs only its pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from glpn_cli.data.rows import Row, has_column, read_rows
from glpn_cli.data.samples import Sample
from glpn_cli.depth_files import StoredDepth, read_depth, read_record
from glpn_cli.depth_files.base import read_contents
from glpn_cli.depth_files.labels import read_labels
from glpn_cli.depth_files.png import SIGNATURE, decode_png
from glpn_cli.errors import ErrorCode, InputError, UsageError, about_file
from glpn_cli.images import AtLeast, ImageSource, Picture, ReadOptions, read_rgb
from glpn_cli.poses import POSE_COLUMNS, pose_of
from glpn_cli.prediction import Intrinsics
from glpn_cli.text import size_text

DEPTH_COLUMNS = ("rgb_path", "depth_path", "depth_scale")
CAMERA_COLUMNS = ("fx", "fy", "cx", "cy")
LABEL_COLUMNS = ("rgb_path", "label_path")
_NO_LABEL = 255
"""The stored 8-bit number of a pixel without a label."""
_SCALE_HINT = "The depth_scale is stored units per metre: 1000 for millimetres, 256 for KITTI, 1 for metres."
_FOCAL_HINT = "Write the focal length in pixels of the picture, or leave both fx and fy empty."
_AXIS_HINT = "Write where the optical axis meets the picture, in pixels from 0, or leave both cx and cy empty."

_LEAST_MEDIAN_M, _MOST_MEDIAN_M = 0.02, 300.0
"""Beyond these medians no camera has measured the depths: the scale is wrong."""

_Half = TypeVar("_Half")

_DEFAULT = ReadOptions()


@dataclass(frozen=True)
class Pair:
    """One picture and the file with its depth.

    depth_scale: stored units per metre, for integer files that do not say their own: 1000 is millimetres.
    focal_px:    focal length in pixels of the picture as stored, None if unknown.
    name:        for results and messages, with `/` between folders.
    is_kitti:    cut to the benchmark's 352x1216 when read.
    fx_to_fy:    fx over fy; 1 where the pixels are square.
    axis_px:     (cx, cy), None for the middle of the picture.
    pose:        the numbers of `poses.POSE_COLUMNS`, None if unknown.
    clip:        the film that the picture is a frame of.
    """

    rgb_path: Path
    depth_path: Path
    depth_scale: float
    focal_px: float | None = None
    name: str = ""
    is_kitti: bool = False
    fx_to_fy: float = 1.0
    axis_px: tuple[float | None, float | None] = (None, None)
    pose: tuple[float, ...] | None = None
    clip: str = ""

    def read(self, reading: ReadOptions = _DEFAULT) -> Sample:
        """Read the upright picture with its depth in metres, 0 where nothing was measured.

        reading: how, and in which processes, both are decoded.

        Raises InputError for a half that is missing or unreadable, for halves of different size, for depth without a
        valid pixel, for a scale that contradicts the file's own record, and for depths that only a wrong scale gives.
        """
        rgb = self._half(self.rgb_path, lambda path: read_rgb(path, reading).rgb, "picture")
        read = partial(reading.run, read_depth, about="it", max_pixels=reading.max_pixels, depth_scale=self.depth_scale)
        stored = self._half(self.depth_path, read, "depth")
        self._check_scale(stored)
        depth = stored.depth
        if not depth.kind.is_metric:
            raise InputError(
                f"{self.depth_path}: {depth.kind.value} is no depth in metres",
                hint="Name a file of measured depth, in metres along the camera's axis.",
                code=ErrorCode.DATA,
            )
        _check_sizes(self.name, rgb.shape[:2], depth.size, "depth")
        known = np.where(np.isfinite(depth.values), depth.values, np.float32(0))
        if depth.valid is not None:
            known = np.where(depth.valid, known, np.float32(0))
        name = self.name or self.rgb_path.name
        source = ImageSource(self.rgb_path, name, str(self.rgb_path), options=reading)
        camera = self._camera(depth.size)
        pose = None if self.pose is None else pose_of(self.pose)
        sample = Sample(
            rgb, known, self.focal_px, self.name, source=source, intrinsics=camera, pose=pose, clip=self.clip
        )
        if self.is_kitti:
            sample = sample.kb_cropped()
        self._check_depth(sample.depth, stored)
        return sample

    def _camera(self, size: tuple[int, int]) -> Intrinsics | None:
        """The camera of the whole picture of (H, W); None if unknown."""
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

    def _half(self, path: Path, read: Callable[[Path], _Half], what: str) -> _Half:
        with about_file(path):
            is_there = path.is_file()
        if not is_there:
            raise InputError(f"{self.name}: its {what} {path} is missing", code=ErrorCode.NOT_FOUND)
        with about_file(path):
            return read(path)

    def _check_scale(self, stored: StoredDepth) -> None:
        own = None if stored.record is None else stored.record.depth_scale
        if own is not None and not math.isclose(own, self.depth_scale, rel_tol=1e-5):  # records have six digits
            raise InputError(
                f"{self.depth_path}: its own record says {own:g} units per metre, and its depth_scale is said to be "
                f"{self.depth_scale:g}",
                hint="Correct the depth_scale of its line; glpn inspect shows what a depth file says of itself.",
                code=ErrorCode.DATA,
            )
        if stored.is_float and self.depth_scale != 1:
            raise InputError(
                f"{self.depth_path}: a file of floats is read as metres, and its depth_scale is said to be "
                f"{self.depth_scale:g}",
                hint="Write 1 if they are metres; if not, divide them until they are.",
                code=ErrorCode.DATA,
            )

    def _check_depth(self, depth: NDArray[np.float32], stored: StoredDepth) -> None:
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
            why, hint = self._explain_scale(stored)
            raise InputError(
                f"{self.name}: half of its depths lie {side} {median:.3g} m {why}", hint=hint, code=ErrorCode.RANGE
            )

    def _explain_scale(self, stored: StoredDepth) -> tuple[str, str]:
        """Where the scale of its depth comes from, and how to correct it."""
        if stored.record is not None and stored.record.depth_scale is not None:
            return f"with the scale {stored.record.depth_scale:g} of its own record", "Write the depth file again."
        if stored.record is not None or stored.is_float:
            hint = "Divide its numbers until they are metres, or store them as integers with their depth_scale."
            return "(a file of floats is read as metres)", hint
        return f"with depth_scale {self.depth_scale:g}", _SCALE_HINT


@dataclass(frozen=True)
class PairList:
    """Pairs in the order of their list; a source of samples for training.

    reading:    how, and in which processes, they are decoded.
    focal_hint: how to add missing focal lengths.
    own_scales: the values in a CSV's column depth_scale, None for lines that leave it to the user.
    """

    name: str
    pairs: tuple[Pair, ...]
    reading: ReadOptions = _DEFAULT
    focal_hint: str = "Add the columns fx,fy to the CSV."
    own_scales: frozenset[float | None] = frozenset()

    @classmethod
    def read_csv(cls, path: Path, *, depth_scale: float | None = None, may_be_empty: bool = False) -> PairList:
        """Read pairs from a CSV file: `rgb_path,depth_path,depth_scale[,fx,fy,cx,cy]`, paths relative to it.

        Other columns are ignored. The principal point is for evaluation; without it the axis meets the middle. Frames
        of films may name their film in `clip`, and their pose in `tx,ty,tz,qx,qy,qz,qw`.

        depth_scale: stored units per metre for lines without their own.

        Raises UsageError for any other file, naming the line.
        """
        if depth_scale is not None and not 0 < depth_scale < math.inf:
            raise UsageError(f"--depth-scale {depth_scale:g} is no positive number", hint="Write 1000 for millimetres.")
        needed = DEPTH_COLUMNS if depth_scale is None else DEPTH_COLUMNS[:2]
        or_asked = "; without the last, use --depth-scale" if depth_scale is None else ""
        hint = f"The first line must name {','.join(needed)}{or_asked}. It may name {','.join(CAMERA_COLUMNS)} too."
        rows = read_rows(path, needed=needed, paths=DEPTH_COLUMNS[:2], hint=hint, may_be_empty=may_be_empty)
        pairs = tuple(_depth_pair(path, row, depth_scale) for row in rows)
        scaled = "" if depth_scale is None else f", {depth_scale:g} units per metre"
        own = frozenset(
            pair.depth_scale if row.get("depth_scale") else None for pair, row in zip(pairs, rows, strict=True)
        )
        return cls(f"{path}{scaled}", pairs, own_scales=own)

    @property
    def length(self) -> int:
        """The number of pairs."""
        return len(self.pairs)

    def read(self, index: int) -> Sample:
        """Read pair `index`; see `Pair.read`."""
        return self.pairs[index].read(self.reading)

    def name_of(self, index: int) -> str:
        """The name of pair `index`."""
        return self.pairs[index].name


def _depth_pair(path: Path, row: Row, depth_scale: float | None) -> Pair:
    rgb = row.get("rgb_path")
    scale = depth_scale
    if scale is None or row.get("depth_scale"):
        scale = row.positive("depth_scale", hint=_SCALE_HINT)
    focals = [row.positive(column, hint=_FOCAL_HINT) for column in ("fx", "fy") if row.get(column)]
    focal = math.sqrt(focals[0] * focals[-1]) if focals else None  # one alone is both
    fx_to_fy, axis = (focals[0] / focals[-1] if focals else 1.0), (_coordinate(row, "cx"), _coordinate(row, "cy"))
    rgb_path, depth_path = path.parent / rgb, path.parent / row.get("depth_path")
    return Pair(
        rgb_path,
        depth_path,
        scale,
        focal,
        Path(rgb).as_posix(),
        fx_to_fy=fx_to_fy,
        axis_px=axis,
        pose=_pose(row),
        clip=row.get("clip"),
    )


def _pose(row: Row) -> tuple[float, ...] | None:
    """Read where the camera stands; None if the cells are empty."""
    if not any(row.get(column) for column in POSE_COLUMNS):
        return None
    numbers = tuple(row.number(column) for column in POSE_COLUMNS)
    try:
        pose_of(numbers)
    except InputError as error:
        raise UsageError(f"{row.where}: {error.message}", hint=error.hint, code=ErrorCode.DATA) from error
    return numbers


def _coordinate(row: Row, column: str) -> float | None:
    """Read a coordinate of the principal point, which may lie outside of a cut picture; None if the cell is empty."""
    if not row.get(column):
        return None
    value = row.number(column)
    if not math.isfinite(value):
        message = f"{row.where}: {column} {row.get(column)!r} is no number"
        raise UsageError(message, hint=_AXIS_HINT, code=ErrorCode.DATA)
    return value


@dataclass(frozen=True)
class LabelPair:
    """A picture and its labels.

    first_label: the stored number that means label 0; smaller ones mean none, as does 255 (ADE20K's is 1).
    name:        for messages.
    """

    rgb_path: Path
    label_path: Path
    first_label: int = 0
    name: str = ""

    def read(
        self, count: int, reading: ReadOptions = _DEFAULT, *, at_least: AtLeast | None = None
    ) -> tuple[Picture, NDArray[np.int64]]:
        """Read the upright picture, and one of `count` labels for every pixel, int64 (H, W), -1 where there is none.

        reading:  how, and in which processes, both are decoded.
        at_least: how few pixels of the picture will do, as in `read_rgb`.

        Raises InputError for a half that is missing or unreadable, and for halves of different size.
        """
        picture = read_rgb(self.rgb_path, reading, at_least=at_least)
        with about_file(self.label_path):
            stored = reading.run(_read_stored_labels, self.label_path, reading.max_pixels, about="it")
        _check_sizes(self.name, picture.full_size, stored.shape, "labels")
        labels = stored.astype(np.int64) - self.first_label
        is_none = stored == _NO_LABEL if stored.dtype.itemsize == 1 else np.zeros(stored.shape, np.bool_)
        return picture, np.where((labels >= 0) & (labels < count) & ~is_none, labels, -1)


def _read_stored_labels(path: Path, max_pixels: int) -> NDArray[Any]:
    """Read the numbers of a grey or palette PNG, or of our own label file (-1 is none). Raises InputError."""
    if read_record(path) is not None:
        stored = read_labels(path, max_pixels=max_pixels)
        labels = stored.labels.astype(np.int64)
        return labels if stored.valid is None else np.where(stored.valid, labels, -1)
    data = read_contents(path, max_pixels=max_pixels)
    if not data.startswith(SIGNATURE):
        raise InputError("it is no PNG file")
    numbers, _ = decode_png(data, takes_palette=True, max_pixels=max_pixels)
    if numbers.ndim != 2:
        raise InputError("it holds RGB pixels; labels are grey or palette ones", code=ErrorCode.UNSUPPORTED)
    return numbers


def is_label_data(spec: str) -> bool:
    """Whether `--data` names a CSV file whose first line has a column for labels."""
    return has_column(Path(spec).expanduser(), LABEL_COLUMNS[1])


def read_label_pairs(path: Path, *, may_be_empty: bool = False) -> tuple[LabelPair, ...]:
    """Read pairs from a CSV file: `rgb_path,label_path[,first_label]`, paths relative to it, other columns ignored.

    Raises UsageError for any other file, naming the line.
    """
    hint = f"For labels the first line must name {','.join(LABEL_COLUMNS)}, and may name first_label."
    rows = read_rows(path, needed=LABEL_COLUMNS, paths=LABEL_COLUMNS, hint=hint, may_be_empty=may_be_empty)
    return tuple(_label_pair(path, row) for row in rows)


def _label_pair(path: Path, row: Row) -> LabelPair:
    rgb, first = row.get("rgb_path"), row.get("first_label") or "0"
    if not (first.isascii() and first.isdigit()):
        raise UsageError(f"{row.where}: first_label {first!r} is no whole number", code=ErrorCode.DATA)
    return LabelPair(path.parent / rgb, path.parent / row.get("label_path"), int(first), Path(rgb).as_posix())


def _check_sizes(name: str, picture: tuple[int, ...], other: tuple[int, ...], what: str) -> None:
    if picture != other:
        raise InputError(
            f"{name}: the picture is {size_text(picture)}, its {what} {size_text(other)}",
            hint="Both halves of a pair must have the same size.",
            code=ErrorCode.DATA,
        )
