"""Procedural rooms with exact depth: scene `index` of stream `seed` is a pure function of the two.

The road of one picture: `chance` (a stream of its own) -> `shell` (the air), `arrange` and `furniture` (what stands
in it), `hangings` (walls and ceiling), all drawn on `parts` in the `colours` and `materials` that `style` and
`surfaces` choose -> `camera` (a view) -> `tracer` (light and depth, compiled) -> `sensor` (a photograph). `write` puts
them into files. Rendering needs numba, from the extra `train`; importing does not.
"""

from glpn_cli.scenes.render import Scene, render_scene

__all__ = ["Scene", "render_scene"]
