"""A clip becomes a video file: depth without loss, or painted with its sound.

The file gets its name when the last frame is in it. A run that ends early, by Ctrl-C or because the disk is full,
leaves what it has as a file that can be played, `NAME.partial.mkv`; the next run takes the depths of it, and goes on
behind them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from glpn_cli.atomic_write import probe_writable, remove_stale, write_atomically
from glpn_cli.depth_files import Record
from glpn_cli.errors import ErrorCode, OutputError, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.plan import make_outcome
from glpn_cli.pipeline.report import RunEnd, Status, record_facts
from glpn_cli.pipeline.run import Show
from glpn_cli.prediction import DepthKind, Provenance
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import depth_record_of, refuse_painted
from glpn_cli.video.making import Making
from glpn_cli.video.run import ClipWork
from glpn_cli.video.target import ClipTarget, PipeOut, read_partial, resolve_existing


def write_clip(work: ClipWork, source: ImageSource, show: Show) -> RunEnd:
    """Make the file of a clip, and tell its outcome. Raises GlpnError where that cannot be done."""
    started = time.perf_counter()
    with Clip(source, work.asked, with_sound=True) as clip:
        for note in clip.facts.notes:
            work.view.say(f"{source.given}: {note}")
        target, wanted = _plan(work, clip)
        if (depth_note := work.note_of_depth(clip)) is not None:
            work.view.say(f"{source.given}: {depth_note}")
        path = target.path
        if path is not None and (kept := resolve_existing(path, wanted, work.outputs)) is not None:
            outputs = (target.describe(wanted, kept.painted),)
            show(make_outcome(source, Status.SKIPPED, outputs=outputs, facts=record_facts(kept)))
            return RunEnd()
        if path is not None:
            if target.partial.exists():
                read_partial(target.partial)
            probe_writable(target.partial.parent)
            remove_stale(target.partial.parent)
        if target.look is not None and target.look.range.needs_settling:
            target = target.with_range(work.settle_range(source, target.look.range))
        making = Making(work, clip, target, wanted)
        if path is None:
            making.write(PipeOut())
        else:
            write_atomically(target.partial, making.write)
            if making.ended == RunEnd():
                _publish(target.partial, target.file, may_replace=path.exists())
            else:
                left = f"what there is up to {making.until_s:.3f} s"
                work.view.say(f"{'what the disk holds of it' if making.is_full else left}: {target.partial}")
        if making.ended == RunEnd():
            show(replace(making.outcome(), seconds=time.perf_counter() - started))
        return making.ended


def plan_clip(work: ClipWork, source: ImageSource, show: Show) -> RunEnd:
    """Tell the outcome of a dry run."""
    with Clip(source, work.asked) as clip:
        target, wanted = _plan(work, clip)
        kept = None
        if target.path is not None:
            kept = resolve_existing(target.path, wanted, work.outputs)
        status = Status.PLANNED if kept is None else Status.SKIPPED
        show(make_outcome(source, status, outputs=(target.describe(wanted),)))
    return RunEnd()


def _plan(work: ClipWork, clip: Clip) -> tuple[ClipTarget, Record]:
    """The file of a clip, and its record as far as it is known. Raises UsageError."""
    refuse_painted(clip)
    stored = work.stored_record(clip)
    provenance: Provenance | None
    if stored is not None:
        kind, limit_m, provenance = stored.depth_kind, stored.limit_m, stored.provenance
        if work.outputs.calibration is not None:
            work.outputs.calibration.check(kind, provenance)
    else:
        assert work.model is not None
        inference = work.model.inference
        kind, limit_m, provenance = inference.kind, inference.limit_m, inference.provenance
    if work.outputs.calibration is not None:
        provenance = work.outputs.calibration.apply_to(provenance)
        kind, limit_m = DepthKind.METRIC, work.outputs.calibration.limit_of(limit_m)
    target = ClipTarget.choose(work.outputs, kind, limit_m, is_stream=clip.source.path is None)
    if target.look is not None and target.look.side_by_side and depth_record_of(clip) is not None:
        raise UsageError("--side-by-side needs the pictures, and this clip holds depth", hint="Name the clip itself.")
    if target.path is not None and clip.source.path is not None:
        for path in (target.path, target.partial):
            with suppress(OSError):
                if path.samefile(clip.source.path):
                    raise UsageError(f"output {str(path)!r} is the input", hint="Choose another name with -o.")
    wanted = target.expect(clip.source.name, kind, provenance)
    return target, _complete(wanted, clip)


def _complete(record: Record, clip: Clip) -> Record:
    """A record with what the clip and the options say: which part, of which file."""
    made = record.provenance
    if made is None:
        return record
    content = clip.facts.content
    if content is not None and made.source_blake2b is None:
        made = replace(made, source_bytes=content.size, source_blake2b=content.blake2b)
    return replace(record, provenance=made.seen(clip.settings.view))


def _publish(partial: Path, path: Path, *, may_replace: bool) -> None:
    """Give a finished file its name. Raises OutputError where another came there meanwhile."""
    if path.exists() and not may_replace:
        raise OutputError(f"{str(path)!r} already exists", code=ErrorCode.EXISTS)
    try:
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror}") from error
