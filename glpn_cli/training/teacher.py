"""A teacher: a model whose depth a small one learns, on pictures that have none (Hinton et al. 2015, arXiv 1503.02531).

Its maps are made once, as `glpn predict` makes them, in a folder of the training run: those that exist are kept, and
pictures that cannot be read are told and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from glpn_cli.data.pairs import Pair, PairList
from glpn_cli.data.samples import ChangedSource, Sample, SampleSource
from glpn_cli.errors import ErrorCode, GlpnError, UsageError
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.pipeline.run import plan_run
from glpn_cli.pipeline.search import find_pictures
from glpn_cli.pipeline.settings import Existing, InputSettings, ModelSettings, OutputSettings, RunSettings
from glpn_cli.prediction import DepthKind
from glpn_cli.training.initial_model import Camera


def check_teacher(teacher: InferenceSettings) -> None:
    """Raise UsageError for a model that gives no metres."""
    if teacher.predicts_labels or teacher.kind is not DepthKind.METRIC:
        raise UsageError(
            f"--teacher {teacher.model.name} gives no metres, and only metres can be taught",
            hint="Choose a model of metres, such as nyu, kitti or da2-indoor-small: glpn models list shows them.",
        )


def teach(
    pictures: Path,
    teacher: InferenceSettings,
    output: Path,
    *,
    device: str,
    threads: int | None = None,
    show: Callable[[Outcome, int], None] = lambda *_: None,
) -> SampleSource:
    """The pictures in a folder and below it, with the depth that a teacher gives them.

    output: the folder for its maps, which go into one of this teacher's own
    show:   called with each picture's outcome, and the number of pictures

    Raises GlpnError where no picture can be used, and what stops a run.
    """
    settings = InputSettings(named=[str(pictures)])
    reading = settings.choose_reading()
    found = find_pictures(replace(settings, reading=reading, allow_empty=True))
    places = {source.name: source.path for source in found.sources}
    pairs: list[Pair] = []

    def take(outcome: Outcome) -> None:
        show(outcome, len(places))
        path = places.get(outcome.name)
        if path is None or outcome.status is Status.ERROR:
            return
        (made,) = outcome.outputs
        assert made.depth_scale is not None
        pairs.append(Pair(path, Path(made.path), made.depth_scale, name=outcome.name))

    name, digest = teacher.model.name, teacher.model.checkpoint.sha256()
    place = output / f"{Path(name).name}-{digest[:8]}"
    outputs = OutputSettings(output=str(place), name="{name}_{map}", existing=Existing.UPDATE)  # a.jpg beside a.png
    model = ModelSettings(teacher, device, threads)
    end = plan_run(found, outputs, model, RunSettings()).execute(take)
    if (stop := end.interrupt or end.stopped) is not None:
        raise stop
    if not pairs:
        raise GlpnError(
            f"none of the pictures of {pictures} can be used" if places else f"there are no pictures in {pictures}",
            hint="The errors before this say what is wrong with each." if places else "Name a folder of pictures.",
            code=ErrorCode.DATA,
        )
    told = f"{pictures}, taught by {name} (weights {digest[:16]})"
    listed = PairList(told, tuple(sorted(pairs, key=lambda pair: pair.name)), reading)
    # Every picture counts as taken with the teacher's camera: teacher and student see the same pixels, and must give
    # the same metres for the same camera.
    camera = Camera(teacher.config.training_size, teacher.config.training_focal_px)
    return ChangedSource(listed, partial(_as_taken_with, camera))


def _as_taken_with(camera: Camera, sample: Sample) -> Sample:
    return replace(sample, focal_px=camera.focal_at(sample.size))
