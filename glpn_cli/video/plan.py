"""A run over clips and pictures together: what every one of them becomes."""

from __future__ import annotations

from dataclasses import replace

from glpn_cli.colormaps import RangePolicy
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.run import plan_run
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.sources import Sources
from glpn_cli.pipeline.stages import LARGEST_BATCH, Stages
from glpn_cli.video.find import Clips
from glpn_cli.video.run import ClipRun, ClipWork
from glpn_cli.video.settings import ClipSettings
from glpn_cli.video.to_file import plan_clip, write_clip
from glpn_cli.video.to_folder import plan_frames, write_frames

_FOR_PICTURES = ("--html", "--frame", "--orientation", "--white", "--isolate", "--timeout", "--allow-truncated")


def plan_clips(
    clips: Clips,
    found: Sources | None,
    outputs: OutputSettings,
    model: ModelSettings | None,
    settings: RunSettings,
    asked: ClipSettings,
) -> ClipRun:
    """A run over the pictures that were found, then over the clips. Raises UsageError where it makes no sense.

    found: the inputs that are no clips; None where there are none
    """
    pictures = clips.without(found) if found is not None else None
    if pictures is not None and not (pictures.sources or pictures.refused):
        pictures = None
    destination = Destination.parse(outputs.output)
    is_single = destination.is_video or destination.is_stdout
    if is_single and (pictures is not None or len(clips.clips) > 1):
        raise UsageError(
            f"several inputs cannot all be written to {outputs.output!r}", hint="Name a folder with -o, or one clip."
        )
    if destination.is_file and not destination.is_video:
        raise UsageError(
            f"a clip is many frames, and {outputs.output!r} is one file",
            hint="Name a folder with -o, or a video: .mkv, and for colours .mp4 or .mov.",
        )
    if pictures is None:
        outputs.explicit.refuse(*_FOR_PICTURES, because="is about pictures, and there are only clips")
    if is_single and model is not None and model.uncertainty:
        raise UsageError(
            "--uncertainty makes files of frames, and a video holds none",
            hint="Name a folder with -o, or leave it out.",
        )
    if model is not None and model.inference.predicts_labels:
        raise UsageError(f"{model.inference.model.name!r} labels pictures, and clips are made depth of")
    of_pictures = outputs
    if not is_single:
        outputs = _with_one_range(outputs, clips)
    own = _say_steady(model) if asked.steady else model
    return ClipRun(
        clips.clips,
        ClipWork(outputs, own, settings, asked, Stages(own, outputs, pictures=LARGEST_BATCH)),
        write_clip if is_single else write_frames,
        plan_clip if is_single else plan_frames,
        None if pictures is None else plan_run(pictures, of_pictures, model, settings),
        clips.refused,
        len(clips.clips) + len(clips.refused) if is_single else None,
    )


def _say_steady(model: ModelSettings | None) -> ModelSettings | None:
    """The same model, whose results say that they were steadied."""
    if model is None:
        return None
    view = ", ".join(filter(None, (model.inference.view, "steady")))
    return replace(model, inference=replace(model.inference, view=view))


def _with_one_range(outputs: OutputSettings, clips: Clips) -> OutputSettings:
    """The same with one range for all frames, unless another was asked for. Raises UsageError for a stream."""
    is_stream = any(clip.path is None for clip in clips.clips)
    if outputs.look is None:
        return outputs
    if outputs.explicit.among("--range"):
        if is_stream and outputs.look.range.needs_settling:
            raise UsageError(
                "--range batch needs two passes, and standard input comes once", hint="Use --range image or NEAR:FAR."
            )
        return outputs
    return outputs if is_stream else replace(outputs, look=replace(outputs.look, range=RangePolicy.parse("batch")))
