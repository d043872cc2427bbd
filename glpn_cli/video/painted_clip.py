"""Clips to look at: painted depth in H.264, with the sound of the clip."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from glpn_cli.colormaps import PaintRange, RangePolicy
from glpn_cli.depth_files import Record
from glpn_cli.depth_files.record import text_to_json
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.prediction import DepthMap
from glpn_cli.video.clip import Clip
from glpn_cli.video.facts import RECORD_KEY
from glpn_cli.video.frame import Frame
from glpn_cli.video.library import load_av

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_CODEC = "libx264"
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_BT709, _LIMITED = 1, 1  # of ITU-T H.273, and of FFmpeg

_RUNNING_S = 2.0
"""How fast a running range follows the depths: after so many seconds it has gone two thirds of the way."""


class RunningRange:
    """The range of each frame, which follows the depths of those before it smoothly."""

    def __init__(self, policy: RangePolicy) -> None:
        self._policy = policy
        self._ends: tuple[float, float] | None = None
        self._time_s = 0.0

    def follow(self, depth: DepthMap, time_s: float) -> PaintRange:
        """The range for the frame at a time."""
        asked = self._policy.resolve(depth)
        near, far = self._ends or (asked.near, asked.far)
        share = 1 - math.exp(-max(0.0, time_s - self._time_s) / _RUNNING_S)
        self._ends = near * (asked.near / near) ** share, far * (asked.far / far) ** share
        self._time_s = time_s
        return PaintRange(*self._ends)


class PaintedClipWriter:
    """Writes painted frames into a stream, and the sound between them.

    stream: seekable, or a pipe for Matroska
    form:   of `CONTAINERS`
    clip:   the clip that the frames are of; its sound is passed on as it is
    record: what the file says about itself

    Raises UsageError where PyAV was built without x264.
    """

    def __init__(self, stream: BinaryIO | Any, form: str, clip: Clip, record: Record) -> None:
        av = load_av()
        if _CODEC not in av.codec.codecs_available:
            raise UsageError(
                "this PyAV cannot write H.264: it was built without x264",
                hint="Run: pip install --force-reinstall --only-binary :all: av",
                code=ErrorCode.UNSUPPORTED,
            )
        self._frame_type, self._clip, self._facts = av.VideoFrame, clip, clip.facts
        # Without sound the first frame is the beginning: clips of depth have the times of the clip they are a part of.
        self._shift = round(clip.settings.start_s / self._facts.time_base) if clip.sound_streams else None
        options = {} if form == "matroska" else {"movflags": "+use_metadata_tags"}
        self._container = av.open(stream, "w", format=form, container_options=options)
        self._container.metadata[RECORD_KEY] = text_to_json(record.to_text()).decode("ascii")
        self._video = self._container.add_stream(_CODEC, rate=self._facts.rate, options=_OPTIONS)
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = self._facts.time_base
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._size: tuple[int, int] | None = None
        self.warnings: list[str] = []
        self._sound = None
        for sound in clip.sound_streams:
            name = sound.codec_context.name
            if sound.codec_context.codec.name in self._container.supported_codecs or form == "matroska":
                self._sound = self._container.add_stream_from_template(sound)
            else:
                self.warnings.append(f"{form} cannot hold its sound ({name}), which is left out: write .mkv to keep it")

    def write(self, frame: Frame, canvas: NDArray[np.uint8]) -> None:
        """Add one painted frame, uint8 (H, W, 3); all get the size of the first, made even."""
        if self._size is None:
            self._size = canvas.shape[0] + canvas.shape[0] % 2, canvas.shape[1] + canvas.shape[1] % 2
            self._video.height, self._video.width = self._size
            if self._facts.aspect > 0 and canvas.shape[:2] == self._facts.size:
                self._video.sample_aspect_ratio = self._facts.aspect
        coded = self._frame_type.from_ndarray(_fit(canvas, self._size), format="rgb24")
        coded = coded.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        if self._shift is None:
            self._shift = frame.pts - self._facts.start
        coded.pts, coded.time_base = frame.pts - self._facts.start - self._shift, self._facts.time_base
        if frame.length:
            coded.duration = frame.length
        self._container.mux(self._video.encode(coded))
        self._pass_sound(frame.time_s)

    def close(self) -> None:
        """Finish the file: what is in it so far can be played."""
        if self._size is not None:
            self._container.mux(self._video.encode(None))
            self._pass_sound(self._clip.settings.end_s or math.inf)
        self._container.close()

    def _pass_sound(self, until_s: float) -> None:
        """Pass on the packets of the sound up to a time; those before the beginning of the part go nowhere."""
        sound, start_s = self._clip.sound, self._clip.settings.start_s
        origin_s = float(self._facts.start * self._facts.time_base)
        while sound:
            packet = sound[0]
            time_s = float(packet.dts * packet.time_base) - origin_s
            if time_s > until_s:
                return
            sound.popleft()
            if self._sound is None or (start_s and time_s < start_s):
                continue
            shift = round((origin_s + start_s) / packet.time_base)
            packet.dts -= shift
            if packet.pts is not None:
                packet.pts -= shift
            packet.stream = self._sound
            self._container.mux(packet)


def _fit(canvas: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A canvas of exactly (H, W): its edge goes on where it is too small, and is cut where it is too large."""
    height, width = size
    canvas = canvas[:height, :width]
    missing = ((0, height - canvas.shape[0]), (0, width - canvas.shape[1]), (0, 0))
    return np.ascontiguousarray(np.pad(canvas, missing, mode="edge") if any(map(sum, missing)) else canvas)
