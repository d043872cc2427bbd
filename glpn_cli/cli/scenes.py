"""`glpn scenes`: procedural rooms with exact depth, as ordinary files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from glpn_cli.cli.console import console
from glpn_cli.cli.groups import only
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.options import OUTPUTS, option
from glpn_cli.pipeline.settings import Existing, OutputSettings

if TYPE_CHECKING:
    from glpn_cli.scenes.write import ScenePlan

EXAMPLES = """
glpn scenes -o rooms --count 64 --contact-sheet
glpn scenes -o rooms --count 5000 --seed 7 --size 640x480 --focal 518px
glpn scenes -o walks --walk 30 --count 10
"""

_SCENES = "Scenes"


@dataclass(frozen=True, kw_only=True)
class _SceneParams:
    """Which rooms to render, and the camera."""

    PANEL = _SCENES

    output: Path = option("-o, --output DIR", ..., "The folder to write.", panel=OUTPUTS)
    count: int = option("--count N", 16, "Number of scenes; a larger one keeps these.", min=1)
    walk: int | None = option(
        "--walk FRAMES",
        None,
        "Carry the camera through each room for FRAMES pictures, 30 a second, with the pose of each.",
        min=2,
    )
    seed: int = option("--seed N", 0, "Scene I of seed N is always the same.", min=0)
    size: str = option("--size WxH", "256x192", "Width and height of the pictures, in pixels.")
    focal: str = option(
        "--focal LENGTH",
        "auto",
        "Focal length of every picture: 220px, 28mm (35 mm equivalent) or 65deg (horizontal field of view);"
        " auto varies it, as among handheld cameras.",
    )
    contact_sheet: bool = option("--contact-sheet", False, "Also show the first 64 on one sheet.")
    workers: int | None = option(
        "--workers N", None, "Processes that render.", min=1, max=256, show_default="one per core"
    )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the pictures. Raises UsageError."""
        match = re.fullmatch(r"(\d{1,99})x(\d{1,99})", self.size.lower())
        if match is None:
            raise UsageError(f"--size {self.size!r} is no size", hint="Write WIDTHxHEIGHT, for example 640x480.")
        return int(match[2]), int(match[1])

    @property
    def focal_px(self) -> float | None:
        """The focal length of every picture; None: each has its own. Raises UsageError."""
        from glpn_cli.geometry import FocalChoice

        choice = FocalChoice(self.focal)
        return None if choice.text == "auto" else choice.camera(self.shape).fx


def scenes(scene: _SceneParams, writing: Annotated[OutputSettings, only("existing", "dry_run", "json")]) -> None:
    """Render rooms to learn from: pictures with exact depth in metres.

    Rooms are furnished, lit and photographed at random, by a camera like a phone's. DIR gets rgb/, depth/ (16-bit PNG,
    millimetres) and pairs.csv, which train and evaluate read as --data. Existing scenes are kept. Needs numba:
    pip install 'glpn-cli[train]'.
    """
    from glpn_cli.scenes.write import CSV_NAME, plan_scenes
    from glpn_cli.text import SCHEMA, path_text

    output = scene.output
    overwrite = writing.existing is Existing.OVERWRITE
    plan = plan_scenes(
        output,
        count=scene.count,
        seed=scene.seed,
        size=scene.shape,
        focal_px=scene.focal_px,
        frames=scene.walk,
        overwrite=overwrite,
    )
    kept = 0 if overwrite else plan.count - len(plan.todo)
    if kept and writing.existing is Existing.ERROR:
        raise UsageError(
            f"{kept} of these scenes are in {str(output)!r} already",
            hint="Leave out --existing.",
            code=ErrorCode.EXISTS,
        )
    paths = [output / CSV_NAME] + ([] if writing.dry_run else _render(plan, scene))
    noun = "scenes" if scene.walk is None else "frames"
    if plan.unlisted:  # also with --json: training on the list would see fewer scenes than before
        console.note(
            f"{CSV_NAME} lists the first {plan.count} of {plan.count + len(plan.unlisted)} {noun} in "
            f"{str(output)!r}: --count {plan.unlisted[-1] // (scene.walk or 1) + 1} lists all"
        )
    if writing.json:
        record = {"schema": SCHEMA, "type": "scenes", "status": "planned" if writing.dry_run else "ok"}
        names = [path_text(str(path)) for path in paths]
        rendered = 0 if writing.dry_run else len(plan.todo)
        counts = {"seed": scene.seed, "count": plan.count, "rendered": rendered, "kept": kept}
        console.json({**record, "outputs": names, **counts})
        return
    if kept and not plan.unlisted:
        console.note(f"{kept} {noun} are there already")
    if writing.dry_run:
        console.note(f"{len(plan.todo)} {noun} to render")
    for path in paths:
        console.result(path)


def _render(plan: ScenePlan, scene: _SceneParams) -> list[Path]:
    """Render the missing scenes; the paths of what is written beside them."""
    from glpn_cli.cli.console import Progress
    from glpn_cli.devices import cores

    with Progress(len(plan.todo)) as progress:
        plan.write(
            workers=scene.workers or cores(),
            done=lambda i: progress.advance(plan.name("depth", i), computed=True),
        )
    return [plan.write_contact_sheet()] if scene.contact_sheet else []
