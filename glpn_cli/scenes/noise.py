# mypy: warn-return-any=False
"""Hashes and value noise that fade to their mean where a pixel is wider than a wave."""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import compiled_small


@compiled_small
def hash2(x: int, y: int, seed: int) -> float:
    """A number in [0, 1) that looks random, for a cell of the plane."""
    h = (x * 374761393 + y * 668265263 + seed * 974634541) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    return float(h ^ (h >> 16)) * 2.3283064365386963e-10


@compiled_small
def wave2(u: float, v: float, seed: int) -> float:
    """Smooth noise of wavelength about 2, in [0, 1]."""
    fu, fv = math.floor(u), math.floor(v)
    iu, iv = int(fu), int(fv)
    u, v = u - fu, v - fv
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    a = hash2(iu, iv, seed)
    b = hash2(iu + 1, iv, seed)
    c = hash2(iu, iv + 1, seed)
    d = hash2(iu + 1, iv + 1, seed)
    return a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v


@compiled_small
def fractal2(u: float, v: float, seed: int, octaves: int, foot: float) -> float:
    """Octaves of noise, in [0, 1] around 0.5; `foot` is the pixel's width in the same unit as u and v."""
    total = 0.0
    weight = 0.5
    scale = 1.0
    for k in range(octaves):
        keep = 1.0 - foot * scale * 1.4
        if keep <= 0.0:
            break
        total += weight * min(keep, 1.0) * (wave2(u * scale, v * scale, seed + k) - 0.5)
        weight *= 0.55
        scale *= 2.07
    return 0.5 + total


@compiled_small
def step(x: float, edge: float, foot: float) -> float:
    """0 below the edge, 1 above, a ramp one pixel wide between."""
    if foot < 1e-9:
        foot = 1e-9
    return min(max((x - edge) / foot + 0.5, 0.0), 1.0)


@compiled_small
def stripe(x: float, duty: float, foot: float) -> float:
    """A square wave of period 1: 1 over the first `duty` of it; its mean where a pixel covers the period."""
    if foot >= 1.0:
        return duty
    f = x - math.floor(x)
    inside = min(step(f, 0.0, foot), 1.0 - step(f, duty, foot)) + step(f, 1.0, foot)
    fade = min(max(2.0 - 2.0 * foot, 0.0), 1.0)
    return duty + (min(inside, 1.0) - duty) * fade
