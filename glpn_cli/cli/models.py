"""`glpn models`: the models that have names, where they are, and whether they are whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from glpn_cli.cli.console import console
from glpn_cli.cli.convert import place_folder, show_folder
from glpn_cli.cli.groups import only, with_groups
from glpn_cli.cli.help import PlainCommand, PlainGroup
from glpn_cli.cli.params import MODEL_NAME, ModelParams
from glpn_cli.cli.unused_options import check_used
from glpn_cli.errors import ExitCode, ModelError
from glpn_cli.options import MODEL, OUTPUTS, ExplicitOptions, option
from glpn_cli.pipeline.settings import OutputSettings

app = typer.Typer(
    cls=PlainGroup,
    add_completion=False,
    rich_markup_mode=None,
    help="List, download and verify the models that have names.",
    no_args_is_help=True,
    epilog="""
    glpn models list
    glpn models download nyu -o nyu/   # a folder to carry where no network is
    """,
)

_Printing = Annotated[OutputSettings, only("json")]
Name = Annotated[str, typer.Argument(metavar="NAME", help=MODEL_NAME)]


@app.command("list", cls=PlainCommand, epilog="glpn models list\nglpn models list --json")
@with_groups
def _list_models(output: _Printing) -> None:
    """List the models that have names.

    With unit, size, licence, whether they are on this machine, and which to take for what.
    """
    from glpn_cli.cli.console import make_facts, make_table
    from glpn_cli.models.registry import REGISTRY
    from glpn_cli.text import SCHEMA, path_text

    rows = list(REGISTRY.values())
    folders = [row.find_here() for row in rows]
    if output.json:
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
                "needs_consent": row.needs_consent,
                "weights_mb": row.weights_mb,
                "best_for": row.best_for,
                "folder": path_text(str(folder)) if folder else None,
            }
            console.json(record)
        return
    here = ["yes" if folder else "no" for folder in folders]
    entries = (
        (row.name, row.unit, str(row.weights_mb), is_here, row.license) for row, is_here in zip(rows, here, strict=True)
    )
    advice = make_facts(((row.name, row.best_for) for row in rows if row.best_for), title="which to take")
    sources = [f"{row.repository}: " if row.repository else "" for row in rows]
    first_with = {row.license_facts: row.name for row in reversed(rows)}
    licences = [
        row.license_facts if (first := first_with[row.license_facts]) == row.name else f"Licence facts as for {first}"
        for row in rows
    ]
    facts = (
        (row.name, f"{source}{row.description}. {row.scale_source}. {licence}.")
        for row, source, licence in zip(rows, sources, licences, strict=True)
    )
    table = make_table(("name", "unit", "MB", "here", "licence"), entries)
    console.text(f"{table}\n\n{advice}\n\n{make_facts(facts)}")


@app.command("path", cls=PlainCommand, epilog="glpn models path lite\nls -l $(glpn models path nyu)")
@with_groups
def _show_path(name: Name, output: _Printing) -> None:
    """Print the folder of a model, offline."""
    from glpn_cli.models.resolve import resolve_model

    folder = resolve_model(name, offline=True).checkpoint.folder
    show_folder(folder, "ok", _folder_record(name, folder, "ok"), json=output.json)


@dataclass(frozen=True, kw_only=True)
class _DownloadParams:
    """Where a model goes, and from where."""

    output: Path | None = option("-o, --output DIR", None, "Also write a folder to carry elsewhere.", panel=OUTPUTS)
    refresh: bool = option("--refresh", False, "Ask the hub whether there is a newer revision.", panel=MODEL)
    accept_licence: bool = option(
        "--accept-licence", False, "Accept a licence that forbids commercial use, as models list shows it.", panel=MODEL
    )


@app.command("download", cls=PlainCommand, epilog="glpn models download nyu\nglpn models download kitti -o kitti/")
@with_groups
def _download_model(
    explicit: ExplicitOptions,
    name: Name,
    model: Annotated[ModelParams, only("offline")],
    download: _DownloadParams,
    writing: Annotated[OutputSettings, only("existing", "dry_run", "json")],
) -> None:
    """Download a model, verify it, and print its folder.

    Repository, revision, size and licence are printed first. Files in the hub's cache are not downloaded again. The
    folder that -o writes needs neither cache nor network: name it with -m.
    """
    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.checkpoint import OWN_KEY
    from glpn_cli.checkpoint.write import EncodedFolder
    from glpn_cli.models.resolve import resolve_model

    output, refresh = download.output, download.refresh
    check_used(explicit, {"models: no folder is named": output is None})
    if output is not None:
        probe_writable(output)
    offline, dry_run = model.offline, writing.dry_run
    try:
        found = resolve_model(
            name,
            offline=offline or dry_run,
            refresh=refresh and not dry_run,
            accepts_licence=download.accept_licence,
            announce=console.note,
        )
    except ModelError:
        if not dry_run or offline:
            raise
        console.note(f"{name} would be downloaded")
        return
    checkpoint = found.checkpoint
    asks_nothing = found.row is None or not found.row.needs_consent
    check_used(explicit, {"models: licence asks nothing": asks_nothing}, name=name)
    check_used(explicit, {"models: not from the hub": not checkpoint.is_cached}, name=name)
    folder, status = checkpoint.folder, "ok"
    if output is not None:
        own = {**found.config[OWN_KEY], "source": checkpoint.source, "revision": checkpoint.revision}
        carried = EncodedFolder.copy_of(checkpoint, own={key: value for key, value in own.items() if value is not None})
        folder, status = output, place_folder(carried, output, existing=writing.existing, dry_run=dry_run)
    show_folder(folder, status, _folder_record(name, folder, status), json=writing.json)


@app.command("verify", cls=PlainCommand, epilog="glpn models verify\nglpn models verify ./nyu --json")
@with_groups
def _verify_models(
    output: _Printing,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One model; default: all that are on this machine.")
    ] = None,
) -> None:
    """Check weights against their checksum and config, offline."""
    from glpn_cli.models.registry import REGISTRY

    names = [name] if name is not None else [row.name for row in REGISTRY.values() if row.find_here()]
    if [each for each in names if not _verify_model(each, json=output.json)]:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _verify_model(name: str, *, json: bool) -> bool:
    """Show whether a model on this machine is whole. Raises UsageError for a name that means nothing."""
    from glpn_cli.models.inspect import ModelReport
    from glpn_cli.models.resolve import resolve_model
    from glpn_cli.text import SCHEMA, error_fields, path_text

    record = {"schema": SCHEMA, "type": "verification", "model": path_text(name)}
    try:
        report = ModelReport.of(resolve_model(name, offline=True))
    except ModelError as error:
        if json:
            console.json(
                {**record, "status": "error", "weights_sha256": None, "checks": [], "error": error_fields(error)}
            )
        else:
            console.error(error, about=name)
        return False
    if json:
        found = {"weights_sha256": report.sha256, "checks": list(map(asdict, report.checks)), "error": None}
        console.json({**record, "status": "ok" if report.is_sound else "error", **found})
    else:
        console.result(f"{name}: " + "; ".join(f"{check.name} {check}" for check in report.checks))
    return report.is_sound


def _folder_record(name: str, folder: Path, status: str) -> dict[str, object]:
    from glpn_cli.text import SCHEMA, path_text

    record = {"schema": SCHEMA, "type": "folder", "status": status, "model": path_text(name)}
    return {**record, "folder": path_text(str(folder))}
