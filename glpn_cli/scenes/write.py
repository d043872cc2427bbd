"""Scenes as ordinary files: pictures, 16-bit depth, a list of pairs with intrinsics, a contact sheet.

    OUT/scenes.json        seed, size and generator, so that a later run can continue
    OUT/rgb/000000.png     8-bit colour
    OUT/depth/000000.png   16-bit, millimetres, with our record
    OUT/pairs.csv          rgb_path,depth_path,depth_scale,fx,fy,cx,cy
    OUT/contact_sheet.png  on request

Walks have a folder each, OUT/0000/rgb/000000.png and so on, one list with the pose of every frame, and for tools that
read the TUM RGB-D benchmark OUT/0000/groundtruth.txt: seconds, position and quaternion, see `poses`.

The depth of a scene is written after its picture, and both atomically: a scene with a depth is complete.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glpn_cli.atomic_write import probe_writable, write_atomically
from glpn_cli.colormaps import PaintRange, paint
from glpn_cli.depth_files import Record, make_writer, read_depth
from glpn_cli.depth_files.png import decode_png, encode_png
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.poses import POSE_COLUMNS, pose_numbers
from glpn_cli.prediction import DepthKind, DepthMap, Result
from glpn_cli.scenes.processes import render_in_processes
from glpn_cli.scenes.render import GENERATOR, camera_of, render_scene
from glpn_cli.scenes.walk import FRAMES_PER_SECOND, find_poses, render_frame
from glpn_cli.text import size_text

CSV_NAME = "pairs.csv"
_SHEET_NAME = "contact_sheet.png"
_NOTE_NAME = "scenes.json"
_DEPTH_SCALE = 1000.0
_SHEET_LIMIT = 64
_SHEET_COLUMNS = 8
_SHEET_WIDTH = 256
_SHEET_RANGE = PaintRange(0.4, 10.0)
_LEAST_SIDE = 16
_MOST_SIDE = 8192
_AUTO = "auto"


@dataclass(frozen=True)
class ScenePlan:
    """Which scenes to write into a folder.

    count:    number of pictures: of scenes, or of the frames of all walks
    size:     (H, W) of the pictures
    focal_px: of every picture; None varies it
    todo:     indices of the missing scenes
    unlisted: indices from `count` on that an earlier run left in the folder; the list does not name them
    frames:   of every walk; None: the scenes are lone pictures
    """

    folder: Path
    seed: int
    count: int
    size: tuple[int, int]
    focal_px: float | None = None
    todo: tuple[int, ...] = ()
    unlisted: tuple[int, ...] = ()
    frames: int | None = None

    def name(self, part: Literal["rgb", "depth"], index: int) -> str:
        """The path of a scene's picture or of its depth map, in the folder."""
        if self.frames is None:
            return f"{part}/{index:06d}.png"
        walk, frame = divmod(index, self.frames)
        return f"{walk:04d}/{part}/{frame:06d}.png"

    def picture(self, index: int) -> Path:
        """The path of a scene's picture."""
        return self.folder / self.name("rgb", index)

    def depth(self, index: int) -> Path:
        """The path of its depth."""
        return self.folder / self.name("depth", index)

    def is_complete(self, index: int) -> bool:
        """Whether both files of a scene exist."""
        return self.depth(index).is_file() and self.picture(index).is_file()

    def write(self, *, workers: int = 1, done: Callable[[int], object] = int) -> Path:
        """Render the missing scenes on `workers` processes, list all scenes, and return the path of the list.

        done: called with the index of each finished scene, in any order.

        Raises UsageError without numba, OutputError and StoppedError as `write_atomically` does, StoppedError for a
        process that crashes. Finished scenes stay.
        """
        write_atomically(self.folder / _NOTE_NAME, (json.dumps(_note(self), indent=2) + "\n").encode())
        with closing(_render_all(self, workers)) as finished:  # or an interrupted run would leave its processes behind
            for index in finished:
                done(index)
        if self.frames is None:
            rows = [_list_picture(self, index, index) for index in range(self.count)]
        else:
            walks = range(self.count // self.frames)
            rows = [row for walk in walks for row in _list_walk(self, walk, self.frames)]
        listing = self.folder / CSV_NAME
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_atomically(listing, text.getvalue().encode())
        return listing

    def write_contact_sheet(self) -> Path:
        """Write a sheet of the first scenes, each picture above its depth (warm is near, 0.4 to 10 m); its path."""
        count = min(self.count, _SHEET_LIMIT)
        height = round(_SHEET_WIDTH * self.size[0] / self.size[1])
        columns = min(_SHEET_COLUMNS, count)
        rows = -(-count // columns)
        sheet = np.zeros((rows * 2 * height, columns * _SHEET_WIDTH, 3), np.uint8)
        ys = (np.arange(height) * self.size[0]) // height
        xs = (np.arange(_SHEET_WIDTH) * self.size[1]) // _SHEET_WIDTH
        for index in range(count):
            picture, _ = decode_png(self.picture(index).read_bytes())
            depth = read_depth(self.depth(index)).depth
            top, left = (index // columns) * 2 * height, (index % columns) * _SHEET_WIDTH
            both = (picture[ys][:, xs], paint(depth, range=_SHEET_RANGE)[ys][:, xs])
            sheet[top : top + 2 * height, left : left + _SHEET_WIDTH] = np.concatenate(both)
        path = self.folder / _SHEET_NAME
        # Our record keeps the sheet out of later scans of the folder.
        record = Record(format="color", map="color", kind=DepthKind.METRIC, source=CSV_NAME)
        write_atomically(path, encode_png(sheet, text=record.to_text()))
        return path


@dataclass(frozen=True)
class _Rendered:
    """A rendered picture as the source of a depth file."""

    name: str
    colors: NDArray[np.uint8]

    def read_colors(self) -> NDArray[np.uint8]:
        return self.colors


def plan_scenes(
    folder: Path,
    *,
    count: int,
    seed: int,
    size: tuple[int, int] = (192, 256),
    focal_px: float | None = None,
    frames: int | None = None,
    overwrite: bool = False,
) -> ScenePlan:
    """Find the missing scenes of a folder. Writes nothing but a probe.

    count:    of scenes, or of walks where `frames` are given.
    focal_px: of every picture; None varies it.
    frames:   of every walk; None: a scene is one picture.

    Raises UsageError for a folder that holds other scenes or other files or cannot be written, and for impossible
    numbers.
    """
    if count < 1:
        raise UsageError(f"--count {count} makes no sense", hint="Ask for 1 scene or more.")
    if seed < 0:
        raise UsageError(f"--seed {seed} makes no sense", hint="Seeds are 0 or more.")
    if not all(_LEAST_SIDE <= side <= _MOST_SIDE for side in size):
        wrong = "large" if max(size) > _MOST_SIDE else "small"
        raise UsageError(
            f"{size_text(size)} is too {wrong} for a scene",
            hint=f"Sides go from {_LEAST_SIDE} to {_MOST_SIDE} pixels.",
        )
    plan = ScenePlan(folder, seed, count * (frames or 1), size, focal_px, frames=frames)
    if foreign := _find_foreign(plan):
        raise UsageError(f"{str(folder)!r} {foreign}", hint="Choose another folder with -o.", code=ErrorCode.EXISTS)
    probe_writable(folder)
    todo = tuple(i for i in range(plan.count) if overwrite or not plan.is_complete(i))
    return replace(plan, todo=todo, unlisted=_find_unlisted(plan))


def _find_foreign(plan: ScenePlan) -> str | None:
    """Words on what the folder holds that is not of this plan; None where nothing is in its way."""
    wanted = _note(plan)
    note = plan.folder / _NOTE_NAME
    if not note.is_file():
        existing = [name for name in ("rgb", "depth", CSV_NAME, "0000") if (plan.folder / name).exists()]
        return f"has {existing[0]!r} and no {_NOTE_NAME}: these are not our scenes" if existing else None
    found = _read_note(note)
    differing = [key for key in {**wanted, "walk": None} if found.get(key) != wanted.get(key)]
    differences = ", ".join(f"{key} {found.get(key)!r} instead of {wanted.get(key)!r}" for key in differing)
    return f"holds other scenes: {differences}" if differing else None


def _find_unlisted(plan: ScenePlan) -> tuple[int, ...]:
    later = []
    for path in plan.folder.glob("depth/*.png" if plan.frames is None else "*/depth/*.png"):
        walk = "0" if plan.frames is None else path.parent.parent.name
        if walk.isdecimal() and path.stem.isdecimal():
            later.append(int(walk) * (plan.frames or 0) + int(path.stem))
    return tuple(index for index in sorted(later) if index >= plan.count and plan.is_complete(index))


def _note(plan: ScenePlan) -> dict[str, int | str]:
    return {
        "seed": plan.seed,
        "size": size_text(plan.size),
        "generator": GENERATOR,
        "focal": _AUTO if plan.focal_px is None else f"{plan.focal_px:.6g}px",
        **({} if plan.frames is None else {"walk": plan.frames}),
    }


def _read_note(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    return {"focal": _AUTO, **found} if isinstance(found, dict) else {}  # early folders have no focal length


def _render_all(plan: ScenePlan, workers: int) -> Generator[int, None, None]:
    """Render the missing scenes; the first one in this process, so that kernels are compiled only once."""
    if not plan.todo:
        return
    first, rest = plan.todo[0], plan.todo[1:]
    yield _write_scene(plan, first)
    if workers <= 1 or len(rest) < 2:
        for index in rest:
            yield _write_scene(plan, index)
        return
    yield from render_in_processes(partial(_write_scene, plan), rest, min(workers, len(rest)))


def _write_scene(plan: ScenePlan, index: int) -> int:
    if plan.frames is None:
        scene = render_scene(plan.seed, index, size=plan.size, focal_px=plan.focal_px)
    else:
        walk, frame = divmod(index, plan.frames)
        scene = render_frame(plan.seed, walk, frame, frames=plan.frames, size=plan.size, focal_px=plan.focal_px)
    depth = DepthMap(scene.depth, DepthKind.METRIC)
    writer = make_writer("png16", kind=DepthKind.METRIC, limit_m=None, depth_scale=_DEPTH_SCALE)
    source = _Rendered(plan.name("rgb", index), scene.rgb)
    write_atomically(plan.picture(index), encode_png(scene.rgb, text={}))
    write_atomically(plan.depth(index), writer.encode(Result(depth, source, intrinsics=scene.intrinsics)).data)
    return index


def _list_walk(plan: ScenePlan, walk: int, frames: int) -> Iterator[dict[str, str]]:
    """The lines of a walk's frames, with the pose of each; its trajectory is written beside them."""
    poses = find_poses(plan.seed, walk, frames=frames, size=plan.size, focal_px=plan.focal_px)
    lines = ["# time " + " ".join(POSE_COLUMNS)]
    for frame, pose in enumerate(poses):
        numbers = zip(POSE_COLUMNS, pose_numbers(pose.matrix()), strict=True)
        own = {"time": f"{frame / FRAMES_PER_SECOND:.6f}"} | {key: f"{number:.9f}" for key, number in numbers}
        lines.append(" ".join(own.values()))
        yield {**_list_picture(plan, walk * frames + frame, walk), "clip": f"{walk:04d}", **own}
    write_atomically(plan.folder / f"{walk:04d}" / "groundtruth.txt", "\n".join([*lines, ""]).encode())


def _list_picture(plan: ScenePlan, index: int, scene: int) -> dict[str, str]:
    """The line of a picture in the list, by column."""
    camera = asdict(camera_of(plan.seed, scene, size=plan.size, focal_px=plan.focal_px))
    return {
        "rgb_path": plan.name("rgb", index),
        "depth_path": plan.name("depth", index),
        "depth_scale": f"{_DEPTH_SCALE:g}",
        **{key: f"{camera[key]:.6g}" for key in ("fx", "fy", "cx", "cy")},
    }
