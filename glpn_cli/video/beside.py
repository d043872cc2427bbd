"""The depth that was made of a clip earlier, and lies beside it: clip_depth.mkv of clip.mp4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files import Record
from glpn_cli.errors import GlpnError, InputError
from glpn_cli.images import ImageSource
from glpn_cli.images.picture import ContentId
from glpn_cli.video.depth_clip import DepthClip, peek_record
from glpn_cli.video.frame import Frame
from glpn_cli.video.settings import SAME_S, ClipSettings


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
