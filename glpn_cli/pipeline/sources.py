"""The inputs of a run: pictures, and maps that were stored earlier; each identified by its first bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Record, is_depth_file, is_own_output, read_depth, read_record
from glpn_cli.depth_files.base import Guess, StoredDepth, read_head
from glpn_cli.depth_files.formats import guess_content
from glpn_cli.depth_files.record import LABELS, UNCERTAINTY
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import (
    ImageSource,
    ReadOptions,
    Refused,
)
from glpn_cli.images.formats import is_video
from glpn_cli.images.picture import framing_of
from glpn_cli.options import ExplicitOptions
from glpn_cli.pipeline.settings import InputSettings
from glpn_cli.prediction import DepthKind, Intrinsics, Result

_HEAD_BYTES = 16 << 10
_SAME_LENS = 0.05
"""Metres are in proportion to the focal length; calibrations of one lens differ by less than this share."""


class Content(StrEnum):
    """The content of an input.

    AMBIGUOUS  greys of more than 8 bits without a record: depth of a sensor, or a photograph
    CLIP       a video
    OTHER      pictures of depth that we painted, and our clouds of points
    """

    PICTURE = "picture"
    DEPTH = "depth"
    LABELS = "labels"
    UNCERTAINTY = "uncertainty"
    AMBIGUOUS = "ambiguous"
    CLIP = "clip"
    OTHER = "other"


def identify(where: Path | bytes) -> tuple[Content, Record | None]:
    """The content of a file and its record, by one read of its first bytes.

    What cannot be read is taken for a picture, and fails when its turn comes.
    """
    try:
        head = read_head(where, _HEAD_BYTES)
    except InputError:
        return Content.PICTURE, None
    try:
        record = read_record(head)
    except InputError:
        record = None
    if is_depth_file(head):
        return Content.DEPTH, record
    if not is_own_output(head):
        match guess_content(where, head):
            case Guess.DEPTH:
                return Content.DEPTH, record
            case Guess.AMBIGUOUS:
                return (Content.DEPTH, record) if record and record.map == "depth" else (Content.AMBIGUOUS, None)
        return Content.CLIP if is_video(head) else Content.PICTURE, None
    known = {LABELS: Content.LABELS, UNCERTAINTY: Content.UNCERTAINTY}
    return known.get(record.map, Content.OTHER) if record else Content.OTHER, record


@dataclass(frozen=True)
class StoredSource:
    """A map that was stored earlier, and its picture where that is at hand.

    content:     DEPTH, LABELS or UNCERTAINTY
    path:        the file; None where the bytes are at hand
    name:        the name of its picture: `a/x.jpg` for `a/x_depth.png`
    depth_scale: stored units per metre, for integers without a record
    kind:        the meaning of depths without a record
    data:        the bytes, from standard input or a pipe
    """

    content: Content
    path: Path | None
    name: str
    given: str
    record: Record | None = None
    picture: ImageSource | None = None
    depth_scale: float | None = None
    kind: DepthKind = DepthKind.METRIC
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    data: bytes | None = None

    @property
    def depth_kind(self) -> DepthKind:
        """The meaning of its depths."""
        return self.record.depth_kind if self.record else self.kind

    @property
    def is_bare(self) -> bool:
        """Whether these are depths of which the file says neither kind nor unit."""
        return self.content is Content.DEPTH and self.record is None

    def read(self, focal: FocalChoice, *, writes_scale: bool = False) -> Result:
        """The map with its record's provenance, and its camera by `focal` or by the record. Raises InputError.

        writes_scale: whether `depth_scale` is that of a file to be written too; else floats are refused, which it does
                      not change
        """
        where = self.data if self.path is None else Path(os.path.realpath(self.path))
        about = repr(self.given if self.path is None else str(self.path))
        provenance = self.record.provenance if self.record else None
        most = self.options.max_pixels
        if self.content is Content.LABELS:
            from glpn_cli.depth_files.labels import read_labels

            return Result(self.options.run(read_labels, where, about=about, max_pixels=most), self, provenance)
        if self.content is Content.UNCERTAINTY:
            from glpn_cli.depth_files.uncertainty import read_uncertainty

            uncertainty, record = self.options.run(read_uncertainty, where, about=about, max_pixels=most)
            return Result(uncertainty, self, record.provenance)
        stored = self.options.run(
            read_depth, where, about=about, depth_scale=self.depth_scale, kind=self.kind, max_pixels=most
        )
        if self.depth_scale is not None and not writes_scale:
            stored.require_whole_numbers()
        provenance = stored.record.provenance if stored.record else None
        return Result(stored.depth, self, provenance, camera_of(stored, focal))

    def read_colors(self) -> NDArray[np.uint8]:
        """The picture. Raises InputError where it is not at hand."""
        if self.picture is None:
            raise InputError(
                "the picture that it was made of is not beside it",
                hint="Name the folder of the pictures too: glpn export PICTURES MAPS --side-by-side",
            )
        return self.picture.read_colors()


Source = ImageSource | StoredSource


@dataclass(frozen=True)
class Sources:
    """The inputs of a run.

    takes_maps: whether stored maps are inputs (`export`) or in the way (`predict`)
    sources:    pictures and depth maps, or maps of `content` alone; empty for a stream
    refused:    named inputs that cannot be used
    """

    settings: InputSettings
    takes_maps: bool
    sources: Sequence[Source] = ()
    refused: Sequence[Refused] = ()
    notes: Sequence[str] = ()
    content: Content = Content.DEPTH

    @property
    def is_stream(self) -> bool:
        """Whether the inputs come one by one, in a list on standard input."""
        return self.settings.is_stream

    @property
    def needs_network(self) -> bool:
        """Whether there is a picture without a map, or may be."""
        return self.is_stream or any(isinstance(source, ImageSource) for source in self.sources)

    @property
    def stored_count(self) -> int:
        """The number of maps that exist already."""
        return sum(isinstance(source, StoredSource) for source in self.sources)

    @property
    def bare_names(self) -> list[str]:
        """Depth maps of which the file says neither kind nor unit, as they were given."""
        return [source.given for source in self.sources if isinstance(source, StoredSource) and source.is_bare]

    def check_maps(self, explicit: ExplicitOptions, *options: str) -> None:
        """Refuse options about stored maps where there is none (UsageError)."""
        if not (self.is_stream or self.stored_count):
            explicit.refuse(
                *options,
                because="is about depth maps, and there is none among the inputs",
                hint="Take the inputs for depth maps with --as depth.",
            )

    def pictures_for(self, model: str) -> Sources:
        """The same for a model that predicts labels: pictures only. Raises UsageError for a depth map."""
        pictures: list[Source] = []
        for source in self.sources:
            picture = source.picture if isinstance(source, StoredSource) else source
            if picture is None or picture.given != source.given:
                raise UsageError(f"{source.given!r} is a depth map, and {model!r} labels pictures")
            pictures.append(picture)
        return replace(self, sources=pictures)


def ambiguous_error(label: str) -> InputError:
    """The error for a file that may be depth or a picture."""
    return InputError(
        f"{label} holds greys of more than 8 bits and does not say what they are: a depth map, or a picture",
        hint="Say which: --as depth --depth-scale 1000 (units per metre), or --as picture.",
        code=ErrorCode.AMBIGUOUS,
    )


def clip_error(label: str) -> InputError:
    """The error for a clip that stands where pictures are read."""
    return InputError(
        f"{label} is a clip, and stands where pictures are read",
        hint="Name it itself, or in a list that is a file, under a name that ends as one of a clip does, such as .mp4.",
        code=ErrorCode.UNSUPPORTED,
    )


def camera_of(stored: StoredDepth, focal: FocalChoice) -> Intrinsics:
    """The camera of a stored map: as it was typed, else as the file records it.

    Raises InputError for another one than its metres were scaled to.
    """
    known, made = stored.camera, stored.record.provenance if stored.record else None
    camera = focal.camera(stored.depth.size, known=known)
    if known is None or known.source == "assumed" or made is None or made.metres == "trained":
        return camera
    if abs(camera.fx / known.fx - 1) > _SAME_LENS:
        raise InputError(
            f"the map's metres were scaled to a focal length of {known.fx:.4g} pixels, "
            f"and {camera.fx:.4g} is another lens",
            hint="Leave out --focal, or predict the picture again with it and --metres focal.",
            code=ErrorCode.DATA,
        )
    return camera


def shows_same(record: Record | None, picture: ImageSource) -> bool:
    """Whether a file is of the frame and the orientation that a picture is read in, as far as its record tells."""
    made = record.provenance if record is not None else None
    return made is None or framing_of(made.view) == framing_of(picture.options.view)


def is_made_from(record: Record | None, picture: ImageSource) -> bool | None:
    """Whether a file was made from the bytes that a picture has now; None where its record does not tell."""
    made = record.provenance if record is not None else None
    if made is None or made.source_bytes is None or made.source_blake2b is None:
        return None
    return picture.has_content(made.source_bytes, made.source_blake2b)
