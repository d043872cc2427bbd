"""`glpn predict`: pictures in, depth maps out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from glpn_cli.cli.console import console
from glpn_cli.cli.groups import without
from glpn_cli.cli.params import ModelParams, SpaceParams
from glpn_cli.errors import UsageError
from glpn_cli.options import ExplicitOptions, option
from glpn_cli.pipeline.settings import InputSettings, OutputSettings, RunSettings
from glpn_cli.video.settings import OPTIONS as CLIP_OPTIONS
from glpn_cli.video.settings import ClipSettings

if TYPE_CHECKING:
    from glpn_cli.images import ReadOptions
    from glpn_cli.pipeline.run import MakeEngine

EXAMPLES = """
glpn predict photo.jpg -o depth
glpn predict clip.mp4 -o clip_depth.mkv
glpn predict holiday/ -m nyu -f png16,npy -o depth --json > depth.jsonl
"""


@dataclass(frozen=True, kw_only=True)
class ClusterParams:
    """Where a run is done: in this process, or by the actors of a Ray cluster."""

    PANEL = "Cluster"

    engine: Literal["local", "ray"] = option(
        "--engine KIND", "local", "local: this machine; ray: the machines of a Ray cluster (extra [ray])."
    )
    address: str | None = option(
        "--address ADDRESS",
        None,
        "The cluster: HOST:PORT, or auto for the one that this machine belongs to.",
        show_default="one started here",
    )
    actors: int | None = option(
        "--actors N",
        None,
        "Processes with the model in memory, each with --threads CPUs.",
        min=1,
        max=100_000,
        show_default="one a node or GPU",
    )
    gpus_per_actor: float | None = option(
        "--gpus-per-actor N", None, "GPUs of each; 0.5 lets two share one.", min=0, max=64, show_default="1 if there"
    )

    def make_engine(self, reading: ReadOptions, workers: int | None, explicit: ExplicitOptions) -> MakeEngine:
        """What does the work of a run.

        reading: how pictures are read; workers: `--workers`

        Raises UsageError where the extra is missing, and for options of a cluster without one.
        """
        if self.engine == "local":
            from glpn_cli.pipeline.engine import Engine

            if (self.address, self.actors, self.gpus_per_actor) != (None, None, None):
                from glpn_cli.cli.unused_options import check_used

                check_used(explicit, {"predict: no cluster": True})
            return Engine
        try:
            from glpn_cli.distributed.engine import ClusterEngine
        except ImportError as error:
            hint = "Run: pip install 'glpn-cli[ray]'"
            raise UsageError(f"--engine ray needs more than is installed: {error.name}", hint=hint) from error
        return partial(
            ClusterEngine,
            address=self.address,
            actors=self.actors,
            gpus=self.gpus_per_actor,
            decoders=workers,
            reading=reading,
            note=console.note,
        )


def predict(
    explicit: ExplicitOptions,
    inputs: Annotated[InputSettings, without("depth_kind")],
    model: ModelParams,
    run: RunSettings,
    output: OutputSettings,
    space: SpaceParams,
    clips: ClipSettings,
    cluster: ClusterParams,
) -> None:
    """Write a depth map, in metres, for every picture.

    Each map has the size of its picture. The default format, png16, is a 16-bit PNG that records its unit and scale:
    millimetres, or 1/256 m for models that see to 80 m. Written paths go to stdout, everything else to stderr.
    With --engine ray many machines share the work.
    """
    from glpn_cli.cli.clips import take_clips
    from glpn_cli.cli.outcomes import check_stdout, show_run
    from glpn_cli.pipeline.run import plan_run
    from glpn_cli.pipeline.search import find_pictures

    outputs = space.apply_to(output, explicit)
    check_stdout(outputs)
    is_shared = cluster.engine == "ray"
    reading = inputs.choose_reading(run.threads, is_isolated=is_shared)
    make_engine = cluster.make_engine(reading, run.workers, explicit)
    named = replace(inputs, reading=reading)
    if is_shared:
        explicit.refuse(*CLIP_OPTIONS, because="is about clips, and --engine ray takes pictures")
    taken = None if is_shared else take_clips(clips, named, outputs)
    rest = named if taken is None else taken.rest
    is_known_later = is_shared and named.is_listed  # names in lists are taken as they come
    found = None if rest is None or is_known_later else find_pictures(rest)
    used = model.settings(model.resolve(view=reading.view, camera=space.rescales_to, takes_labels=True))
    if taken is not None:
        prepared = taken.plan(found, outputs, used, run)
    elif found is not None:
        prepared = plan_run(found, outputs, used, run, make_engine=make_engine)
    else:
        from glpn_cli.distributed.manifest import plan_manifest

        prepared = plan_manifest(named, outputs, used, run, make_engine=make_engine)
    show_run(prepared, outputs, allow_failed=run.allow_failed, workers=reading.workers)
