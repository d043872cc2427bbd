"""Opens data by the name that `--data` takes: `scenes:SEED`, `nyu:DIR`, `kitti:DIR`, or a CSV of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from glpn_cli.data.pairs import Pair, PairList
from glpn_cli.data.rows import Row, read_list_text
from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.images import ReadOptions

_SCENES_TO_TEST = 200
_FOLDERS_OF_OTHERS = {"train": {"test", "val"}, "test": {"train", "sync"}}
"""Split -> folders whose files belong to the other split, for data without a list; NYU's `sync` is for training."""
_WRITE_A_LIST = "List its pictures there (rgb_path,depth_path,depth_scale), or name nyu:DIR or kitti:DIR."
_FOCAL = "focal length"
_FOCAL_HINT = "Write it in pixels of the picture, or leave it out."


@dataclass(frozen=True)
class SceneStream:
    """Rooms that are rendered when they are read: scene i of stream `seed`.

    length: the number of scenes; None if they never end.
    size:   (height, width) of the pictures.
    """

    seed: int
    length: int | None = None
    size: tuple[int, int] = (192, 256)

    @property
    def name(self) -> str:
        """The name that `--data` takes."""
        return f"scenes:{self.seed}" + ("" if self.length is None else f":{self.length}")

    def name_of(self, index: int) -> str:
        """The name of scene `index`."""
        return f"scene_{index:06d}.png"

    def read(self, index: int) -> Sample:
        """Render scene `index`."""
        from glpn_cli.scenes import render_scene

        scene = render_scene(self.seed, index, size=self.size)
        return Sample(scene.rgb, scene.depth, scene.intrinsics.fx, self.name_of(index), intrinsics=scene.intrinsics)


def open_source(
    spec: str,
    *,
    split: str,
    depth_scale: float | None = None,
    may_be_empty: bool = False,
    reading: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> SampleSource:
    """Open data by its name.

    split:        "train" or "test"; a test of scenes without a count has 200.
    depth_scale:  stored units per metre, for lines of a CSV without their own.
    may_be_empty: whether a CSV may list nothing.
    reading:      how, and in which processes, files are decoded.

    Raises UsageError for an impossible name, and for data that is missing.
    """
    word, colon, rest = spec.partition(":")
    if colon and word == "scenes":
        return _scenes(spec, rest, split)
    if colon and word in ("nyu", "kitti"):
        layout = NYU if word == "nyu" else KITTI
        return replace(_read_layout(layout, Path(rest).expanduser(), split=split), reading=reading)
    path = Path(spec).expanduser()
    is_folder = path.is_dir()
    if is_folder:
        path = path / "pairs.csv"
    if not path.is_file():
        raise UsageError(
            f"folder {spec!r} has no pairs.csv" if is_folder else f"there is no data {spec!r}",
            hint=_WRITE_A_LIST
            if is_folder
            else "Use a CSV of rgb_path,depth_path,depth_scale, a folder with a pairs.csv, nyu:DIR, kitti:DIR, "
            "or scenes:SEED[:COUNT].",
            code=ErrorCode.NOT_FOUND,
        )
    return replace(PairList.read_csv(path, depth_scale=depth_scale, may_be_empty=may_be_empty), reading=reading)


def is_picture_folder(spec: str) -> bool:
    """Whether data are a folder of pictures without depth: one without a pairs.csv."""
    path = Path(spec).expanduser()
    return path.is_dir() and not (path / "pairs.csv").is_file()


def asks_for_scale(spec: str) -> bool:
    """Whether `open_source` uses `depth_scale`: only a CSV may leave it to the user."""
    return spec.partition(":")[0] not in ("scenes", "nyu", "kitti")


def check_scale(sources: Iterable[SampleSource], depth_scale: float | None) -> None:
    """Raise UsageError for a scale that no line of the lists needs and some line contradicts."""
    own = {scale for source in sources if isinstance(source, PairList) for scale in source.own_scales}
    others = sorted(scale for scale in own if scale is not None and scale != depth_scale)
    if depth_scale is not None and None not in own and others:
        raise UsageError(
            f"--depth-scale {depth_scale:g} contradicts the data, where every line says its own depth_scale: "
            f"{', '.join(f'{scale:g}' for scale in others)}",
            hint="Leave --depth-scale out, or correct the column depth_scale.",
        )


def _scenes(spec: str, rest: str, split: str) -> SceneStream:
    seed, _, count = rest.partition(":")
    if not seed.isascii() or not seed.isdigit() or (count and not (count.isascii() and count.isdigit() and int(count))):
        raise UsageError(f"{spec!r} names no scenes", hint="Use scenes:SEED or scenes:SEED:COUNT, whole numbers.")
    stream = SceneStream(int(seed), int(count) if count else None)
    return replace(stream, length=_SCENES_TO_TEST) if split == "test" and stream.length is None else stream


@dataclass(frozen=True)
class Layout:
    """Where the files of a data set may be below the folder that a user names: as BTS and GLPN's author have them.

    lists:       names of list files, searched in `list_folders`; {split} is train or test.
    roots:       folders that the paths of a list may be relative to, with {split} too.
    depth_scale: stored units per metre.
    scan:        finds (picture, depth) below a root, for data without a list.
    """

    name: str
    lists: tuple[str, ...]
    list_folders: tuple[str, ...]
    roots: tuple[str, ...]
    depth_scale: float
    focal_px: float
    scan: Callable[[Path], list[tuple[Path, Path]]]
    is_kitti: bool = False


def _read_layout(layout: Layout, folder: Path, *, split: str) -> PairList:
    """List the pairs of one split. Raises UsageError if the folder has neither a list nor pictures with depth."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", code=ErrorCode.NOT_FOUND)
    places = (folder / below / name.format(split=split) for below in layout.list_folders for name in layout.lists)
    found = next((place for place in places if place.is_file()), None)
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


def _read_list(layout: Layout, folder: Path, path: Path, split: str) -> list[Pair]:
    """Read a list with a line for each picture: `PICTURE DEPTH [FOCAL]`.

    Paths may begin with a slash, and `None` is a depth that was never measured. The pictures and depths of KITTI often
    lie in two trees, so each has its own root.
    """
    try:
        lines = read_list_text(path).splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: it is no text", code=ErrorCode.DATA) from error
    rows: list[Row] = []
    for number, words in enumerate(map(str.split, lines), 1):
        if len(words) not in (0, 2, 3):
            raise UsageError(
                f"{path} line {number}: {' '.join(words)!r} is not PICTURE DEPTH FOCAL",
                hint="Write two paths without spaces and, where it is known, the focal length in pixels.",
                code=ErrorCode.DATA,
            )
        if words and words[1] != "None":
            values = dict(
                zip(("picture", "depth", _FOCAL), (*(w.lstrip("/") for w in words[:2]), *words[2:]), strict=False)
            )
            rows.append(Row(f"{path} line {number}", values))
    roots = [folder / below.format(split=split) for below in layout.roots]
    rgb_root, depth_root = (_root_of(roots, [row.get(half) for row in rows]) for half in ("picture", "depth"))
    return [
        Pair(
            rgb_root / row.get("picture"),
            depth_root / row.get("depth"),
            layout.depth_scale,
            row.positive(_FOCAL, hint=_FOCAL_HINT) if row.get(_FOCAL) else None,
            row.get("picture"),
            layout.is_kitti,
        )
        for row in rows
    ]


def _root_of(roots: list[Path], names: list[str]) -> Path:
    """The first root that has one of the list's first files, or else the first root."""
    return next((root for name in names[:20] for root in roots if (root / name).is_file()), roots[0])


def _scan(layout: Layout, folder: Path, split: str) -> list[Pair]:
    for below in layout.roots:
        root = folder / below.format(split=split)
        if not root.is_dir():
            continue
        scanned = layout.scan(root / split if (root / split).is_dir() else root)
        found = [pair for pair in scanned if _FOLDERS_OF_OTHERS[split].isdisjoint(pair[1].relative_to(folder).parts)]
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
        candidates = (depth.with_name(f"rgb_{number}{extension}") for extension in (".jpg", ".png"))
        if rgb := next(filter(Path.is_file, candidates), None):
            found.append((rgb, depth))
    return found


def _scan_kitti(root: Path) -> list[tuple[Path, Path]]:
    """DRIVE/proj_depth/groundtruth/image_02/N.png, and DATE/DRIVE/image_02/data/N.png below the same folder."""
    found = []
    base = root.parent if root.name in _FOLDERS_OF_OTHERS else root
    for depth in sorted(root.glob("**/proj_depth/groundtruth/image_0[23]/*.png")):
        drive, camera = depth.parents[3].name, depth.parent.name
        below = Path(drive[:10], drive, camera, "data", depth.name)
        pictures = (folder / name / below for folder in (base, base.parent) for name in ("", "raw", "kitti_raw"))
        candidates = (path for picture in pictures for path in (picture, picture.with_suffix(".jpg")))
        if rgb := next(filter(Path.is_file, candidates), None):
            found.append((rgb, depth))
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
