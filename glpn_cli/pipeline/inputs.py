"""What a run works on: everything the user named, found and told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from glpn_cli.depth_files import is_depth_file, is_own_output
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.images import PICTURE_EXTENSIONS, Found, ImageSource, ListFile, ReadOptions, find_images, parse_shard
from glpn_cli.pipeline.settings import InputKind, InputSettings


def find_inputs(
    choice: InputSettings,
    *,
    extensions: frozenset[str] = PICTURE_EXTENSIONS,
    leave_out: Callable[[Path], bool] = is_own_output,
) -> Found:
    """Find all inputs; what is named and cannot be used is in `refused`.

    extensions: what folder scans take
    leave_out:  what they leave although it fits; by default our own outputs

    Raises UsageError where nothing was named or found, or all that was named is missing.
    """
    if not (choice.named or choice.lists or choice.lists0):
        raise UsageError("no inputs", hint="Name pictures or folders of them, or - for standard input.")
    if choice.root is not None and not (choice.lists or choice.lists0) and set(choice.named) == {"-"}:
        raise UsageError("--root makes no sense for standard input, which has no path", hint="Leave it out.")
    shard = parse_shard(choice.shard) if choice.shard is not None else None
    ours: list[Path] = []

    def leave(path: Path) -> bool:
        if not leave_out(path):
            return False
        ours.append(path)
        return True

    found = find_images(
        choice.named,
        recursive=choice.recursive,
        root=choice.root,
        lists=[
            *(ListFile(path) for path in choice.lists),
            *(ListFile(path, is_nulled=True) for path in choice.lists0),
        ],
        extensions=extensions,
        leave_out=leave,
        shard=(shard.number, shard.count) if shard else None,
        read_options=choice.reading or ReadOptions(),
    )
    if not found.sources and not choice.allow_empty and choice.shard is None:
        _refuse_nothing(choice, found, count_left_out=len(ours))
    return found


def find_pictures(choice: InputSettings) -> Found | None:
    """The pictures to predict; None where they come one by one on standard input.

    Depth maps that were named among them, as by `*.png`, are left out with a note.

    Raises UsageError as `find_inputs` does, and where there are only depth maps.
    """
    if choice.kind is InputKind.DEPTH:
        raise UsageError("predict makes depth out of pictures", hint="Paint depth maps with: glpn export --as depth")
    if choice.is_stream:
        return None
    found = find_inputs(choice)
    if choice.kind is InputKind.PICTURE:
        return found
    named = None if choice.lists or choice.lists0 else set(choice.named)  # scans leave our outputs out themselves
    maps = [source for source in found.sources if (named is None or source.given in named) and _is_map(source)]
    if not maps:
        return found
    if len(maps) == len(found.sources) and not found.refused:
        raise UsageError(
            f"{maps[0].given!r} is a depth map already" + (f", and so are {len(maps) - 1} more" if maps[1:] else ""),
            hint="Paint it with glpn export, or take it for a picture with --as picture.",
        )
    left_out = {id(source) for source in maps}
    note = f"{len(maps)} depth maps among the inputs are left out (--as picture takes them for pictures)"
    sources = tuple(source for source in found.sources if id(source) not in left_out)
    return replace(found, sources=sources, notes=(*found.notes, note))


def _is_map(source: ImageSource) -> bool:
    """Whether a file is one of our outputs, or depth in another format."""
    return is_own_output(source.content) or is_depth_file(source.content)


def check_is_picture(source: ImageSource, *, kind: InputKind) -> ImageSource:
    """The source, unless it is a depth map already (InputError)."""
    if kind is InputKind.AUTO and _is_map(source):
        raise InputError(
            f"{source.label} is a depth map already",
            hint="Paint it with glpn export, or take it for a picture with --as picture.",
            code=ErrorCode.UNSUPPORTED,
        )
    return source


def _refuse_nothing(choice: InputSettings, found: Found, *, count_left_out: int) -> None:
    """Say why there is nothing to do (UsageError), unless some input has an error of its own to tell."""
    missing = [each for each in found.refused if each.error.code is ErrorCode.NOT_FOUND]
    if found.refused and len(missing) < len(found.refused):
        return
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        raise UsageError(missing[0].error.message + more, hint=missing[0].error.hint, code=ErrorCode.NOT_FOUND)
    places = " ".join(repr(name) for name in (*choice.named, *choice.lists, *choice.lists0)[:3])
    if count_left_out:
        made = "a file that glpn made" if count_left_out == 1 else f"{count_left_out} files that glpn made"
        raise UsageError(
            f"there is nothing in {places} but {made}",
            hint="Name the folder of the photographs, or paint depth maps with glpn export.",
        )
    raise UsageError(
        f"there are no pictures in {places}",
        hint="A file named itself is tried whatever its extension; --allow-empty makes this no error.",
    )
