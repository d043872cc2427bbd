"""Furniture and clutter by the place where it is found; a maker draws sizes from chance and returns a `Piece`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glpn_cli.scenes.style import Style


@dataclass(frozen=True)
class Piece:
    """Furniture before it is placed: it takes `width` x `depth` metres of floor (x, y of its own frame, see `parts`).

    draw:   draws it in the current frame
    height: in metres, of what is solid
    """

    width: float
    depth: float
    draw: Callable[[], None]
    height: float = 1.0


Maker = Callable[[Style], Piece]
