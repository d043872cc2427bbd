# mypy: warn-return-any=False
"""What surfaces look like: some thirty procedural textures, each filtered by the footprint of the pixel.

A material is one row of numbers, see `parts.Material`: kind, three colours, a scale in metres, four free parameters. A
texture sees the surface's own coordinates in metres (u to the right, v up on walls), the half extents of the face, and
the width of the pixel on the surface; it answers a colour and a factor on the material's glow.
"""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import Floats, compiled_small
from glpn_cli.scenes.materials import Texture
from glpn_cli.scenes.noise import fractal2, hash2, step, stripe, wave2
from glpn_cli.scenes.pictures import Shade, books, foliage, keys, outdoors, page, picture, poster, rug, screen
from glpn_cli.scenes.vectors import along, blend, three, times


@compiled_small
def texture(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, tone: int) -> Shade:
    """Linear colour and glow factor of a material at (u, v)."""
    kind = int(m[0])
    scale = m[10]
    p, q = m[11], m[12]
    seed = int(m[13]) + tone
    mix = 0.0  # share of the second colour
    third = 0.0  # share of the third
    shade = 1.0  # factor on the whole
    x, y = u / scale, v / scale
    f = foot / scale
    if kind == Texture.PLAIN:
        shade = 1.0 + p * (fractal2(x, y, seed, 3, f) - 0.5)
    elif kind == Texture.TILES:  # p: width of the grout (share), q: ratio of the sides
        y /= q
        iu, iv = math.floor(x), math.floor(y)
        third = max(stripe(x + 0.5 * p, p, f), stripe(y + 0.5 * p, p, f / q))
        if f < 0.7:
            r = hash2(iu, iv, seed)
            shade = 1.0 + m[14] * (r - 0.5)
            mix = 1.0 if hash2(iv, iu, seed + 7) < m[15] else 0.0
            if m[15] > 1.5:  # a checkerboard
                mix = float((iu + iv) & 1)
            if f < 0.2:
                shade *= 1.0 + 0.15 * (fractal2(x * 6.0, y * 6.0, seed, 2, f * 6.0) - 0.5)
        else:
            mix = 0.5 if m[15] > 1.5 else m[15]
    elif kind == Texture.BRICKS:
        y /= q
        row = math.floor(y)
        x += 0.5 * (row - 2.0 * math.floor(row * 0.5))
        third = max(stripe(x, p * q, f), stripe(y, p, f / q))
        if f < 0.7:
            r = hash2(math.floor(x), int(row), seed)
            mix = r
            shade = 0.8 + 0.4 * fractal2(x * 4.0, y * 3.0, seed, 3, f * 4.0)
        else:
            mix = 0.5
    elif kind in (Texture.PLANKS, Texture.CHEVRON):  # p: length of a plank in widths, q: strength of the grain
        if kind == Texture.CHEVRON:
            column = math.floor(x / p * 1.414)
            if (int(column) & 1) == 1:
                x = -x
            x, y = (x + y) * 0.7071, (y - x) * 0.7071
        row = math.floor(y)
        x = x / p + 0.37 * row + 2.0 * hash2(int(row), 5, seed)
        column = math.floor(x)
        if f < 0.8:
            r = hash2(int(column), int(row), seed)
            mix = r
            third = max(stripe(y, 0.05, f), stripe(x, 0.05 / p, f / p))
            g = fractal2(x * p * 0.8 + r * 50.0, (y + 4.0 * r) * 9.0, seed, 3, f * 9.0)
            shade = 1.0 + q * (g - 0.5)
        else:
            mix = 0.5
            third = 0.05
    elif kind == Texture.GRAIN:  # wood without joints
        bend = fractal2(x * 0.35, y * 0.6, seed, 2, f)
        rings = (y + 1.3 * bend) * 5.0
        r = wave2(x * 0.2, rings, seed + 3)
        keep = max(1.0 - 5.0 * f, 0.0)
        mix = 0.5 + (r - 0.5) * keep * 1.2
        shade = 1.0 + q * (fractal2(x * 2.0, y * 30.0, seed, 2, f * 30.0) - 0.5) + 0.15 * (bend - 0.5)
    elif kind == Texture.CARPET:  # p: contrast of the pile, q: of the stains
        n = fractal2(x, y, seed, 3, f)
        shade = 1.0 + p * (n - 0.5) + q * (fractal2(u * 1.3, v * 1.3, seed + 9, 3, foot) - 0.5)
        mix = min(max((fractal2(x * 0.5, y * 0.5, seed + 5, 2, f * 0.5) - 0.5) * 4.0 * m[14] + 0.3, 0.0), 1.0)
    elif kind == Texture.STRIPES:  # p: share of the second colour, q: angle
        t = x * math.cos(q) + y * math.sin(q)
        mix = stripe(t, p, f)
        third = stripe(t * 0.25 + 0.1, 0.08, f * 0.25) * m[14]
    elif kind == Texture.PLASTER:
        shade = 1.0 + p * (fractal2(x, y, seed, 4, f) - 0.5) + q * (fractal2(u * 0.7, v * 0.7, seed + 4, 2, foot) - 0.5)
        mix = min(max((fractal2(u * 0.9, v * 0.5, seed + 11, 3, foot) - 0.55) * 6.0 * m[14], 0.0), 1.0)
    elif kind == Texture.MARBLE:
        w = 4.0 * fractal2(x, y, seed, 4, f)
        vein = abs(math.sin((x + w) * 2.2))
        mix = (1.0 - vein) ** (3.0 + 4.0 * p)
        shade = 1.0 + 0.3 * (fractal2(x * 3.0, y * 3.0, seed + 2, 3, f * 3.0) - 0.5)
    elif kind == Texture.WEAVE:
        keep = max(1.0 - 1.5 * f, 0.0)
        shade = (
            1.0
            + p * keep * math.sin(6.2832 * x) * math.sin(6.2832 * y)
            + q * (fractal2(u * 6.0, v * 6.0, seed, 3, foot * 6.0) - 0.5)
        )
        mix = 0.5 + 0.5 * (wave2(x * 0.4, y * 4.0, seed) - 0.5) * max(1.0 - 4.0 * f, 0.0)
    elif kind == Texture.PLAID:
        a, b = stripe(x, p, f), stripe(y, p, f)
        mix = 0.5 * (a + b)
        third = max(stripe(x + 0.4, 0.06, f), stripe(y + 0.4, 0.06, f))
    elif kind == Texture.DOTS:  # discs, diamonds or rings in cells
        iu, iv = math.floor(x), math.floor(y)
        cu, cv = x - iu - 0.5, y - iv - 0.5
        r = math.sqrt(cu * cu + cv * cv) if q < 0.5 else abs(cu) + abs(cv)
        if q > 0.8:
            r = abs(r - 0.25) + 0.1
        keep = min(max(1.5 - 1.5 * f, 0.0), 1.0)
        mix = (1.0 - step(r, p, f)) * keep + 0.6 * p * (1.0 - keep)
        if m[14] > 0.5 and hash2(int(iu), int(iv), seed) < 0.5:
            third = mix
    elif kind == Texture.CELLS:  # terrazzo, pebbles, stone: nearest point of a jittered grid
        iu, iv = math.floor(x), math.floor(y)
        if f < 0.9:
            first = 9.0
            second = 9.0
            who = 0.0
            for a in range(-1, 2):
                for b in range(-1, 2):
                    cu = iu + a + hash2(iu + a, iv + b, seed) - x
                    cv = iv + b + hash2(iu + a, iv + b, seed + 1) - y
                    d = cu * cu + cv * cv
                    if d < first:
                        second = first
                        first = d
                        who = hash2(iu + a, iv + b, seed + 2)
                    elif d < second:
                        second = d
            mix = who
            third = 1.0 - step(math.sqrt(second) - math.sqrt(first), p, max(f, 0.05))
            shade = 0.9 + 0.2 * fractal2(x * 3.0, y * 3.0, seed, 2, f * 3.0)
        else:
            mix = 0.5
            third = p
    elif kind == Texture.CAMO:  # big soft blobs: worn paint, hides, patterned textiles
        n = fractal2(x, y, seed, 4, f)
        mix = step(n, 0.5, 0.03 + f * 0.5)
        third = step(fractal2(x + 31.0, y, seed + 5, 4, f), 0.58, 0.03 + f * 0.5)
    elif kind == Texture.RIBS:  # a radiator, a shutter: p share of the groove, q along v instead of u
        t = y if q > 0.5 else x
        w = t - math.floor(t)
        keep = max(1.0 - 1.2 * f, 0.0)
        shade = 1.0 + keep * (0.35 * math.cos(6.2832 * w) * m[14])
        third = stripe(t, p, f)
    elif kind == Texture.DRAWERS:  # p columns, q rows of fronts with dark joints and handles
        a, b = (u + hu) / (2.0 * hu) * p, (v + hv) / (2.0 * hv) * q
        fa, fb = foot / (2.0 * hu) * p, foot / (2.0 * hv) * q
        wa, wb = 0.006 * p / (2.0 * hu), 0.006 * q / (2.0 * hv)
        joint = max(stripe(a + 0.5 * wa, wa, fa), stripe(b + 0.5 * wb, wb, fb))
        ca = (a - math.floor(a) - 0.5) / p * 2.0 * hu
        cb = (b - math.floor(b) - m[14]) / q * 2.0 * hv
        handle = (1.0 - step(abs(ca), m[15], foot)) * (1.0 - step(abs(cb), 0.011, foot))
        third = joint
        mix = handle
        shade = (1.0 - 0.25 * handle * step(-cb, 0.0, foot)) * (
            1.0 + 0.25 * (fractal2(x * 1.0, y * 12.0, seed, 3, f * 12.0) - 0.5) * m[16]
        )
    elif kind == Texture.PANELS:  # a suspended ceiling: p share of lit fields, third colour the bars
        y /= q
        iu, iv = math.floor(x), math.floor(y)
        third = max(stripe(x, 0.03, f), stripe(y, 0.03, f / q))
        speck = hash2(math.floor(u * 70.0), math.floor(v * 70.0), seed)
        if speck > 0.8 and foot < 0.02:
            shade = 1.0 - 0.35 * (1.0 - foot * 50.0) * m[14]
        if third < 0.5 and hash2(iu, iv, seed) < p:
            return three(m, 4), 1.0
        shade *= 0.94 + 0.12 * hash2(iv, iu, seed)
        return times(blend(three(m, 1), three(m, 7), third), shade), 0.0
    elif kind == Texture.LEATHER:
        n = fractal2(x, y, seed, 4, f)
        crease = abs(fractal2(u * 7.0, v * 7.0, seed + 6, 3, foot * 7.0) - 0.5)
        shade = 0.85 + p * n - 0.35 * (1.0 - step(crease, 0.03, 0.05)) * q
    elif kind == Texture.SCRIBBLE:  # a whiteboard or a blackboard that was written on
        row = math.floor(y)
        r = hash2(int(row), 3, seed)
        wave = y - row - 0.5 - 0.28 * (wave2(x * 6.0, row * 7.0, seed) - 0.5) - 0.1 * math.sin(x * 31.0)
        line = 1.0 - step(abs(wave), 0.05, max(f, 0.02))
        inside = step(x - 3.0 * r, -hu / scale * 0.8, f) * (1.0 - step(x, hu / scale * (0.9 * r - 0.1), f))
        third = line * inside * (1.0 if r < p else 0.0)
        if hash2(int(row), 8, seed) < 0.3:
            mix, third = third, 0.0
        shade = 1.0 + 0.1 * (fractal2(u * 2.0, v * 2.0, seed, 2, foot * 2.0) - 0.5)
    elif kind == Texture.GRADIENT:
        t = 0.5 + 0.5 * (v / hv * math.cos(q) + u / hu * math.sin(q))
        mix = min(max(t + 0.3 * p * (fractal2(x, y, seed, 3, f) - 0.5), 0.0), 1.0)
    elif kind == Texture.DOOR:  # p columns, q rows of recessed panels
        a, b = (u + hu) / (2.0 * hu) * p, (v + hv) / (2.0 * hv) * q
        ca = (0.5 - abs(a - math.floor(a) - 0.5)) / p * 2.0 * hu
        cb = (0.5 - abs(b - math.floor(b) - 0.5)) / q * 2.0 * hv
        edge = min(ca, cb)
        third = (1.0 - step(abs(edge - 0.09), 0.008, max(foot, 0.004))) * 0.8
        shade = 1.0 - 0.06 * step(edge, 0.09, foot) + 0.2 * m[14] * (fractal2(x * 2.0, y * 0.15, seed, 3, f) - 0.5)
        if abs(v) < 0.06 and abs(u - 0.82 * hu) < 0.055:
            mix = 1.0 if abs(v) < 0.012 or abs(u - 0.86 * hu) < 0.015 else 0.0
    elif kind == Texture.SHADE:  # a lamp shade or a curtain against light: brighter in the middle
        t = v / hv
        return three(m, 1), (1.0 - 0.55 * t * t) * (1.0 - 0.3 * stripe(x, 0.3, f))
    elif kind == Texture.FUR:  # shaggy rugs, cats, hair: strands that follow a slow field
        bend = 3.0 * fractal2(u * 5.0, v * 5.0, seed, 2, foot * 5.0)
        n = fractal2(x * 3.0 + 2.0 * bend, y * 0.8 + bend, seed, 3, f * 3.0)
        mix = min(max((fractal2(u * q, v * q * 2.5, seed + 3, 3, foot * q) - 0.5) * 5.0 + 0.5, 0.0), 1.0) * p
        shade = 0.6 + 0.8 * n
    elif kind == Texture.LABELS:  # packages: bands of colour and marks
        t = v / hv * 0.5 + 0.5
        mix = step(t, 0.3 + 0.2 * hash2(1, 2, seed), foot / hv)
        row = math.floor(t * 9.0)
        on = hash2(math.floor(u / hu * 7.0), int(row), seed)
        third = (1.0 if on < 0.3 else 0.0) * min(max(1.5 - foot / hv * 10.0, 0.0), 1.0)
        shade = 0.85 + 0.3 * wave2(x, y, seed)
    elif kind == Texture.BOOKS:
        return books(m, u, v, hv, foot, seed)
    elif kind == Texture.PICTURE:
        return picture(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.PAGE:
        return page(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.FOLIAGE:
        return foliage(m, u, v, foot, seed)
    elif kind == Texture.SCREEN:
        return screen(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.OUTDOORS:
        return outdoors(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.RUG:
        return rug(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.KEYS:
        return keys(m, u, v, hu, hv, foot, seed)
    elif kind == Texture.POSTER:
        return poster(m, u, v, hu, hv, foot, seed)
    keep = (1.0 - third) * shade
    both = along(times(three(m, 1), keep * (1.0 - mix)), keep * mix, three(m, 4))
    return along(both, third, three(m, 7)), 1.0
