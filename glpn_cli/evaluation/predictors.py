"""Predictors of depth that are scored: a model, a folder of stored maps, or a baseline that never looks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glpn_cli.data.samples import Sample, SampleSource
from glpn_cli.depth_files import Record, is_depth_file, read_depth, read_record
from glpn_cli.depth_files.base import read_head
from glpn_cli.errors import ErrorCode, InputError, UsageError, about_file
from glpn_cli.images import Picture, ReadOptions
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline.pairing import DEPTH_EXTENSIONS
from glpn_cli.pipeline.sources import is_made_from, shows_same
from glpn_cli.prediction import DepthKind, DepthMap

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator


class Predictor(ABC):
    """Gives a depth map for a picture.

    name:         for tables
    kind:         the meaning of its numbers
    knows_camera: whether the camera that its metres belong to is known
    """

    name: str
    kind: DepthKind
    knows_camera: bool = False

    @abstractmethod
    def describe(self) -> str:
        """How its maps are made, for a heading."""

    def lens_factor(self, sample: Sample) -> float | None:  # noqa: ARG002 - for those that know their camera
        """What scales its metres to the picture's camera; None where that or its own is not known."""
        return None

    @abstractmethod
    def predict(self, sample: Sample) -> DepthMap:
        """Its map of the picture. Raises InputError where it has none. It must not look at `sample.depth`."""


class ModelPredictor(Predictor):
    """A model with its settings. The constructor loads the weights."""

    def __init__(self, settings: InferenceSettings, *, device: str = "auto", threads: int | None = None) -> None:
        from glpn_cli.predictor import DepthEstimator

        self.settings = settings
        self.name, self.kind = settings.model.name, settings.kind
        self.knows_camera = settings.config.training_focal_px is not None
        self._estimator: DepthEstimator = DepthEstimator(settings, device=device, threads=threads)

    def describe(self) -> str:
        """Precision, size, device and limit."""
        limit = "" if self.settings.limit_m is None else f", to {self.settings.limit_m:g} m"
        tta = "" if self.settings.tta == "none" else f", tta {self.settings.tta}"
        where = f"{self._estimator.precision} on {self._estimator.device}"
        return f"{where}, input size {self.settings.input_size}{tta}{limit}"

    def lens_factor(self, sample: Sample) -> float | None:
        """The ratio of the focal lengths, as `InferenceSettings.lens_factor` has it."""
        return None if sample.focal_px is None else self.settings.lens_factor(sample.focal_px, sample.size)

    def predict(self, sample: Sample) -> DepthMap:
        """Run the network."""
        return self.predict_batch([sample])[0]

    def predict_batch(self, samples: Sequence[Sample]) -> list[DepthMap]:
        """Run the network on several pictures, those of one network size at once. Raises InputError for any of them."""
        return self._estimator.predict_pictures([self._picture(sample) for sample in samples])

    def _picture(self, sample: Sample) -> Picture:
        """The picture as `predict` reads it: large JPEGs are decoded to no more pixels than the network needs."""
        if sample.source is not None and sample.uncut is None:
            enough = self.settings.enough_pixels(sample.size)
            is_large = enough is not None and 2 * enough[0] <= sample.size[0] and 2 * enough[1] <= sample.size[1]
            if is_large and read_head(sample.source.content, 3) == b"\xff\xd8\xff":
                return sample.source.read(at_least=enough)
        return Picture(sample.rgb, sample.size)


class FolderPredictor(Predictor):
    """Maps in a folder: ours are found by the picture that they record, those of others by their name.

    A map belongs to `kitchen/rgb_1.jpg` if it records that source, or is called (below the folder, without extension)
    kitchen/rgb_1, kitchen/rgb_1_depth, kitchen_rgb_1, rgb_1 or rgb_1_depth; the first of these that some file has. Of
    several files of one name those with floats go before PNGs, whose integers are the same depths, rounded. Where
    several pictures are called rgb_1, as KITTI's are in every drive, that name alone finds no map.

    pictures:    names of all pictures that are measured.
    depth_scale: stored units per metre, for integer files that do not say their own.
    kind:        the meaning of maps that do not record it.
    reading:     how, and in which processes, they are decoded.
    Raises UsageError where the folder has no maps.

    bare: the depth maps, by their content, of which the file says neither kind nor unit.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pictures: Iterable[str] = (),
        depth_scale: float | None = None,
        kind: DepthKind = DepthKind.METRIC,
        reading: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.folder = folder
        self.depth_scale = depth_scale
        self._is_scaled = False  # whether a map was, that was read
        self._reading = reading
        self._by_source: dict[str, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._records: dict[Path, Record] = {}
        self._used: set[Path] = set()
        self.bare: list[Path] = []
        stems = Counter(Path(name).stem for name in pictures)
        self._shared = {stem for stem, count in stems.items() if count > 1}
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder", code=ErrorCode.NOT_FOUND)
        paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in DEPTH_EXTENSIONS)
        files = filter(Path.is_file, paths)
        kinds = {found for path in files if (found := self._enter(path, kind)) is not None}
        if not kinds:
            raise UsageError(f"{folder} has no depth maps", code=ErrorCode.NOT_FOUND)
        if len(kinds) > 1:
            raise UsageError(
                f"{folder} holds maps of several kinds: {', '.join(sorted(kinds))}",
                hint="Say with --kind what those hold that do not say themselves, or score each kind apart.",
                code=ErrorCode.DATA,
            )
        self.name, self.kind = str(folder), kinds.pop()

    def describe(self) -> str:
        """The number of maps read (of all, before the first), their formats, and the model where all record one."""
        maps = self._used or {path for paths in self._by_name.values() for path in paths}
        formats = sorted({path.suffix.removeprefix(".").lower() for path in maps})
        scale = f", {self.depth_scale:g} units per metre" if self._is_scaled else ""
        origins = {self._origin(path) for path in maps}
        origin = origins.pop() if len(origins) == 1 else None
        made = "" if origin is None else f", recorded: {origin[0]}"
        return f"{len(maps)} {', '.join(formats)} map{'' if len(maps) == 1 else 's'} from disk{scale}{made}"

    def predict(self, sample: Sample) -> DepthMap:
        """Read the picture's map. Raises InputError where it is missing, ambiguous, unreadable or of other bytes."""
        path = self.find(sample.name)
        read = partial(self._reading.run, read_depth, about="it", max_pixels=self._reading.max_pixels)
        with about_file(path):
            stored = read(path, depth_scale=self.depth_scale, kind=self.kind)
        if sample.source is not None and is_made_from(stored.record, sample.source) is False:
            raise InputError(
                f"{path}: this map was made from another picture than {sample.name} is now",
                hint="Predict the picture again, or compare with the pictures that the maps were made from.",
                code=ErrorCode.DATA,
            )
        if sample.source is not None and not shows_same(stored.record, sample.source):
            raise InputError(
                f"{path}: this map is of another frame or orientation of {sample.name} than the one compared",
                hint="Predict the picture again, without --frame and --orientation.",
                code=ErrorCode.DATA,
            )
        self._used.add(path)
        self._is_scaled |= self.depth_scale is not None and stored.record is None and not stored.is_float
        return stored.depth

    def find(self, name: str) -> Path:
        """The file that is the map of picture `name`. Raises InputError."""
        for candidates, is_alone in self._candidates(name):
            found = self._exactest(candidates)
            if found and is_alone and Path(name).stem in self._shared:
                raise InputError(
                    f"{name} has no map of its own: {found[0].relative_to(self.folder).as_posix()} could be that of "
                    "any picture of this name",
                    hint="Keep the pictures' folders in the maps' names, as kitchen/rgb_1_depth.png.",
                    code=ErrorCode.DATA,
                )
            if len(found) > 1:
                some = ", ".join(path.relative_to(self.folder).as_posix() for path in found[:3])
                raise InputError(
                    f"{name} could be any of {some}",
                    hint="Keep one map of each picture in the folder.",
                    code=ErrorCode.DATA,
                )
            if found:
                return found[0]
        hint = "Predict it too, or name its map like the picture."
        raise InputError(f"{name} has no map in {self.folder}", hint=hint, code=ErrorCode.NOT_FOUND)

    def _exactest(self, candidates: Sequence[Path]) -> Sequence[Path]:
        """The candidates with floats; else files with floats beside them under the same name; else all candidates."""
        beside = (path for each in candidates for path in self._by_name[self._key(each)])
        return _with_floats(candidates) or _with_floats(dict.fromkeys(beside)) or candidates

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def _origin(self, path: Path) -> tuple[str, str] | None:
        """The model with its settings, and its checksum, as the file or one of its name records; else None."""
        records = (self._records.get(each) for each in (path, *self._by_name[self._key(path)]))
        made = next((record.provenance for record in records if record and record.provenance), None)
        if made is None:
            return None
        usual = {"tta": "none", "upsample": "bicubic", "metres": "trained", "calibration": None}
        changed = (f", {key} {value}" for key, normal in usual.items() if (value := getattr(made, key)) != normal)
        return f"{made.model}, {made.precision}, input size {made.input_size}{''.join(changed)}", made.weights_sha256

    def _candidates(self, name: str) -> Iterator[tuple[list[Path], bool]]:
        """Files that may be the map, the likeliest first, and whether only the name without its folders says so."""
        stem, short = os.path.splitext(name)[0], Path(name).stem  # noqa: PTH122 - keeps the folders
        for source in dict.fromkeys((name, Path(name).name)):
            yield self._by_source.get(source, []), source != name
        names = (stem, f"{stem}_depth", stem.replace("/", "_"), "_".join(stem.split("/")[-2:]), short, f"{short}_depth")
        for key in dict.fromkeys(names):
            yield self._by_name.get(key, []), key in (short, f"{short}_depth") and short != stem

    def _enter(self, path: Path, kind: DepthKind) -> DepthKind | None:
        """Enter a file that may be a map (ours, an array, a grey picture of others): its kind; None for any other."""
        try:
            with about_file(path):
                record = read_record(path)
        except InputError:  # told when the map is read
            record, is_map, is_depth = None, True, False
        else:
            is_picture = path.suffix.lower() in (".png", ".tif", ".tiff")
            is_depth = is_depth_file(path)
            is_map = is_depth or (record is None and is_picture)
        if not is_map:
            return None
        self._by_name[self._key(path)].append(path)
        if record is None:
            if is_depth:
                self.bare.append(path)
            return kind
        self._by_source[record.source].append(path)
        self._records[path] = record
        return record.depth_kind


def _with_floats(paths: Iterable[Path]) -> list[Path]:
    """All but PNGs, which hold integers."""
    return [path for path in paths if path.suffix.lower() != ".png"]


@dataclass(frozen=True)
class RowFit(Predictor):
    """The baseline that a model must beat: log depth is a straight line down the rows of every picture.

    top, bottom: metres at the first and the last row.
    """

    name = "row fit"

    top: float
    bottom: float
    kind: DepthKind = DepthKind.METRIC

    def describe(self) -> str:
        """The line."""
        return f"log depth = a + b row, from {self.top:.2f} m at the top to {self.bottom:.2f} m at the bottom"

    def predict(self, sample: Sample) -> DepthMap:
        """The same map for every picture of a size."""
        height, width = sample.size
        column = np.exp(np.linspace(np.log(self.top), np.log(self.bottom), height))
        return DepthMap(np.repeat(column[:, None], width, axis=1).astype(np.float32))

    @classmethod
    def fit(cls, source: SampleSource, *, count: int = 200) -> RowFit:
        """Fit the line to the known depths of the first `count` pictures, every picture counting alike.

        Raises UsageError where none of them can be used.
        """
        moments, right, latest = np.zeros((2, 2)), np.zeros(2), None
        for index in range(min(count, count if source.length is None else source.length)):
            try:
                depth = source.read(index).depth
            except InputError as error:
                latest = error
                continue
            known = depth > 0
            row = np.linspace(0, 1, depth.shape[0])[:, None] * np.ones(depth.shape[1])
            design = np.stack([np.ones(known.sum()), row[known]])  # (2, N)
            moments += design @ design.T / known.sum()
            right += design @ np.log(depth[known].astype(np.float64)) / known.sum()
        if not moments.any():
            hint = None if latest is None else f"The last of them: {latest.message}."
            message = f"none of the first {count} pictures of {source.name} can be used"
            raise UsageError(message, hint=hint, code=ErrorCode.DATA)
        offset, slope = np.linalg.lstsq(moments, right, rcond=None)[0]
        return cls(float(np.exp(offset)), float(np.exp(offset + slope)))
