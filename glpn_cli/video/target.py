"""The file that a clip becomes: its container, its form of frames, and whether it is there already."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from glpn_cli.atomic_write import follow_link, write_error
from glpn_cli.colormaps import IMAGE_RANGE, RangePolicy, RangeRule
from glpn_cli.depth_files import ColorizeOptions, Format, Record, make_writer
from glpn_cli.depth_files.styles import Color
from glpn_cli.errors import ErrorCode, GlpnError, InputError, OutputError, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.naming import Destination
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.report import Output
from glpn_cli.pipeline.settings import Existing, OutputSettings
from glpn_cli.prediction import DepthKind, Provenance
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import depth_record_of, find_depth, read_clip_record
from glpn_cli.video.painted_clip import CONTAINERS

FORMATS = ("png16", "gray16", "gray", "color")
"""The forms of frames: metres in 16 bits and greys without loss, in Matroska; colours in H.264, in all containers."""


@dataclass(frozen=True)
class ClipTarget:
    """The file that a clip becomes.

    path:   None is standard output; a link is written through to where it leads, as those of other outputs are
    form:   the container, as FFmpeg calls it
    writer: what makes the numbers or the colours of a frame
    """

    path: Path | None
    form: str
    writer: Format

    @property
    def paints(self) -> bool:
        """Whether it is painted; else it holds numbers."""
        return isinstance(self.writer, Color)

    @property
    def look(self) -> ColorizeOptions | None:
        """How it is painted, or which range greys have; None for metres."""
        return getattr(self.writer, "look", None)

    @property
    def format(self) -> str:
        """The format as records and reports name it."""
        return "mkv" if self.form == "matroska" else self.form

    @property
    def partial(self) -> Path:
        """Where the file of a run that did not end is left."""
        return self.file.with_name(f"{self.file.stem}.partial{self.file.suffix}")

    @property
    def file(self) -> Path:
        """The file behind `path`."""
        assert self.path is not None
        return follow_link(self.path)

    def with_range(self, policy: RangePolicy) -> ClipTarget:
        """The same in another range."""
        assert self.look is not None
        return replace(self, writer=replace(self.writer, look=replace(self.look, range=policy)))  # type: ignore[call-arg]  # those that paint have a look

    def expect(self, source: str, kind: DepthKind, provenance: Provenance | None) -> Record:
        """The record of the file as it is written now, as far as it is known before the first frame."""
        record = self.writer.expect(source, kind=kind, provenance=provenance)
        assert record is not None
        return replace(record, format=self.format)

    def describe(self, record: Record, painted: tuple[float, float] | None = None) -> Output:
        """The file as reports name it; painted: the ends of its colours."""
        return Output(
            path="-" if self.path is None else str(self.path),
            format=self.format,
            map=self.writer.map,
            unit=record.unit if self.writer.map == "depth" else None,
            depth_scale=record.depth_scale,
            range=painted,
        )

    @classmethod
    def choose(
        cls, outputs: OutputSettings, kind: DepthKind, limit_m: float | None, *, is_stream: bool = False
    ) -> ClipTarget:
        """The file that one clip becomes. Raises UsageError for formats and options that make no sense for it.

        is_stream: whether the clip can be read only once, so that its range can only be a running one
        """
        destination = Destination.parse(outputs.output)
        extension = ".mkv" if destination.path is None else destination.path.suffix.lower()
        usual = "color" if outputs.paints or extension != ".mkv" else "png16"
        names = list(dict.fromkeys((outputs.formats or usual).lower().split(",")))
        if len(names) > 1 or names[0] not in FORMATS:
            raise UsageError(
                f"a video holds one of {', '.join(FORMATS)}, and not {outputs.formats}",
                hint="Name a folder with -o for files of every frame in these formats.",
            )
        if extension != ".mkv" and (names[0] != "color" or not (outputs.paints or outputs.formats)):
            raise UsageError(
                f"{extension} cannot hold the 16 bits of depth",
                hint=f"Write .mkv, or paint it: glpn export CLIP -o {outputs.output}",
                code=ErrorCode.RANGE,
            )
        look = outputs.look or ColorizeOptions()
        policy = _choose_range(look, outputs, is_stream=is_stream)
        checked = replace(look, range=IMAGE_RANGE if policy.rule is RangeRule.RUNNING else policy)
        try:
            writer = make_writer(names[0], kind=kind, limit_m=limit_m, depth_scale=outputs.depth_scale, look=checked)
        except UsageError as error:
            if error.code is not ErrorCode.RANGE:
                raise
            hint = f"{error.hint} A video holds {', '.join(FORMATS)}; for the others name a folder with -o."
            raise UsageError(error.message, hint=hint, code=error.code) from error
        check_used(outputs, [writer], elsewhere=("--range",) if outputs.paints else ())
        target = cls(destination.path, CONTAINERS[extension], writer)
        if target.look is None:
            return target
        if policy.rule in (RangeRule.PERCENTILES, RangeRule.RUNNING, RangeRule.MODEL) and not target.paints:
            raise UsageError(
                f"--range {policy.text} changes from frame to frame, and greys cannot say how",
                hint="Fix it with --range batch, or --range 0.5:8.",
            )
        return target.with_range(policy)


def _choose_range(look: ColorizeOptions, outputs: OutputSettings, *, is_stream: bool) -> RangePolicy:
    """The range that was asked for; by default one for the whole clip, and a running one where it comes only once."""
    if not outputs.explicit.among("--range"):
        return RangePolicy.parse("running" if is_stream else "batch")
    if is_stream and look.range.needs_settling:
        raise UsageError(
            "--range batch needs two passes, and standard input comes once", hint="Use --range running or NEAR:FAR."
        )
    return look.range


def resolve_existing(path: Path, wanted: Record, outputs: OutputSettings) -> Record | None:
    """The record of the file at `path` where it is kept; None where it is to be written.

    Raises OutputError where something is in the way, UsageError for a folder.
    """
    if not path.exists():
        return None
    existing = outputs.existing
    if path.is_dir():
        raise UsageError(f"cannot write {str(path)!r}: it is a folder", hint="Choose another name with -o.")
    if not path.is_file() or existing is Existing.OVERWRITE:
        return None
    if existing is Existing.ERROR:
        raise _in_the_way(path, "is there already", "Use --existing skip, update or overwrite.")
    try:
        found = _read_record_of(path, whole=True)
    except InputError as error:
        raise _in_the_way(
            path, f"cannot be trusted: {error.message}", "Replace it with --existing overwrite."
        ) from error
    if found is None:
        hint = "Replace it with --existing overwrite, or choose another name with -o."
        raise _in_the_way(path, "was not written by glpn", hint)
    differences = find_differences(found, wanted, outputs)
    if not differences and says_source(wanted):
        return found
    if existing is Existing.UPDATE:
        return None
    why = f"was made otherwise: {differences[0]}" if differences else "is there already, perhaps of another stream"
    raise _in_the_way(path, why, "Make it again with --existing update.")


def find_differences(found: Record, wanted: Record, outputs: OutputSettings) -> tuple[object, ...]:
    """In what a clip that is there differs from the one that is wanted, the camera that was typed among it, as text."""
    camera = () if outputs.cloud is None else found.camera_difference(outputs.cloud.focal)
    return (*found.differences(wanted), *camera)


def says_source(record: Record) -> bool:
    """Whether a record tells the clip that it was made from from others: that of a stream does not."""
    return record.provenance is not None and record.provenance.source_blake2b is not None


def has_depth(source: ImageSource, *, beside: bool) -> bool:
    """Whether a clip holds depth that was made earlier; False where it cannot be read.

    beside: whether depth that lies beside it counts
    """
    if source.path is None:
        return False
    try:
        with Clip(source) as clip:
            own = depth_record_of(clip)
            return own is not None or (beside and find_depth(source, clip.facts.content) is not None)
    except InputError:
        return False


def _read_record_of(path: Path, *, whole: bool = False) -> Record | None:
    """The record of a clip of ours; None for others. Raises InputError where it cannot be read, or was changed.

    whole: whether it must not be cut short
    """
    with Clip(ImageSource(path, path.name, str(path))) as clip:
        depth_record_of(clip)
        if whole:
            clip.check_whole()
        return read_clip_record(clip.facts.metadata)


def holds_frames(path: Path) -> bool:
    """Whether a file is a clip of ours, of one frame at least."""
    try:
        return _read_record_of(path) is not None
    except InputError:
        return False


def read_partial(path: Path) -> Record:
    """The record of what an earlier run left. Raises OutputError where the file is not one of ours."""
    try:
        found = _read_record_of(path)
    except InputError:
        found = None
    if found is None:
        raise _in_the_way(path, "is no partial file of glpn, and one would be written there", "Move it, or remove it.")
    return found


def _in_the_way(path: Path, why: str, hint: str) -> OutputError:
    return OutputError(f"{str(path)!r} {why}", hint=hint, code=ErrorCode.EXISTS)


class UntilFull:
    """A file for PyAV that keeps what fits on the disk: a container can be closed when the disk takes no more.

    stream: the file
    path:   what errors call it

    stopped: the error of the first write that failed, and those that come after it go nowhere; None until then
    kept:    the bytes that are in the file
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._raw: Any = getattr(stream, "raw", stream)  # a buffer would fail again when it is closed
        self._path, self._at = path, 0
        self.stopped: GlpnError | None = None
        self.kept = 0

    def write(self, data: bytes) -> int:
        """Write all of it, or note why not."""
        left = memoryview(data)
        self._at += len(left)
        try:
            while left and self.stopped is None:
                left = left[self._raw.write(left) :]
                self.kept = max(self.kept, self._raw.tell())
        except OSError as error:
            self.stopped = write_error(self._path, error)
        return len(data)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as files do."""
        if self.stopped is None:
            self._at = self._raw.seek(place, whence)
        elif whence != os.SEEK_END:
            self._at = place + (self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._at


class PipeOut:
    """Standard output for PyAV: written piece by piece, never sought in."""

    def write(self, data: bytes) -> int:
        """Write, flushed. Raises BrokenPipeError where the reader has left."""
        stream = sys.stdout.buffer
        stream.write(data)
        stream.flush()
        return len(data)
