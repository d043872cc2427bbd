"""NYU Depth v2 and KITTI as people have them on disk: the folders and lists of BTS and of GLPN's author.

Their lists have a line a picture: `PICTURE DEPTH FOCAL`, paths with or without a leading slash, `None` for a depth that
was never measured. The two halves of KITTI usually live in two trees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glpn_cli.data.pairs import Pair, PairList
from glpn_cli.data.rows import read_list_text
from glpn_cli.errors import ErrorCode, UsageError

SPLITS = ("train", "test")
_OF_OTHERS = {"train": {"test", "val"}, "test": {"train", "sync"}}
"""Folders whose files a split without a list leaves to the other one; NYU's `sync` is all for training."""


@dataclass(frozen=True)
class Layout:
    """Where a dataset's files may be below the folder that a user names.

    lists:       names of list files, {split} is train or test; looked for in `list_folders`.
    roots:       folders that a list's paths may be relative to, with {split} too.
    depth_scale: stored units per metre.
    scan:        finds (picture, depth) below a root where there is no list.
    """

    name: str
    lists: tuple[str, ...]
    list_folders: tuple[str, ...]
    roots: tuple[str, ...]
    depth_scale: float
    focal_px: float
    scan: Callable[[Path], list[tuple[Path, Path]]]
    is_kitti: bool = False


def read_layout(layout: Layout, folder: Path, *, split: str) -> PairList:
    """The pairs of one split. Raises UsageError where the folder has neither a list nor pictures with depth."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", code=ErrorCode.NOT_FOUND)
    found = _find_list(layout, folder, split)
    pairs = _scan(layout, folder, split) if found is None else _read_list(layout, folder, found, split)
    if not pairs:
        looked = ", ".join(name.format(split=split) for name in layout.lists)
        raise UsageError(
            f"{folder} has no {split} pictures of {layout.name}: no list ({looked}) and no files in its layout",
            hint="Name the folder that holds them, or list them in a CSV: rgb_path,depth_path,depth_scale.",
            code=ErrorCode.NOT_FOUND,
        )
    hint = "Add the focal length in pixels to the lines of the list: PICTURE DEPTH FOCAL."
    return PairList(f"{layout.name}:{folder}", tuple(pairs), focal_hint=hint)


def _find_list(layout: Layout, folder: Path, split: str) -> Path | None:
    places = (folder / below / name.format(split=split) for below in layout.list_folders for name in layout.lists)
    return next((place for place in places if place.is_file()), None)


def _read_list(layout: Layout, folder: Path, path: Path, split: str) -> list[Pair]:
    try:
        lines = [(number, line.split()) for number, line in enumerate(read_list_text(path).splitlines(), 1)]
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: it is no text", code=ErrorCode.DATA) from error
    for number, words in lines:
        if len(words) not in (0, 2, 3):
            raise UsageError(
                f"{path} line {number}: {' '.join(words)!r} is not PICTURE DEPTH FOCAL",
                hint="Write two paths without spaces and, where it is known, the focal length in pixels.",
                code=ErrorCode.DATA,
            )
    lines = [(number, words) for number, words in lines if words and words[1] != "None"]
    roots = [folder / below.format(split=split) for below in layout.roots]
    rgb_root = _root_of(roots, [words[0] for _, words in lines])
    depth_root = _root_of(roots, [words[1] for _, words in lines])
    return [
        Pair(
            rgb_root / words[0].lstrip("/"),
            depth_root / words[1].lstrip("/"),
            layout.depth_scale,
            _focal(words, path, number),
            words[0].lstrip("/"),
            layout.is_kitti,
        )
        for number, words in lines
    ]


def _focal(words: list[str], path: Path, number: int) -> float | None:
    if len(words) < 3:
        return None
    try:
        focal = float(words[2])
    except ValueError:
        focal = math.nan
    if not 0 < focal < math.inf:
        raise UsageError(
            f"{path} line {number}: focal length {words[2]!r} is no positive number",
            hint="Write it in pixels of the picture, or leave it out.",
            code=ErrorCode.DATA,
        )
    return focal


def _root_of(roots: list[Path], names: list[str]) -> Path:
    """The first root that has one of the list's first files; the first of all where none has."""
    tried = ((root, name.lstrip("/")) for name in names[:20] for root in roots)
    return next((root for root, name in tried if (root / name).is_file()), roots[0])


def _scan(layout: Layout, folder: Path, split: str) -> list[Pair]:
    for below in layout.roots:
        root = folder / below.format(split=split)
        if not root.is_dir():
            continue
        scanned = layout.scan(root / split if (root / split).is_dir() else root)
        found = [pair for pair in scanned if _OF_OTHERS[split].isdisjoint(pair[1].relative_to(folder).parts)]
        if found:
            return [
                Pair(
                    rgb,
                    depth,
                    layout.depth_scale,
                    layout.focal_px,
                    rgb.relative_to(folder if rgb.is_relative_to(folder) else folder.parent).as_posix(),
                    layout.is_kitti,
                )
                for rgb, depth in found
            ]
    return []


def _scan_nyu(root: Path) -> list[tuple[Path, Path]]:
    """SCENE/rgb_00045.jpg beside SCENE/sync_depth_00045.png."""
    found = []
    for depth in sorted(root.glob("*/sync_depth_*.png")):
        number = depth.stem.removeprefix("sync_depth_")
        for extension in (".jpg", ".png"):
            if (rgb := depth.with_name(f"rgb_{number}{extension}")).is_file():
                found.append((rgb, depth))
                break
    return found


def _scan_kitti(root: Path) -> list[tuple[Path, Path]]:
    """DRIVE/proj_depth/groundtruth/image_02/N.png, and DATE/DRIVE/image_02/data/N.png below the same folder."""
    found = []
    base = root.parent if root.name in SPLITS else root
    for depth in sorted(root.glob("**/proj_depth/groundtruth/image_0[23]/*.png")):
        drive, camera = depth.parents[3].name, depth.parent.name
        below = Path(drive[:10], drive, camera, "data", depth.name)
        for place in (
            base,
            base / "raw",
            base / "kitti_raw",
            base.parent,
            base.parent / "raw",
            base.parent / "kitti_raw",
        ):
            rgb = next((p for p in (place / below, (place / below).with_suffix(".jpg")) if p.is_file()), None)
            if rgb is not None:
                found.append((rgb, depth))
                break
    return found


NYU = Layout(
    "nyu",
    lists=("{split}_list.txt", "nyudepthv2_{split}_files_with_gt.txt", "nyu_{split}.txt"),
    list_folders=("", "filenames", "data_splits", "train_test_inputs", "filenames/nyudepthv2", "nyu_depth_v2"),
    roots=(
        *("", "official_splits/{split}", "sync"),
        *("nyu_depth_v2", "nyu_depth_v2/official_splits/{split}", "nyu_depth_v2/sync"),
    ),
    depth_scale=1000,
    focal_px=518.8579,
    scan=_scan_nyu,
)
KITTI = Layout(
    "kitti",
    lists=("{split}_list.txt", "eigen_{split}_files_with_gt.txt", "kitti_eigen_{split}_files_with_gt.txt"),
    list_folders=("", "filenames", "data_splits", "train_test_inputs", "filenames/eigen_benchmark", "kitti"),
    roots=(
        "",
        *("raw", "kitti_raw", "raw_data", "kitti", "kitti_dataset", "input"),
        *("gts", "gt_depth", "data_depth_annotated", "data_depth_annotated/train", "data_depth_annotated/val"),
    ),
    depth_scale=256,
    focal_px=721.5377,
    scan=_scan_kitti,
    is_kitti=True,
)
