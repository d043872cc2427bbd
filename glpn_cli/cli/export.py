"""`glpn export`: colours for depth, from pictures or from maps made earlier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from glpn_cli.cli.groups import without
from glpn_cli.cli.params import ModelParams, SpaceParams
from glpn_cli.cli.unused_options import note_made_earlier
from glpn_cli.options import DEFAULT_COLORMAP, OUTPUTS, ExplicitOptions, option
from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings
from glpn_cli.video.settings import ClipSettings

if TYPE_CHECKING:
    from glpn_cli.depth_files import ColorizeOptions

EXAMPLES = """
glpn export photo.jpg --colorbar --side-by-side
glpn export clip.mp4 -o look.mp4 --side-by-side --colorbar
glpn export depth/ -o colours --range 0.5:8 --colormap turbo
"""

_COLORS = "Colours"


def _complete_colormap(incomplete: str) -> list[str]:
    """Colormaps."""
    from glpn_cli.colormaps import COLORMAPS

    return [name for name in COLORMAPS if name.startswith(incomplete)]


@dataclass(frozen=True, kw_only=True)
class _ColorParams:
    """How depth is painted."""

    PANEL = _COLORS

    colormap: str = option(
        "--colormap NAME",
        DEFAULT_COLORMAP,
        "spectral, turbo, inferno, magma, viridis, plasma, cividis or gray; near is warm or bright.",
        autocompletion=_complete_colormap,
    )
    range_: str = option(
        "--range RANGE",
        "image",
        "Depths of the first and the last colour: image, batch (one range for all inputs, in two passes), "
        "model, pA:pB (percentiles), or NEAR:FAR in metres. A clip uses one range; type "
        "image for one per frame, or running for one that follows slowly.",
    )
    invert: bool = option("--invert", False, "Near is cold or dark.")
    colorbar: bool = option("--colorbar", False, "Add a scale with ticks in metres.")
    side_by_side: bool = option("--side-by-side", False, "Show the picture on the left of its depth.")
    contours: float | None = option("--contours METRES", None, "Draw lines of equal depth.")
    html: Path | None = option(
        "--html FILE", None, "Also write one self-contained page with all results.", panel=OUTPUTS
    )

    @property
    def look(self) -> ColorizeOptions:
        """How maps are painted. Raises UsageError."""
        from glpn_cli.colormaps import RangePolicy
        from glpn_cli.depth_files import ColorizeOptions

        range_ = RangePolicy.parse(self.range_)
        return ColorizeOptions(range_, self.colormap, self.invert, self.colorbar, self.side_by_side, self.contours)


def export(
    explicit: ExplicitOptions,
    inputs: InputSettings,
    model: Annotated[ModelParams, without("uncertainty")],
    run: RunSettings,
    output: OutputSettings,
    colors: _ColorParams,
    space: SpaceParams,
    clips: ClipSettings,
) -> None:
    """Paint depth in colours, for pictures or for existing depth maps.

    If a picture's depth map lies beside it, that map is painted; other pictures go through the model. Equal ratios of
    depth are equal steps of colour.
    """
    from glpn_cli.cli.clips import take_clips
    from glpn_cli.cli.outcomes import check_stdout, show_run, warn_of_assumed_metres
    from glpn_cli.pipeline.search import find_sources

    results = replace(space.apply_to(output, explicit), paints=True, look=colors.look, page=colors.html)
    check_stdout(results)
    reading = inputs.choose_reading(run.threads)
    choice = replace(inputs, reading=reading, depth_scale=output.depth_scale)
    taken = take_clips(clips, choice, results)
    found = None
    if taken.rest is not None:
        found = taken.without(find_sources(taken.rest, side_by_side=colors.side_by_side))
    recipe = None
    if taken.needs_network or (found is not None and found.needs_network):
        recipe = model.resolve(view=reading.view, camera=space.rescales_to, takes_labels=True)
    if not (recipe and recipe.predicts_labels):
        is_scale_written = "png16" in (output.formats or "").lower().split(",")
        others = ("--kind",) if is_scale_written else ("--kind", "--depth-scale")
        note_made_earlier(found, explicit, *others, clips=taken.stored_count)
        if found is not None and not explicit.among("--kind", "--depth-scale"):
            warn_of_assumed_metres(found.bare_names)
    used = model.settings(recipe) if recipe else None
    prepared = taken.plan(found, results, used, run)
    show_run(prepared, output, allow_failed=run.allow_failed, workers=reading.workers)
