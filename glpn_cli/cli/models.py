"""`glpn models`: the models that have names, where they are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli import options
from glpn_cli.cli.console import console
from glpn_cli.cli.screens import TidyCommand, TidyGroup
from glpn_cli.errors import ExitCode, ModelError
from glpn_cli.pipeline.settings import Existing

app = typer.Typer(
    cls=TidyGroup,
    add_completion=False,
    rich_markup_mode=None,
    help="List, fetch and verify the models that have names.",
    no_args_is_help=True,
    epilog="""
    glpn models list
    glpn models download nyu -o nyu/   # a folder to carry where no network is
    """,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="mini, nyu, kitti, a folder, or OWNER/NAME[@REVISION].")]


@app.command("list", cls=TidyCommand, epilog="glpn models list\nglpn models list --json")
def list_models(json: options.Json = False) -> None:
    """Show the models that have names: unit, licence, and whether they are on this machine."""
    from glpn_cli.cli.columns import make_facts, make_table
    from glpn_cli.models.registry import REGISTRY, find_here
    from glpn_cli.text import SCHEMA, path_text

    rows = list(REGISTRY.values())
    folders = [find_here(row) for row in rows]
    if json:
        for row, folder in zip(rows, folders, strict=True):
            record = {
                "schema": SCHEMA,
                "type": "model",
                "model": row.name,
                "description": row.description,
                "repository": row.repository,
                "revision": row.revision,
                "unit": row.unit,
                "limit_m": row.limit_m,
                "limit_source": row.scale_source,
                "license": row.license,
                "license_facts": row.license_facts,
                "folder": path_text(str(folder)) if folder else None,
            }
            console.json(record)
        return
    places = [row.repository or "bundled" for row in rows]
    here = ["yes" if folder else "no" for folder in folders]
    entries = ((row.name, row.unit, p, h, row.license) for row, p, h in zip(rows, places, here, strict=True))
    facts = ((row.name, f"{row.description}. {row.scale_source}. {row.license_facts}.") for row in rows)
    console.text(make_table(("name", "unit", "weights", "here", "licence"), entries) + "\n\n" + make_facts(facts))


@app.command("path", cls=TidyCommand, epilog="glpn models path mini\nls -l $(glpn models path nyu)")
def path(name: Name, json: options.Json = False) -> None:
    """Print the folder that a model lies in; the network is not touched."""
    from glpn_cli.models.resolve import resolve_model

    _show_folder(name, resolve_model(name, offline=True).checkpoint.folder, "ok", json=json)


@app.command("download", cls=TidyCommand, epilog="glpn models download nyu\nglpn models download kitti -o kitti/")
def download(
    context: typer.Context,
    name: Name,
    output: Annotated[
        Path | None,
        options.option(
            "--output", "-o", metavar="DIR", panel=options.OUTPUTS, help="Also write a folder to carry elsewhere."
        ),
    ] = None,
    refresh: Annotated[
        bool, options.option("--refresh", panel=options.MODEL, help="Ask the hub whether there is something newer.")
    ] = False,
    offline: options.Offline = False,
    existing: options.ExistingOption = Existing.SKIP,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Fetch a model into the hub's cache, verify it, and print where it is.

    Repository, revision, size and licence are printed first. What is in the cache already is not fetched again. With
    -o, a folder is written that needs neither cache nor network: name it with -m.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.checkpoint import OWN_KEY, encode_copy
    from glpn_cli.cli.asked import find_asked
    from glpn_cli.cli.model_folders import place_folder
    from glpn_cli.models.resolve import resolve_model

    asked = find_asked(context)
    if output is None:
        asked.refuse("--existing", because="is about the folder of -o, and none is named")
    else:
        probe_writable(output)
    try:
        model = resolve_model(name, offline=offline or dry_run, refresh=refresh and not dry_run, announce=console.note)
    except ModelError:
        if not dry_run or offline:
            raise
        console.note(f"{name} would be downloaded")
        return
    checkpoint = model.checkpoint
    if not checkpoint.is_cached:
        asked.refuse("--refresh", because=f"asks the hub, and {name!r} is not from there")
    if output is None:
        _show_folder(name, checkpoint.folder, "ok", json=json)
        return
    own = {**model.config[OWN_KEY], "source": checkpoint.source, "revision": checkpoint.revision}
    carried = encode_copy(checkpoint, own={key: value for key, value in own.items() if value is not None})
    _show_folder(name, output, place_folder(carried, output, existing=existing, dry_run=dry_run), json=json)


@app.command("verify", cls=TidyCommand, epilog="glpn models verify\nglpn models verify ./nyu --json")
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One model; default all that are on this machine.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Hold weights against their checksum and their config; the network is not touched."""
    from glpn_cli.cli.model_report import describe_check, make_check_records
    from glpn_cli.models.inspect import verify_model
    from glpn_cli.models.registry import REGISTRY, find_here
    from glpn_cli.text import SCHEMA, error_fields, path_text

    names = [name] if name is not None else [row.name for row in REGISTRY.values() if find_here(row)]
    is_sound = True
    for each in names:
        verdict = verify_model(each)
        is_sound &= verdict.is_sound
        if json:
            record = {
                "schema": SCHEMA,
                "type": "verification",
                "model": path_text(each),
                "status": "ok" if verdict.is_sound else "error",
                "weights_sha256": verdict.sha256,
                "checks": make_check_records(verdict.checks),
                "error": error_fields(verdict.error) if verdict.error else None,
            }
            console.json(record)
        elif verdict.error is not None:
            console.error(verdict.error, about=each)
        else:
            words = "; ".join(f"{check.name} {describe_check(check)}" for check in verdict.checks)
            console.result(f"{each}: {words}")
    if not is_sound:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _show_folder(name: str, folder: Path, status: str, *, json: bool) -> None:
    """One folder as a result, or as a record."""
    from glpn_cli.text import SCHEMA, path_text

    if json:
        record = {"schema": SCHEMA, "type": "folder", "status": status, "model": path_text(name)}
        console.json({**record, "folder": path_text(str(folder))})
        return
    if status == "skipped":
        console.note(f"{folder}: already there, and the same")
    console.result(folder)
