"""The pictures that `glpn train` learns from and validates on, and the teacher that gives some of them depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glpn_cli.cli.console import console
from glpn_cli.cli.params import DATA, ModelParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.options import INPUTS, ExplicitOptions, option

if TYPE_CHECKING:
    from glpn_cli.data.samples import Sample, SampleSource
    from glpn_cli.models.settings import InferenceSettings

_MOST_NAMED = 10
"""Pictures that cannot be validated on, by name."""


@dataclass(frozen=True, kw_only=True)
class DataParams:
    """Pictures to learn from, and to validate on."""

    PANEL = INPUTS

    data: list[str] = option(
        "--data DATA",
        ...,
        f"{DATA} Can be given more than once. With --teacher, also folders of pictures.",
    )
    teacher: str | None = option(
        "--teacher MODEL", None, "Give the depth of this model to the pictures of folders without a pairs.csv."
    )
    validation: str | None = option(
        "--val DATA",
        None,
        "Pictures to validate on, never to learn from; named as for --data.",
        show_default="other scenes for scenes, else none",
    )
    val_count: int = option("--val-count N", 64, "Number of these pictures, at most.", min=1)
    depth_scale: float | None = option(
        "--depth-scale UNITS", None, "Units per metre in integer files, where a CSV does not say."
    )

    @property
    def is_kitti(self) -> bool:
        """Whether any of the data are KITTI's."""
        return any(spec.startswith("kitti:") for spec in self.data)

    @property
    def scenes(self) -> str | None:
        """The first of the data that are rendered rooms."""
        return next((spec for spec in self.data if spec.startswith("scenes:")), None)

    def open(self, explicit: ExplicitOptions) -> list[SampleSource]:
        """The pictures with depth to learn from. Raises UsageError, also for options that change nothing."""
        from glpn_cli.data.sources import asks_for_scale, check_scale, is_picture_folder, open_source

        bare = [spec for spec in self.data if is_picture_folder(spec)]
        if bare and self.teacher is None:
            raise UsageError(
                f"folder {bare[0]!r} has no pairs.csv",
                hint="List its pictures and their depth there, or have a model give them depth: --teacher nyu.",
                code=ErrorCode.NOT_FOUND,
            )
        measured = [spec for spec in self.data if spec not in bare]
        sources = [open_source(spec, split="train", depth_scale=self.depth_scale) for spec in measured]
        held_out = [] if self.validation is None else [self.validation]
        others = [open_source(spec, split="test", depth_scale=self.depth_scale) for spec in held_out]
        check_scale([*sources, *others], self.depth_scale)
        endless = [source.name for source in sources if source.length is None]
        if endless and len(self.data) > 1:
            raise UsageError(
                f"{endless[0]} has no end, and cannot be mixed with other data",
                hint=f"Say how many: {endless[0]}:20000.",
            )
        situations = {
            "train: nothing has a scale": not any(map(asks_for_scale, [*measured, *held_out])),
            "train: nothing is validated": self.validation is None and self.scenes is None,
            "train: all have depth": not bare,
            "train: steps are given": bool(explicit.among("--steps")),
            "train: data are endless": bool(endless),
        }
        check_used(explicit, situations)
        return sources

    def resolve_teacher(self, model: ModelParams) -> InferenceSettings | None:
        """The teacher, if there is one. Raises UsageError for a model that gives no metres."""
        if self.teacher is None:
            return None
        from glpn_cli.training.teacher import check_teacher

        teacher = model_to_train_with(self.teacher, model)
        check_teacher(teacher)
        return teacher

    def teach(
        self, teacher: InferenceSettings, output: Path, *, device: str, threads: int | None
    ) -> list[SampleSource]:
        """The folders without depth, with that of the teacher. Raises UsageError, and what stops a run."""
        from glpn_cli.cli.training_report import TeachingView
        from glpn_cli.data.sources import is_picture_folder
        from glpn_cli.training.folder import TEACHER_FOLDER
        from glpn_cli.training.teacher import teach

        found: list[SampleSource] = []
        for index, spec in enumerate(filter(is_picture_folder, self.data)):
            with TeachingView() as view:
                place = output / TEACHER_FOLDER / (str(index) if index else "")
                found.append(
                    teach(Path(spec).expanduser(), teacher, place, device=device, threads=threads, show=view.show)
                )
        return found

    def read_held_out(self) -> Sequence[Sample]:
        """The pictures to validate on, in memory; for rendered rooms, by default, rooms of another seed."""
        from glpn_cli.data.sources import open_source
        from glpn_cli.training.run import read_held_out

        spec = self.validation
        if spec is None and self.scenes is not None:
            spec = "scenes:900" if int(self.scenes.split(":")[1]) != 900 else "scenes:901"
        if spec is None:
            console.note("nothing is validated; name pictures that the network does not learn from with --val")
            return ()
        source = open_source(spec, split="test", depth_scale=self.depth_scale)
        found, left_out = read_held_out(source, count=self.val_count)
        for message in left_out[:_MOST_NAMED]:
            console.warn(f"not validated on: {message}")
        if len(left_out) > _MOST_NAMED:
            console.note(f"{len(left_out) - _MOST_NAMED} more pictures of --val {spec} cannot be used")
        if not found:
            raise UsageError(f"none of the pictures of --val {spec} can be used")
        return found


def model_to_train_with(name: str, model: ModelParams, *, max_depth: float | None = None) -> InferenceSettings:
    """A model by its name, for training or for teaching, with the options that both share."""
    return ModelParams(model=name, max_depth=max_depth, offline=model.offline).resolve()
