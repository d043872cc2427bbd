"""A frame of a clip, which is a picture among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.images import ImageSource, Picture
from glpn_cli.images.picture import AtLeast, ContentId
from glpn_cli.video.colors import reduced_size, to_rgb, turn_upright
from glpn_cli.video.facts import ClipFacts


@dataclass(frozen=True, slots=True, eq=False)
class Frame(ImageSource):
    """A frame of a clip, as a picture among others.

    number: of the frame in its clip, from 0
    time_s: when it is shown, seconds from the beginning of the clip
    pts:    the same in the clip's unit of time, as the file has it
    length: how long it is shown, in the same unit; 0 where the file does not say
    image:  PyAV's frame
    clip:   the facts of the clip
    """

    number: int = 0
    time_s: float = 0.0
    pts: int = 0
    length: int = 0
    image: Any = None
    clip: ClipFacts | None = None

    def read(self, *, at_least: AtLeast | None = None) -> Picture:
        """The frame as a picture, with fewer pixels where they will do."""
        assert self.clip is not None
        size = reduced_size(self.clip.size, at_least)
        rgb = turn_upright(to_rgb(self.image, self.clip.stored(size)), self.clip.matrix)
        return Picture(np.ascontiguousarray(rgb), self.clip.size, content=self.clip.content)

    def read_colors(self) -> NDArray[np.uint8]:
        """The upright frame, uint8 (H, W, 3)."""
        return self.read().rgb

    def has_content(self, size: int, blake2b: str) -> bool | None:
        """Whether the clip's bytes are these; None for a stream."""
        content = self.clip.content if self.clip is not None else None
        return None if content is None else content == ContentId(size, blake2b)
