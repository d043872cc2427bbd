"""Raw video through a pipe: frames of RGB in, frames of depth out, in order, one for one.

    ffmpeg ... -f rawvideo -pix_fmt rgb24 - | glpn export --raw 640x480 -o - -f gray16 --range 0.5:8 | ffmpeg ...

Raw frames carry no record, so their meaning must be the same for all of them: a range in numbers. The first frame that
fails ends the stream, since those behind it would be out of step.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import RangeRule, draw_contours, paint, resolve_range
from glpn_cli.depth_files import ColorizeOptions, EncodedFile, Format, Record, make_writer
from glpn_cli.depth_files.base import depth_of
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.depth_files.styles import Gray
from glpn_cli.errors import InputError, UsageError
from glpn_cli.images import ImageSource, Picture
from glpn_cli.images.picture import AtLeast
from glpn_cli.pipeline.naming import Destination, choose_formats
from glpn_cli.pipeline.outputs import Target, check_used
from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.run import StreamRun
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings, RunSettings
from glpn_cli.pipeline.stages import Stages
from glpn_cli.prediction import DepthKind, Provenance, Result

FORMATS = ("gray16", "gray", "png16", "color")
"""The forms of frames: 16-bit and 8-bit grey, metres in 16 bits (all little-endian), and colours (rgb24)."""

_FOR_FILES = (
    *("--recursive", "--root", "--shard", "--as", "--kind", "--html", "--allow-failed", "--batch-size", "--workers"),
    *("--max-pixels", "--allow-truncated", "--orientation", "--frame", "--isolate", "--timeout"),
)
"""Options that are for files. `--fail-fast` is none: that is how frames go."""

_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True, slots=True)
class Frame(ImageSource):
    """A frame of the stream, or the reason why it could not be read."""

    rgb: NDArray[np.uint8] | None = None
    error: Exception | None = None

    def read(self, *, at_least: AtLeast | None = None) -> Picture:  # noqa: ARG002 - it is decoded already
        """The frame as a picture."""
        if self.error is not None:
            raise self.error
        assert self.rgb is not None
        return Picture(self.rgb, self.rgb.shape[:2])


@dataclass(frozen=True)
class _FrameWriter:
    """Writes bare frames in the form of a writer of files."""

    writer: Format
    look: ColorizeOptions
    carries_record: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)

    def check(self, kind: DepthKind, limit_m: float | None) -> None:
        """Refuse, before anything is computed, depths that the format cannot hold (UsageError)."""
        self.writer.check(kind, limit_m)

    def expect(self, source: str, *, kind: DepthKind, provenance: Provenance | None) -> Record | None:
        """Frames have no record."""

    def encode(self, result: Result) -> EncodedFile:
        """The frame. Raises OutputError where a depth does not fit."""
        depth, look, writer = depth_of(result), self.look, self.writer
        if isinstance(writer, Png16):
            return EncodedFile(writer.quantize(depth).astype("<u2", copy=False).tobytes())
        ends = resolve_range(look.range, depth)
        if isinstance(writer, Gray):
            levels = writer.quantize(depth, ends)
            return EncodedFile(levels.astype(levels.dtype.newbyteorder("<"), copy=False).tobytes())
        colors = paint(depth, range=ends, colormap=look.colormap, invert=look.invert)
        if look.contours_m is not None:
            colors = draw_contours(colors, depth, every_m=look.contours_m)
        return EncodedFile(colors.tobytes())


def plan_video(text: str, inputs: InputSettings, outputs: OutputSettings, model: ModelSettings) -> StreamRun:
    """A run over raw frames from standard input to standard output. Raises UsageError where it makes no sense.

    text: their size, WIDTHxHEIGHT
    """
    outputs.explicit.refuse(
        *_FOR_FILES,
        because="makes no sense for --raw frames",
        hint="They are bare pixels of one stream, and the first that fails ends it.",
    )
    size, look, inference = _parse_frame_size(text), outputs.look or ColorizeOptions(), model.inference
    destination = Destination.parse(outputs.output)
    if list(inputs.named) not in ([], ["-"]) or inputs.lists or inputs.lists0:
        raise UsageError("--raw reads frames from standard input, and no other inputs")
    if not destination.is_stdout:
        raise UsageError("--raw writes frames to standard output", hint="Write to standard output with -o - .")
    for name, is_asked in (("--colorbar", look.colorbar), ("--side-by-side", look.side_by_side)):
        if is_asked:
            raise UsageError(f"{name} would change the size of the frames")
    formats = choose_formats(outputs.formats, destination, default=FORMATS[0], allowed=FORMATS)
    if len(formats) > 1:
        raise UsageError(f"{' and '.join(formats)} cannot both be written to standard output")
    kind, provenance = inference.kind, inference.provenance
    if outputs.calibration is not None:
        outputs.calibration.check(kind, provenance)
        kind, provenance = DepthKind.METRIC, outputs.calibration.apply_to(provenance)
    if inference.lens is not None:
        if inference.lens.text == "auto":
            raise UsageError(
                "--metres focal needs to know the lens, and raw frames do not tell it",
                hint="Say it with --focal, such as --focal 65deg.",
            )
        provenance = inference.provenance_of(size, None)
    writer = make_writer(formats[0], kind=kind, limit_m=provenance.limit_m, depth_scale=outputs.depth_scale, look=look)
    check_used(outputs, [writer])
    if not isinstance(writer, Png16) and look.range.ends is None and look.range.rule is not RangeRule.MODEL:
        raise UsageError(
            f"--range {look.range.text} changes from frame to frame, and raw frames cannot say how",
            hint="Fix it with --range 0.5:8, or --range model.",
        )
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    target = Target(None, cast("Format", _FrameWriter(writer, look)), kind)
    plan = partial(_plan_frames, sys.stdin.buffer, size, target, allow_empty=inputs.allow_empty)
    settings = RunSettings(workers=1, batch_size=1, fail_fast=True)
    return StreamRun(plan, Stages(model, outputs), settings, is_video=True)


def _plan_frames(
    stream: BinaryIO, size: tuple[int, int], target: Target, *, allow_empty: bool, is_dry: bool
) -> Iterator[Task]:
    """A task for every frame. Raises UsageError where not one comes."""
    assert not is_dry
    number = 0
    frames = read_frames(stream, size)
    while True:
        number += 1
        name = f"frame {number}"
        try:
            rgb = next(frames, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this frame's, and told
            yield Task(Frame(None, name, "-", b"", error=error), (target,))
            return
        if rgb is None:
            break
        yield Task(Frame(None, name, "-", b"", rgb=rgb), (target,))
    if number == 1 and not allow_empty:
        raise UsageError("not one frame came", hint="Add --allow-empty to make this no error.")


def _parse_frame_size(text: str) -> tuple[int, int]:
    """(H, W) of `640x480`. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not 0 < int(found[1]) * int(found[2]) <= _MOST_PIXELS:
        raise UsageError(f"--raw {text!r} is no size of frames", hint="Write WIDTHxHEIGHT, such as --raw 640x480.")
    return int(found[2]), int(found[1])


def read_frames(stream: BinaryIO, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Frames of rgb24, uint8 (H, W, 3), as they come. Raises InputError where the last one is not whole."""
    # Below Python's buffer, whose lock a thread that waits for the next frame would hold at exit.
    source: Any = getattr(stream, "raw", stream)
    while True:
        frame = np.empty((*size, 3), np.uint8)
        place = frame.data.cast("B")
        filled = 0
        while filled < frame.nbytes and (got := source.readinto(place[filled:])):
            filled += got
        if not filled:
            return
        if filled < frame.nbytes:
            raise InputError(
                f"the stream ends within a frame: {filled} of {frame.nbytes} bytes",
                hint=f"Is --raw {size[1]}x{size[0]} the size of the frames, and -pix_fmt rgb24 their form?",
            )
        yield frame
