"""Model folders that commands write: what is there already is used, replaced or refused as `--existing` says."""

from __future__ import annotations

from pathlib import Path

from glpn_cli.checkpoint import EncodedFolder
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.pipeline.settings import Existing


def place_folder(encoded: EncodedFolder, folder: Path, *, existing: Existing, dry_run: bool = False) -> str:
    """Write a model folder, and say what became of it: "ok", "skipped" (it is there already) or "planned".

    Raises UsageError where something else is in the way, and what `write_atomically` raises.
    """
    there = [name for name in encoded.files if (folder / name).exists()]
    if there and existing is not Existing.OVERWRITE:
        in_the_way = there if existing is Existing.ERROR else encoded.differing(folder)
        if not in_the_way and len(there) == len(encoded.files):
            return "skipped"
        # What is the same, but not whole, was left by a run that was stopped: it is gone on with.
        if in_the_way and existing is not Existing.UPDATE:
            raise UsageError(
                f"folder {str(folder)!r} holds {'something else' if existing is Existing.SKIP else 'a model'} already: "
                + ", ".join(in_the_way),
                hint="Choose another folder, or replace what is there with --existing overwrite.",
                code=ErrorCode.EXISTS,
            )
    if dry_run:
        return "planned"
    encoded.write(folder)
    return "ok"
