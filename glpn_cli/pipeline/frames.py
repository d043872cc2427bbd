"""Raw video through a pipe: frames of RGB in, frames of depth out, in order, one for one.

    ffmpeg ... -f rawvideo -pix_fmt rgb24 - | glpn export --raw 640x480 -o - -f gray16 --range 0.5:8 | ffmpeg ...

Raw frames say nothing about themselves, so what they mean must be the same for all of them: a range in numbers.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from glpn_cli.atomic_write import write_stdout
from glpn_cli.colormaps import RangeRule, draw_contours, paint, resolve_range
from glpn_cli.depth_files import Look, Writer, make_writer
from glpn_cli.depth_files.gray import Gray
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.errors import InputError, StoppedError, UsageError, wrap_exception
from glpn_cli.images import Picture
from glpn_cli.pipeline.answers import Answer, ask, calibrate
from glpn_cli.pipeline.conveyor import WriteBehind, read_ahead
from glpn_cli.pipeline.engine import Ended
from glpn_cli.pipeline.naming import Destination, choose_formats
from glpn_cli.pipeline.network import Network
from glpn_cli.pipeline.outcome import Facts, Outcome, Output, Status
from glpn_cli.pipeline.outputs import check_used
from glpn_cli.pipeline.settings import InputSettings, ModelSettings, OutputSettings
from glpn_cli.pipeline.tasks import settle
from glpn_cli.prediction import DepthMap

FORMATS = ("gray16", "gray", "png16", "color")
"""What frames can be: 16-bit and 8-bit grey, metres in 16 bits (all little-endian), and colours (rgb24)."""

_FOR_FILES = (
    *("--recursive", "--root", "--shard", "--as", "--kind", "--html", "--allow-failed", "--batch-size", "--workers"),
    *("--max-pixels", "--allow-truncated", "--orientation", "--frame", "--isolate", "--timeout"),
)
"""Options that are for files. `--fail-fast` is none: that is how frames go."""

_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class Frame:
    """One frame of the stream, as the source of a result."""

    name: str
    given: str = "-"
    path: Path | None = None


@dataclass(frozen=True, eq=False)
class _Answered:
    """A frame that has been through the network, and how long that took."""

    frame: Frame
    answer: Answer
    seconds: float


@dataclass(frozen=True)
class FrameRun:
    """A run over the frames that come, until the stream ends."""

    stream: BinaryIO
    size: tuple[int, int]
    writer: Writer
    look: Look
    network: Network
    allow_empty: bool = False
    total: None = None
    notes: tuple[str, ...] = ()

    def carry_out(self, show: Callable[[Outcome], None]) -> Ended:
        """Answer every frame; the first one that fails ends the stream, since those behind it would be out of step.

        While one is in the network, the next is read and the one before is written.
        """
        frames = read_ahead(read_frames(self.stream, self.size))
        estimator = self.network.open()
        writing = WriteBehind(self._write)
        interrupt: KeyboardInterrupt | None = None
        failure: tuple[Frame, Exception] | None = None
        count = 0
        try:
            while failure is None:
                frame = Frame(f"frame {count + 1}")
                try:
                    rgb = next(frames, None)
                    if rgb is None:
                        break
                    started = time.perf_counter()
                    (answer,) = ask(estimator, [Picture(rgb, self.size)], self.network)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this frame's, and told
                    failure = (frame, error)
                    break
                count += 1
                goes_on = writing.put(_Answered(frame, answer, time.perf_counter() - started))
                for outcome in writing.done():
                    show(outcome)
                if not goes_on:
                    break
        except KeyboardInterrupt as error:
            interrupt = error
        unwritten = writing.close(is_interrupted=interrupt is not None)
        for outcome in writing.done():
            show(outcome)
        if interrupt is not None:
            return Ended(interrupt=interrupt)
        if unwritten is not None:
            failure = (unwritten[0].frame, unwritten[1])
        if failure is not None:
            return _tell_failure(*failure, show)
        if not count and not self.allow_empty:
            raise UsageError("not one frame came", hint="Add --allow-empty to make this no error.")
        return Ended()

    def _write(self, answered: _Answered) -> Outcome:
        """Encode and write one frame. In a thread."""
        started = time.perf_counter()
        write_stdout(encode_frame(answered.answer.depth, self.writer, self.look))
        return self._outcome(answered.frame, answered.answer, answered.seconds + time.perf_counter() - started)

    def rehearse(self, show: Callable[[Outcome], None]) -> Ended:
        """Nothing can be told of frames that have not come."""
        del show
        return Ended()

    def _outcome(self, frame: Frame, answer: Answer, seconds: float) -> Outcome:
        depth = answer.depth
        facts = Facts(depth.kind, depth.limit, depth.extent(), depth.size, answer.provenance, answer.intrinsics)
        scale = self.writer.depth_scale if isinstance(self.writer, Png16) else None
        unit = "m" if scale is not None else None
        output = Output("-", self.writer.format, self.writer.map, unit, scale)
        return settle(frame, Status.OK, outputs=(output,), facts=facts, warnings=answer.warnings, seconds=seconds)


def prepare_frames(text: str, choice: InputSettings, results: OutputSettings, model: ModelSettings) -> FrameRun:
    """A run over raw frames from standard input to standard output. Raises UsageError where it makes no sense.

    text: their size, WIDTHxHEIGHT
    """
    results.explicit.refuse(
        *_FOR_FILES,
        because="makes no sense for --raw frames",
        hint="They are bare pixels of one stream, and the first that fails ends it.",
    )
    size, look, network = parse_frame_size(text), results.look or Look(), Network.of(model, results)
    if list(choice.named) not in ([], ["-"]) or choice.lists or choice.lists0:
        raise UsageError("--raw reads frames from standard input, and no other inputs")
    if not Destination.parse(results.output).is_stdout:
        raise UsageError("--raw writes frames to standard output", hint="Write to standard output with -o - .")
    for name, is_asked in (("--colorbar", look.colorbar), ("--side-by-side", look.side_by_side)):
        if is_asked:
            raise UsageError(f"{name} would change the size of the frames")
    formats = choose_formats(results.formats, Destination.parse(results.output), default=FORMATS[0], allowed=FORMATS)
    if len(formats) > 1:
        raise UsageError(f"{' and '.join(formats)} cannot both be written to standard output")
    kind, provenance = calibrate(network.recipe.kind, network.recipe.provenance, results.calibration)
    if network.recipe.lens is not None:
        if network.recipe.lens.text == "auto":
            raise UsageError(
                "--metres focal needs to know the lens, and raw frames do not tell it",
                hint="Say it with --focal, such as --focal 65deg.",
            )
        provenance = network.recipe.provenance_of(size, None)
    writer = make_writer(formats[0], kind=kind, limit_m=provenance.limit_m, depth_scale=results.depth_scale, look=look)
    check_used(results, [writer])
    if not isinstance(writer, Png16) and look.range.ends is None and look.range.rule is not RangeRule.MODEL:
        raise UsageError(
            f"--range {look.range.text} changes from frame to frame, and raw frames cannot say how",
            hint="Fix it with --range 0.5:8, or --range model.",
        )
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return FrameRun(sys.stdin.buffer, size, writer, look, network, choice.allow_empty)


def parse_frame_size(text: str) -> tuple[int, int]:
    """(H, W) of `640x480`. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not 0 < int(found[1]) * int(found[2]) <= _MOST_PIXELS:
        raise UsageError(f"--raw {text!r} is no size of frames", hint="Write WIDTHxHEIGHT, such as --raw 640x480.")
    return int(found[2]), int(found[1])


def read_frames(stream: BinaryIO, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Frames of rgb24, uint8 (H, W, 3), as they come. Raises InputError where the last one is not whole."""
    # Below Python's buffer, whose lock a thread that waits for the next frame would hold at the program's end.
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


def _tell_failure(frame: Frame, error: Exception, show: Callable[[Outcome], None]) -> Ended:
    """What a frame that could not be read, answered or written comes to."""
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, StoppedError):
        return Ended(stopped=error)
    show(settle(frame, Status.ERROR, error=wrap_exception(error)))
    return Ended(is_enough=True)


def encode_frame(depth: DepthMap, writer: Writer, look: Look) -> bytes:
    """A map as a bare frame in the form of a writer. Raises OutputError where a depth does not fit."""
    if isinstance(writer, Png16):
        return writer.quantize(depth).astype("<u2", copy=False).tobytes()
    ends = resolve_range(look.range, depth)
    if isinstance(writer, Gray):
        levels = writer.quantize(depth, ends)
        return levels.astype(levels.dtype.newbyteorder("<"), copy=False).tobytes()
    colors = paint(depth, range=ends, colormap=look.colormap, invert=look.invert)
    if look.contours_m is not None:
        colors = draw_contours(colors, depth, every_m=look.contours_m)
    return colors.tobytes()
