"""Procedural rooms with exact depth: scene `index` of stream `seed` is a pure function of the two.

`render` goes from one to the other: `chance` (a random stream of its own) -> `shell` (the air, with windows), `arrange`
and `furniture` (in it), `hangings` (walls and ceiling), all drawn on `parts` in `materials` that `style` and `surfaces`
choose -> `camera` (a view) -> `tracer` (light and depth, compiled) -> `camera` (a photograph). `walk` carries the
camera on from there. `write` puts scenes into files, on several `processes`. Rendering needs numba, from the extra
`train`; importing does not.
"""

from glpn_cli.scenes.render import Scene, render_scene

__all__ = ["Scene", "render_scene"]
