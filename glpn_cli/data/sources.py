"""What `--data` may name, brought to one form: `scenes:SEED`, `nyu:DIR`, `kitti:DIR`, or a CSV of pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from glpn_cli.data.layouts import KITTI, NYU, read_layout
from glpn_cli.data.pairs import PairList, read_pairs_csv
from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.images import ReadOptions

_SCENES_TO_TEST = 200


@dataclass(frozen=True)
class SceneStream:
    """Rendered rooms that never touch the disk: scene i of stream `seed`.

    count: how many there are; None for all that anyone asks for.
    size:  (height, width) of the pictures.
    """

    seed: int
    count: int | None = None
    size: tuple[int, int] = (192, 256)

    @property
    def name(self) -> str:
        """As it is typed."""
        return f"scenes:{self.seed}" + ("" if self.count is None else f":{self.count}")

    @property
    def length(self) -> int | None:
        """How many there are."""
        return self.count

    def name_of(self, index: int) -> str:
        """What scene `index` is called."""
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
    """Open what `--data` names.

    split:        "train" or "test", where the data has both; a test of scenes has an end.
    depth_scale:  stored units per metre, for a CSV that does not say.
    may_be_empty: whether a CSV may list nothing.
    reading:      how, and in which processes, files are decoded.

    Raises UsageError where it makes no sense or is not there.
    """
    word, colon, rest = spec.partition(":")
    if colon and word == "scenes":
        return _scenes(spec, rest, split)
    if colon and word in ("nyu", "kitti"):
        layout = NYU if word == "nyu" else KITTI
        return replace(read_layout(layout, Path(rest).expanduser(), split=split), reading=reading)
    path = Path(spec).expanduser()
    if path.is_dir():
        path = path / "pairs.csv"
    if not path.is_file():
        raise UsageError(
            f"there is no data {spec!r}",
            hint="Use a CSV of rgb_path,depth_path,depth_scale, or a folder, nyu:DIR, kitti:DIR, scenes:SEED[:COUNT].",
            code=ErrorCode.NOT_FOUND,
        )
    return replace(read_pairs_csv(path, depth_scale=depth_scale, may_be_empty=may_be_empty), reading=reading)


def asks_for_scale(spec: str) -> bool:
    """Whether `open_source` looks at `depth_scale`: a CSV may leave it to the user, everything else says its own."""
    return spec.partition(":")[0] not in ("scenes", "nyu", "kitti")


def check_scale(sources: Iterable[SampleSource], depth_scale: float | None) -> None:
    """Refuse a scale that no line of the lists needs, and some line contradicts: one of both is wrong (UsageError)."""
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
    return replace(stream, count=_SCENES_TO_TEST) if split == "test" and stream.count is None else stream
