"""Clips for tests, made by PyAV, which needs no ffmpeg."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from glpn_cli.depth_files.png16 import decode_levels
from glpn_cli.prediction import DepthMap
from glpn_cli.video.depth_clip import DepthClip
from glpn_cli.video.frame import Frame


def pictures(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray[Any, Any]]:
    """Frames uint8 (H, W, 3), each told from the others."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return [
        np.stack([(columns * 3 + 9 * n) % 256, (rows * 4 + 5 * n) % 256, (rows + columns + n) % 256], axis=2).astype(
            np.uint8
        )
        for n in range(count)
    ]


def make_clip(
    path: Path,
    count: int = 6,
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    rotation: int = 0,
    sound: bool = False,
    trc: int | None = None,
    b_frames: int | None = None,
) -> Path:
    """A clip of `count` frames, shown at `times` (in units of `time_base`; None: 0, 1, 2, ...)."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if trc is not None:
            stream.codec_context.color_trc, stream.codec_context.color_primaries = trc, 9
            stream.codec_context.colorspace = 9
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for pts, rgb in zip(times or range(count), pictures(count, size), strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            for block in range(12):
                samples = av.AudioFrame.from_ndarray(
                    np.sin(np.arange(1024) / 20 + block).astype(np.float32)[None], format="fltp", layout="mono"
                )
                samples.rate, samples.pts = 48000, block * 1024
                container.mux(voice.encode(samples))
            container.mux(voice.encode(None))
    return path


def code_anew(
    path: Path,
    made: Path,
    codec: str,
    pix_fmt: str,
    *,
    factor: int = 1,
    rotation: int = 0,
    record: tuple[str, str] = ("", ""),
    encoder: str | None = None,
) -> Path:
    """The frames of a clip in another codec, with the texts of its file, as ffmpeg passes them on.

    factor:   by which they are made smaller
    rotation: by which players shall turn them
    record:   (this, with that in its place) in its record
    encoder:  what it says has coded it
    """
    import av

    with av.open(str(path)) as given, av.open(str(made), "w") as container:
        container.metadata.update({key: text.replace(*record) for key, text in given.metadata.items()})
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = (
            given.streams.video[0].height // factor,
            given.streams.video[0].width // factor,
            pix_fmt,
        )
        if rotation:
            stream.set_display_rotation(rotation)
        if encoder is not None:
            stream.metadata["encoder"] = encoder
        for frame in given.decode(video=0):
            container.mux(stream.encode(frame.reformat(format=pix_fmt, width=stream.width, height=stream.height)))
        container.mux(stream.encode(None))
    return made


def read_packets(path: Path, kind: str) -> list[bytes]:
    """The coded bytes of a stream, packet by packet."""
    import av

    with av.open(str(path)) as container:
        return [bytes(each) for each in container.demux(**{kind: 0}) if each.size]


def read_frames(path: Path) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """The time and the numbers of every frame."""
    import av

    with av.open(str(path)) as container:
        return [(float(each.pts * each.time_base), each.to_ndarray()) for each in container.decode(video=0)]


def depths_of(clip: DepthClip) -> list[tuple[Frame, DepthMap]]:
    """Every frame of a clip of depth, and its depths."""
    return [(frame, decode_levels(levels, clip.record)) for frame, levels in clip.levels()]
