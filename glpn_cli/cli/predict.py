"""`glpn predict`: pictures in, depth maps out."""

from __future__ import annotations

from typing import Annotated

from glpn_cli.cli.params import (
    ClipParams,
    InputParams,
    ModelParams,
    OutputParams,
    RunParams,
    SpaceParams,
    without,
)
from glpn_cli.pipeline.settings import ExplicitOptions

EXAMPLES = """
glpn predict photo.jpg -o depth
glpn predict clip.mp4 -o clip_depth.mkv
glpn predict holiday/ -m nyu -f png16,npy -o depth --json > depth.jsonl
"""


def predict(
    explicit: ExplicitOptions,
    inputs: Annotated[InputParams, without("kind")],
    model: ModelParams,
    run: RunParams,
    output: OutputParams,
    space: SpaceParams,
    clips: ClipParams,
) -> None:
    """Write a depth map, in metres, for every picture.

    Each map has the size of its picture. The default format, png16, is a 16-bit PNG that records its unit and scale:
    millimetres, or 1/256 m for models that see to 80 m. Written paths go to stdout, everything else to stderr.
    """
    from glpn_cli.cli.outcomes import check_stdout, plan_all, show_run, take_clips
    from glpn_cli.pipeline.search import find_pictures

    outputs, work = output.settings(space, explicit), run.settings()
    check_stdout(outputs, json=output.json)
    reading = inputs.reading(work.threads)
    taken = take_clips(clips, inputs.settings(reading), outputs)
    found = find_pictures(taken.rest) if taken.rest is not None else None
    inference = model.resolve(view=reading.view, camera=space.rescales_to, takes_labels=True)
    prepared = plan_all(taken, found, outputs, model.settings(inference), work)
    show_run(prepared, output, allow_failed=run.allow_failed, workers=reading.workers)
