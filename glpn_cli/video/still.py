"""One frame of a clip as the file of a picture or of a depth map, for whoever works on one of those."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from glpn_cli.depth_files.png import encode_png
from glpn_cli.depth_files.png16 import Png16
from glpn_cli.depth_files.styles import Gray, Gray16
from glpn_cli.errors import InputError, UsageError
from glpn_cli.images import ImageSource, ReadOptions
from glpn_cli.video.clip import Clip
from glpn_cli.video.depth_clip import depth_record_of, refuse_painted
from glpn_cli.video.frame import Frame
from glpn_cli.video.settings import ClipSettings

_BEFORE_S = 1.0
"""Frames are looked for from so long before a time on; most are shown for less."""


def extract_still(path: Path, time_s: float, options: ReadOptions | None = None) -> bytes:
    """The frame that is shown at a time, as a PNG file: of a clip of depth a depth map with its record.

    time_s: seconds from the beginning

    Raises InputError for a clip that cannot be read, UsageError for a time behind its end.
    """
    source = ImageSource(path, path.name, str(path), options=options or ReadOptions())
    for start_s in dict.fromkeys((max(0.0, time_s - _BEFORE_S), 0.0)):
        with Clip(source, ClipSettings(start_s=start_s)) as clip:
            facts = clip.facts
            found = _frame_at(clip.frames(), time_s)
        if found is not None:
            break  # the clip that is looked into below is the one that was read
    ends_s = facts.duration_s
    if found is None or (ends_s is not None and time_s >= ends_s and time_s > found.time_s):
        length = "" if ends_s is None else f", which is {ends_s:.3f} s long"
        raise UsageError(f"{str(path)!r} shows nothing at {time_s:g} s{length}", hint="Choose another time with --at.")
    refuse_painted(clip)
    record = depth_record_of(clip)
    if clip.is_cut_short and clip.read_s <= time_s + 1e-6:
        raise clip.cut_short_error()
    if any(found.time_s < lost_s <= time_s + 1e-6 for lost_s in clip.lost) or (record and found.image.is_corrupt):
        raise InputError(f"{str(path)!r}: the frame that is shown at {time_s:g} s cannot be decoded")
    if record is None:
        data = io.BytesIO()
        Image.fromarray(found.read_colors()).save(data, "PNG", compress_level=1)
        return data.getvalue()
    levels = found.image.to_ndarray()
    writer = Png16 if record.map == "depth" else Gray16 if levels.itemsize == 2 else Gray
    made = None if record.provenance is None else record.provenance.seen(f"at {found.time_s:.3f} s")
    return encode_png(levels, text=replace(record, format=writer.format, provenance=made).to_text())


def _frame_at(frames: Iterator[Frame], time_s: float) -> Frame | None:
    found = None
    for frame in frames:
        if frame.time_s > time_s + 1e-6:
            break
        found = frame
    return found


def check_still(path: Path, *, at: str | None, is_clip: bool) -> None:
    """Refuse a clip without a time, and a time without a clip (UsageError)."""
    if is_clip and at is None:
        raise UsageError(f"{str(path)!r} is a clip of many frames", hint="Say which with --at, such as --at 12.5s.")
    if at is not None and not is_clip:
        raise UsageError(f"--at is a time in a clip, and {str(path)!r} is none", hint="Leave it out.")
