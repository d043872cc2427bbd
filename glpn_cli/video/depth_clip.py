"""Clips of depth: 16-bit grey frames, coded without loss (FFV1) in Matroska, with the record of a depth file.

The numbers are those of 16-bit PNG: metres times a scale, 0 where nothing is known; or the levels of a grey picture, by
the range that the record tells. Matroska counts time in milliseconds, and so do these clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Format, Record
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.depth_files.record import CHECKSUM, PREFIX, number_text, text_from_json, text_to_json, unescape
from glpn_cli.depth_files.styles import Gray
from glpn_cli.errors import ErrorCode, GlpnError, InputError, UsageError
from glpn_cli.images import ImageSource
from glpn_cli.images.picture import ContentId
from glpn_cli.prediction import DepthMap
from glpn_cli.video.clip import Clip
from glpn_cli.video.colors import is_upright
from glpn_cli.video.facts import RECORD_KEY, ClipFacts
from glpn_cli.video.frame import Frame
from glpn_cli.video.library import load_av
from glpn_cli.video.settings import SAME_S, ClipSettings

DEPTH_MAPS = ("depth", "gray")
"""The maps of records of clips whose frames are depths, or stand for them."""

_PIXELS = ("gray16le", "gray16be")
_LOSSLESS = ("ffv1", "png", "rawvideo", "tiff")
_AS_WRITTEN = "Take the file that glpn wrote; a copy by ffmpeg with -c copy keeps its numbers."
_SLICES = 2
"""Parts of a frame that FFV1 codes side by side, along each side."""


def quantize(writer: Format, depth: DepthMap) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The numbers that are stored, (H, W). Raises OutputError where a depth does not fit."""
    if isinstance(writer, Png16):
        return writer.quantize(depth)
    assert isinstance(writer, Gray)
    ends = writer.look.range.ends_for(depth.kind)
    assert ends is not None, "the range is settled before the first frame"
    return writer.quantize(depth, ends)


def read_clip_record(metadata: dict[str, str] | None) -> Record | None:
    """The record in the texts of a clip; None where it is not ours. Raises InputError where it is damaged."""
    return Record.from_text(text_from_json((metadata or {}).get(RECORD_KEY, "")))


def peek_record(path: Path) -> Record | None:
    """The record of a clip of ours, without decoding a frame; None for others.

    Raises InputError where it cannot be opened or its record is damaged, UsageError where the extra is not installed.
    """
    av = load_av()
    try:
        with av.open(str(path)) as container:
            return read_clip_record(dict(container.metadata))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be opened as a video: {error}") from error


def depth_record_of(clip: Clip) -> Record | None:
    """The record of a clip that holds depth which was made earlier; None for others.

    Raises InputError where another program coded its numbers anew, scaled or turned them: programs pass the record on
    all the same.
    """
    record = read_clip_record(clip.facts.metadata)
    if record is None or record.map not in DEPTH_MAPS:
        return None
    codec, pixels = clip.facts.codec, clip.facts.pixels
    fits = codec in _LOSSLESS and pixels in (_PIXELS if record.map == "depth" else (*_PIXELS, "gray"))
    if not fits or clip.facts.encoder is not None:
        raise InputError(
            f"{clip.source.label} has the record of a clip of depth, but another program coded its frames anew "
            f"({clip.facts.encoder or codec}, {pixels}), and their numbers are no depth any more",
            hint=_AS_WRITTEN,
            code=ErrorCode.DATA,
        )
    record.check_size(clip.facts.size, hint=_AS_WRITTEN)
    if not is_upright(clip.facts.matrix):
        raise InputError(
            f"{clip.source.label} is a clip of depth that was turned", hint=_AS_WRITTEN, code=ErrorCode.DATA
        )
    return record


def refuse_painted(clip: Clip) -> None:
    """Raise UsageError for a clip that was painted of depth: what a model says of colours is no depth."""
    record = read_clip_record(clip.facts.metadata)
    if record is not None and record.map not in DEPTH_MAPS:
        raise UsageError(
            f"{clip.source.label} is a clip that was painted of depth already",
            hint="Name the clip that it was made of, or a clip of depth.",
        )


class DepthClipWriter:
    """Writes frames of depth into a stream, one after the other.

    stream: seekable or not; a pipe gets no index
    facts:  the clip that the frames are of
    record: what the file says about itself
    dtype:  of the numbers: uint16, or uint8
    """

    def __init__(self, stream: BinaryIO | Any, facts: ClipFacts, record: Record, dtype: Any) -> None:
        av = load_av()
        self._frame_type = av.VideoFrame
        self._facts = facts
        self._format = "gray16le" if np.dtype(dtype).itemsize == 2 else "gray"
        # Who reads a pipe waits for no cluster to fill.
        options = {} if hasattr(stream, "seek") else {"cluster_time_limit": "0"}
        self._container = av.open(stream, "w", format="matroska", options=options)
        self._container.metadata.update(
            {
                RECORD_KEY: text_to_json(replace(record, size=facts.size).to_text()).decode("ascii"),
                "COMMENT": _comment(record),
            }
        )
        options = {"level": "3", "slices": str(min(_SLICES, *facts.size) ** 2), "slicecrc": "1"}
        self._stream = self._container.add_stream("ffv1", rate=facts.rate, options=options)
        self._stream.height, self._stream.width = facts.size
        self._stream.pix_fmt = self._format
        self._stream.time_base = self._stream.codec_context.time_base = facts.time_base
        self._stream.codec_context.gop_size = 1  # a frame that is damaged on the disk takes no other with it
        self._stream.thread_type = "AUTO"
        if facts.aspect > 0:
            self._stream.sample_aspect_ratio = facts.aspect

    def write(self, frame: Frame, levels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Add the numbers of one frame, (H, W)."""
        coded = self._frame_type.from_ndarray(np.ascontiguousarray(levels), format=self._format)
        coded.pts, coded.time_base = frame.pts - self._facts.start, self._facts.time_base
        if frame.length:
            coded.duration = frame.length
        self._container.mux(self._stream.encode(coded))

    def close(self) -> None:
        """Finish the file: what is in it so far can be played."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _comment(record: Record) -> str:
    """What the numbers mean, for whoever opens the file with another program."""
    if record.map == "depth" and record.depth_scale is not None:
        return f"depth: number / {number_text(record.depth_scale)} = metres, 0 = unknown"
    return f"{record.map}: near is white, 0 = unknown"


class DepthClip:
    """A clip of depth that was written earlier. Raises InputError where it is none of ours."""

    def __init__(self, path: Path) -> None:
        source = ImageSource(path, path.name, str(path))
        self.clip = Clip(source)
        record = depth_record_of(self.clip)
        if record is None:
            self.clip.close()
            raise InputError(
                f"{source.label} is a video, and no depth of ours",
                hint="Make depth of it first with glpn predict.",
                code=ErrorCode.UNSUPPORTED,
            )
        self.record = record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clip.close()

    def levels(self) -> Iterator[tuple[Frame, NDArray[Any]]]:
        """Every frame and its numbers, uint8 or uint16 (H, W)."""
        for frame in self.clip.frames():
            yield frame, frame.image.to_ndarray()


def describe_clip(path: Path) -> dict[str, Any]:
    """What a clip of ours says about itself. Raises InputError for others."""
    with Clip(ImageSource(path, path.name, str(path))) as clip:
        facts, record = clip.facts, read_clip_record(clip.facts.metadata)
        if record is None:
            raise InputError(
                "it is a video, and was not made by glpn",
                hint="Make depth of it first with glpn predict.",
                code=ErrorCode.UNSUPPORTED,
            )
        depth_record_of(clip)
        clip.check_whole()
        told = replace(record, size=None).to_text().items()
        text = {key.removeprefix(PREFIX): unescape(value) for key, value in told if key != CHECKSUM}
        return {
            "width": facts.size[1],
            "height": facts.size[0],
            "codec": facts.codec,
            "frames": facts.frames,
            "duration_s": None if facts.duration_s is None else round(facts.duration_s, 3),
            "software": text.pop("Software"),
            **text,
        }


# The depth that was made of a clip earlier, and lies beside it: clip_depth.mkv of clip.mp4


def path_beside(source: ImageSource) -> Path | None:
    """Where the depth of a clip would lie; None for a stream."""
    return None if source.path is None else source.path.with_name(f"{source.path.stem}_depth.mkv")


def find_depth(source: ImageSource, content: ContentId | None) -> Record | None:
    """The record of the depth beside a clip; None where there is none, or it is of other bytes or of a part.

    content: what tells the clip's bytes from others
    """
    path = path_beside(source)
    if path is None or content is None or not path.is_file():
        return None
    try:
        record = peek_record(path)
    except GlpnError:
        return None
    made = record.provenance if record is not None else None
    if record is None or record.map != "depth" or made is None or ClipSettings.are_part(made.view):
        return None
    return record if content == ContentId(made.source_bytes or 0, made.source_blake2b or "") else None


def follow_depth(path: Path, frames: Iterator[Frame]) -> Iterator[tuple[Frame, NDArray[np.uint16] | InputError]]:
    """The frames of a clip, each with its numbers, (H, W), out of the clip of depth that was made of it."""
    with DepthClip(path) as stored:
        earlier = stored.levels()
        found = next(earlier, None)
        for frame in frames:
            while found is not None and found[0].time_s < frame.time_s - SAME_S:
                found = next(earlier, None)
            if found is None or found[0].time_s > frame.time_s + SAME_S:
                yield frame, InputError(f"{path.name} beside it lacks the frame")
            else:
                yield frame, found[1]
