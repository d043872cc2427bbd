"""A clip in numbers, as its container, its stream and its first frame tell them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from glpn_cli.images import ImageSource
from glpn_cli.images.formats import check_pixels
from glpn_cli.images.picture import ContentId
from glpn_cli.video.colors import is_hdr, lies_on_its_side, read_matrix
from glpn_cli.video.sources import files_of_sequence, hash_files, is_sequence

RECORD_KEY = "GLPN"
"""Under which clips of ours have their record, among the texts of the file."""


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """A clip in numbers.

    size:       (H, W) of its upright frames
    matrix:     how its frames are turned upright, see `turn_upright`
    time_base:  seconds in its unit of time
    start:      its first time, in that unit
    rate:       frames per second, as far as it says one
    frames:     how many there are, as far as the file says or its length tells
    duration_s: its length, where it is known
    aspect:     width of a pixel for its height
    codec:      as FFmpeg calls it
    pixels:     the form of its pixels, as FFmpeg calls it
    encoder:    the program that coded it, where it wrote its name into the file, as ffmpeg does, and glpn does not
    notes:      what is odd about it, for the user
    content:    what tells its bytes from others; of a sequence all its files, one behind the other; None for streams
    metadata:   the texts in it
    """

    size: tuple[int, int]
    matrix: tuple[int, int, int, int]
    time_base: Fraction
    start: int
    rate: Fraction | None
    frames: int | None
    duration_s: float | None
    aspect: Fraction
    codec: str
    pixels: str
    encoder: str | None = None
    notes: tuple[str, ...] = ()
    content: ContentId | None = None
    metadata: dict[str, str] | None = None

    def stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of an upright frame as it lies in the file."""
        return (size[1], size[0]) if lies_on_its_side(self.matrix) else size

    def time_of(self, pts: int) -> float:
        """Seconds from the beginning."""
        return float((pts - self.start) * self.time_base)

    @classmethod
    def read(cls, source: ImageSource, container: Any, stream: Any, image: Any) -> ClipFacts:
        """The facts of a clip, out of PyAV's container, its stream and its first frame.

        Raises InputError where its frames are too large.
        """
        matrix = read_matrix(image)
        rate = stream.average_rate or stream.guessed_rate
        duration = stream.duration * stream.time_base if stream.duration else None
        if duration is None and container.duration:
            duration = Fraction(container.duration, 1_000_000)
        size = (image.width, image.height) if lies_on_its_side(matrix) else (image.height, image.width)
        check_pixels(size, source.options.max_pixels, label=source.label)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        start = stream.start_time if stream.start_time is not None else image.pts
        if RECORD_KEY in container.metadata:
            start = 0  # a file of ours has the times of the clip that it was made of, also where it is a part of it
        facts = cls(
            size=size,
            matrix=matrix,
            time_base=stream.time_base,
            start=start or 0,
            rate=rate,
            frames=stream.frames or (round(duration * rate) if duration and rate else None),
            duration_s=float(duration) if duration else None,
            aspect=1 / aspect if lies_on_its_side(matrix) else aspect,
            codec=stream.codec_context.name,
            pixels=image.format.name,
            encoder=stream.metadata.get("encoder") or stream.metadata.get("ENCODER"),
            content=_content_of(source),
            metadata=dict(container.metadata),
        )
        return replace(facts, notes=tuple(_odd(image, facts)))


def _content_of(source: ImageSource) -> ContentId | None:
    """What tells the bytes of a clip from others; None for a stream."""
    path = source.path
    with suppress(OSError):
        if path is not None and is_sequence(str(path)):
            return hash_files(files_of_sequence(path).values())
        if path is not None and path.is_file():
            with path.open("rb") as file:
                return ContentId.of(file)
    return None


def _odd(image: Any, facts: ClipFacts) -> Iterator[str]:
    """What a user should know of a clip."""
    if is_hdr(image):
        yield "it has high dynamic range, which is mapped to the standard range"
    if image.interlaced_frame:
        yield "it is interlaced, and its fields are taken together (ffmpeg -i IN -vf bwdif OUT makes whole frames)"
    if facts.aspect not in (0, 1):
        yield f"its pixels are {float(facts.aspect):.3g} times as wide as high; the model sees them as squares"
