"""A clip that is read frame by frame: opened, sought in, decoded; what fails is left out and counted."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Self

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import ImageSource
from glpn_cli.video.facts import RECORD_KEY, ClipFacts
from glpn_cli.video.frame import Frame
from glpn_cli.video.integrity import are_slices_sound, lacks_bytes
from glpn_cli.video.library import load_av
from glpn_cli.video.settings import ClipSettings, FrameChooser
from glpn_cli.video.sources import SEQUENCE, files_of_sequence, is_sequence, options_of, stream_of

_SEQUENCE_FPS = 25.0
_MOST_FAILURES = 16
"""After so many reads that fail one after the other, nothing more is expected of a file."""

_LEAST_MISSING_S = 1.0


class Clip:
    """An open clip: its facts, then its frames, once, in the order of their times.

    source:     the file or the stream, and what its results are called
    settings:   which frames are taken
    with_sound: keep the packets of the sound for whoever passes them on, in `sound`

    What cannot be decoded is left out, and counted in `lost`; the frames behind it come. Raises InputError where it
    cannot be opened, or has no picture.
    """

    def __init__(self, source: ImageSource, settings: ClipSettings | None = None, *, with_sound: bool = False) -> None:
        self._av = load_av()
        self.source = source
        self.settings = settings or ClipSettings()
        self.lost: list[float] = []
        self.concealed = 0
        self.is_cut_short = False
        self.sound: deque[Any] = deque()
        self.read_s = 0.0
        self._is_waiting = False
        self._seekable = source.path is not None
        self._with_sound = with_sound
        self._container = self._open()
        try:
            self._begin()
            self._first = self._next_image()
            self.facts = self._look()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a thread that waits for more of a pipe keeps it, and ends with the process."""
        if not self._is_waiting:
            self._container.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong while it was read, for the user."""
        said = []
        if self.lost:
            shown = ", ".join(f"{time:.3f} s" for time in self.lost[:5]) + (", ..." if self.lost[5:] else "")
            said.append(f"{_count(len(self.lost), 'frame')} could not be decoded, and left out: {shown}")
        if self.concealed:
            said.append(f"{_count(self.concealed, 'frame')} came damaged out of the decoder, which patched them")
        if self.is_cut_short:
            said.append("the file is cut short or damaged, and the rest of it could not be read")
        return tuple(said)

    @property
    def expected_frames(self) -> int | None:
        """How many frames are asked for, about; None where nobody knows."""
        facts, asked = self.facts, self.settings
        if facts.frames is None or not facts.duration_s:
            return None
        end_s = min(asked.end_s or math.inf, facts.duration_s)
        seconds = max(0.0, end_s - asked.start_s)
        count = facts.frames * seconds / facts.duration_s / asked.every
        return max(1, round(count if asked.fps is None else min(count, seconds * asked.fps)))

    def frames(self) -> Iterator[Frame]:
        """The frames that are asked for."""
        facts, chooser = self.facts, FrameChooser(self.settings)
        number, first = self._seek()
        image = first
        last: int | None = None
        while image is not None:
            pts = self._pts_of(image, number)
            if last is not None and pts <= last:  # in files that were joined, and some AVIs, time goes back
                pts = last + (max(1, image.duration or 0) if pts < last else 1)
            last = pts
            time_s = self.read_s = facts.time_of(pts)
            if chooser.is_past(time_s):
                return
            if chooser.takes(time_s):
                self.concealed += bool(image.is_corrupt)
                yield Frame(
                    self.source.path,
                    self.name_of(number, time_s),
                    self.source.given,
                    self.source.data,
                    options=self.source.options,
                    number=number,
                    time_s=time_s,
                    pts=pts,
                    length=image.duration or 0,
                    image=image,
                    clip=facts,
                )
            number += 1
            image = self._next_image()
        if last is not None:
            self._check_end(facts.time_of(last))

    def check_whole(self) -> None:
        """Raise InputError for a file of Matroska that is shorter than it says. Nothing is decoded."""
        if self.source.path is not None and lacks_bytes(self.source.path):
            raise self.cut_short_error()

    def cut_short_error(self) -> InputError:
        """The error for what lies behind the end of a file that is cut short."""
        return InputError(f"{self.source.label} is cut short or damaged, and the rest of it cannot be read")

    def _check_end(self, last_s: float) -> None:
        """Note a file that ends before it says it does: Matroska and MP4 alone say so for certain."""
        says, path = self.facts.duration_s, self.source.path
        self.is_cut_short |= path is not None and lacks_bytes(path)
        if says is not None and {"matroska", "mp4"} & set(self._container.format.name.split(",")):
            is_alone = self._stream.duration is not None or len(self._container.streams) == 1
            self.is_cut_short |= is_alone and says - last_s > max(_LEAST_MISSING_S, 0.02 * says)

    # Opening

    def _open(self) -> Any:
        source, options = self.source, options_of(self.source)
        where: Any = str(source.path) if source.path is not None else stream_of(source)
        form = None
        if source.path is not None and is_sequence(where):
            rate = self.settings.fps or _SEQUENCE_FPS
            first = min(files_of_sequence(source.path))
            form, options = "image2", {"framerate": f"{rate:g}", "start_number": f"{first}"}
            self.settings = replace(self.settings, fps=None)
        try:
            return self._av.open(where, format=form, options=options)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise self._error(error, "cannot be opened as a video") from error

    def _begin(self) -> None:
        self._stream = self._choose_stream()
        self._stream.thread_type = "AUTO"
        sounds = self._container.streams.audio if self._with_sound else ()
        self.sound_streams = [each for each in sounds if each.codec_context is not None][:1]
        context = self._stream.codec_context
        # The decoder patches a frame whose checksum is wrong and says nothing; of depth that would be another depth.
        self._is_checked = bool(RECORD_KEY in self._container.metadata and context.name == "ffv1" and context.extradata)
        # AVI counts frames in the order in which they are coded, and FFmpeg guesses when they are shown: it is wrong by
        # two frames where some are coded before those that are shown earlier (B frames).
        self._is_counted = bool(context.has_b_frames and self._container.format.name == "avi")
        self._images = self._decode()
        self.sound.clear()

    def _choose_stream(self) -> Any:
        streams = [
            each for each in self._container.streams.video if "attached_pic" not in str(each.disposition).lower()
        ]
        if not streams:
            raise InputError(f"{self.source.label} has no video in it", code=ErrorCode.UNSUPPORTED)
        best = self._container.streams.best("video")
        stream = best if best in streams else streams[0]
        if stream.codec_context is None:
            raise InputError(
                f"{self.source.label} is a video of a kind that cannot be decoded here", code=ErrorCode.UNSUPPORTED
            )
        return stream

    def _look(self) -> ClipFacts:
        """The facts, with the help of the first frame. Raises InputError where there is none, or it is too large."""
        if self._first is None:
            raise InputError(f"{self.source.label} holds no frame that can be decoded", hint=self._pipe_hint)
        return ClipFacts.read(self.source, self._container, self._stream, self._first)

    # Reading

    def _seek(self) -> tuple[int, Any]:
        """Go to the beginning of the part that is asked for: the number of the first frame there, and that frame."""
        facts, start_s = self.facts, self.settings.start_s
        if not start_s or not self._seekable or self._is_counted or is_sequence(str(self.source.path)):
            return 0, self._first
        wanted = facts.start + math.floor(start_s / facts.time_base)
        times = sorted(
            packet.pts for packet in self._demux_until(wanted) if packet.pts is not None and packet.pts <= wanted
        )
        self._restart(wanted)
        image = self._next_image()
        if image is None or image.pts is None or image.pts > wanted:  # as MPEG-TS may, without an index
            self._reopen()
            return 0, self._next_image()
        return sum(time < image.pts for time in times), image

    def _demux_until(self, pts: int) -> Iterator[Any]:
        """The packets of the frames up to a time, undecoded; a file whose order is unknown, to one second behind it."""
        slack = round(1 / self.facts.time_base)
        for packet in self._container.demux(self._stream):
            yield packet
            if packet.dts is not None and packet.dts > pts + slack:
                return

    def _restart(self, pts: int) -> None:
        self._container.seek(pts, stream=self._stream, backward=True)
        self._images = self._decode()
        self.sound.clear()

    def _reopen(self) -> None:
        self._container.close()
        self._container = self._open()
        self._begin()

    def _next_image(self) -> Any:
        return next(self._images, None)

    def _decode(self) -> Iterator[Any]:
        """The decoded frames; what fails is left out."""
        failures = 0
        counted: deque[int] = deque()
        is_sound = True
        wanted = [self._stream, *self.sound_streams]
        packets = self._container.demux(wanted)
        last = 0.0
        while True:
            try:
                self._is_waiting = True
                packet = next(packets)
            except StopIteration:
                return
            except self._av.error.EOFError:
                return
            except (self._av.error.FFmpegError, OSError, ValueError):
                failures += 1
                self.is_cut_short = True
                if failures >= _MOST_FAILURES:
                    return
                packets = self._container.demux(wanted)
                continue
            finally:
                self._is_waiting = False
            if packet.stream.index != self._stream.index:
                if packet.dts is not None:
                    self.sound.append(packet)
                continue
            if self._is_checked and packet.size:
                is_sound = are_slices_sound(bytes(packet)) and (is_sound or packet.is_keyframe)
                if not is_sound:
                    self.lost.append(self._lost_time_of(packet))
                    continue
            try:
                images = packet.decode()
            except self._av.error.EOFError:
                return
            except (self._av.error.FFmpegError, OSError, ValueError):
                if packet.pts is not None:
                    last = self._lost_time_of(packet)
                self.lost.append(last)
                continue
            failures = 0
            if self._is_counted:
                counted += [packet.dts] if packet.size and packet.dts is not None else []
                for image in images:
                    image.pts = counted.popleft() if counted else image.pts
            yield from images

    def _pts_of(self, image: Any, number: int) -> int:
        """When a frame is shown; by its number where the file does not say."""
        if image.pts is not None:
            return int(image.pts)
        rate = self.facts.rate or Fraction(25)
        return self.facts.start + round(number / rate / self.facts.time_base)

    def _lost_time_of(self, packet: Any) -> float:
        facts = getattr(self, "facts", None)  # not known yet where the first frame is lost
        start = facts.start if facts is not None else self._stream.start_time or 0
        return float((packet.pts - start) * packet.time_base) if packet.pts is not None else 0.0

    def name_of(self, number: int, time_s: float) -> str:
        """What a frame is called among pictures."""
        stem, dot, extension = self.source.name.rpartition(".")
        stem, extension = (stem, extension) if dot and "/" not in extension else (self.source.name, "png")
        stem = SEQUENCE.sub("", stem).rstrip("_-. ")
        if self.source.path is not None and (not stem or stem.endswith("/")):  # %06d.png has the name of its folder
            stem += self.source.path.absolute().parent.name
        return f"{stem}_{number:06d}_{time_s:.3f}s.{extension}"

    def _error(self, error: Exception, what: str) -> InputError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError):
            return InputError(f"{self.source.label} does not exist", code=ErrorCode.NOT_FOUND)
        return InputError(f"{self.source.label} {what}: {reason.lower()}", hint=self._pipe_hint)

    @property
    def _pipe_hint(self) -> str | None:
        if self.source.path is not None:
            return None
        return "An MP4 cannot be read from a pipe unless its index comes first: pipe Matroska, NUT or MPEG-TS."


def _count(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")
