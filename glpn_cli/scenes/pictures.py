# mypy: warn-return-any=False
"""Textures that show something: pictures, posters, pages, screens, book spines, rugs, leaves, the world outside."""

from __future__ import annotations

import math

from glpn_cli.scenes.compiled import Floats, compiled_small
from glpn_cli.scenes.noise import fractal2, hash2, step, stripe, wave2
from glpn_cli.scenes.vectors import Vector, along, blend, three, times

Shade = tuple[Vector, float]
"""A linear colour, and a factor on the material's glow."""


@compiled_small
def _vivid(seed: int, k: int, soft: float) -> Vector:
    """A random colour; `soft` 1 is grey, 0 is saturated."""
    h = 6.0 * hash2(k, 17, seed)
    value = 0.04 + 0.8 * hash2(k, 18, seed) ** 1.6
    r = min(max(abs(h - 3.0) - 1.0, 0.0), 1.0)
    g = min(max(2.0 - abs(h - 2.0), 0.0), 1.0)
    b = min(max(2.0 - abs(h - 4.0), 0.0), 1.0)
    s = (1.0 - soft) * hash2(k, 19, seed)
    return value * (1.0 - s + s * r), value * (1.0 - s + s * g), value * (1.0 - s + s * b)


@compiled_small
def books(m: Floats, u: float, v: float, hv: float, foot: float, seed: int) -> Shade:
    """Spines of random width, height, colour and lettering; darkness above them."""
    width = m[10]
    cell = math.floor(u / width)
    i = int(cell)
    split = 0.3 + 0.4 * hash2(i, 1, seed)
    f = u / width - cell
    if f > split:
        i = 2 * i + 1
        f = (f - split) / (1.0 - split)
        w = width * (1.0 - split)
    else:
        i = 2 * i
        f = f / split
        w = width * split
    height = (v + hv) / (2.0 * hv)
    colour = _vivid(seed, i // (1 + int(3.0 * hash2(i // 8, 3, seed))), 0.3 + 0.4 * m[11])
    keep = min(max(1.6 - foot / w, 0.0), 1.0)
    shade = 0.75 + 0.25 * math.sin(3.1416 * f) * keep
    band = hash2(i, 5, seed)
    if abs(height - band * 0.8) < 0.05 or (abs(height - 0.45) < 0.22 and abs(f - 0.5) < 0.22 and band > 0.4):
        e = 0.5 * keep * (1.0 if abs(height - band * 0.8) < 0.05 else hash2(int(height * 60.0), i, seed))
        colour = blend(colour, (0.7, 0.65, 0.5), e)
    top = step(height, 0.72 + 0.28 * hash2(i, 2, seed), foot / hv * 0.5)
    gap = (1.0 - step(min(f, 1.0 - f) * w, 0.0015, max(foot, 0.001))) * keep * 0.8
    return times(colour, (1.0 - top * 0.93) * (1.0 - gap) * shade), 0.0


@compiled_small
def picture(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """A painting or photograph: ground, horizon, a few shapes, noise; with a mount of colour three where p > 0."""
    x, y = u / hu, v / hv
    f = foot / min(hu, hv)
    mount = m[11]
    if mount > 0.0 and max(abs(x) * hu, abs(y) * hv) > 0.0:
        edge = min(hu - abs(u), hv - abs(v))
        if edge < mount * min(hu, hv):
            return three(m, 7), 0.0
    soft = m[12]
    bend = 0.5 * (fractal2(x * 1.7, y * 0.7, seed, 4, f) - 0.5)
    t = step(y + bend, 1.2 * hash2(3, 3, seed) - 0.6, 0.05 + 0.9 * hash2(4, 4, seed) + f)
    colour = blend(_vivid(seed, 1, soft), _vivid(seed, 2, soft), t)
    n = 2 + int(7.0 * hash2(5, 5, seed))
    for i in range(n):
        cx, cy = 1.8 * hash2(i, 20, seed) - 0.9, 1.8 * hash2(i, 21, seed) - 0.9
        w = 0.06 + 0.5 * hash2(i, 22, seed) ** 2
        h = 0.06 + 0.6 * hash2(i, 23, seed) ** 2
        a, c = (x - cx) / w, (y - cy) / h
        d = math.sqrt(a * a + c * c) if hash2(i, 24, seed) < 0.5 else max(abs(a), abs(c))
        cover = 1.0 - step(d + bend, 1.0, f / w + 0.02)
        if cover > 0.0:
            colour = blend(colour, _vivid(seed, 30 + i, soft), cover)
    return times(colour, 0.7 + 0.6 * fractal2(x * 6.0, y * 6.0, seed + 40, 4, f * 6.0)), 1.0


@compiled_small
def page(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """Paper with lines of words, a heading, and perhaps a figure."""
    line = m[10]
    row = math.floor(v / line)
    word = math.floor(u / (line * 2.3) + hash2(int(row), 2, seed))
    ink = 0.0
    edge = min(hu - abs(u), hv - abs(v))
    if edge > 0.12 * min(hu, hv) and hash2(int(row), 4, seed) > 0.12:
        on = 1.0 if hash2(int(word), int(row), seed) > 0.18 else 0.0
        if foot < line:
            ink = on * stripe(v / line, 0.5, foot / line) * (0.6 + 0.4 * hash2(int(u / line * 2.5), int(row), seed))
        else:
            ink = 0.3 * on
        if v > hv * 0.7:
            ink = on * stripe(v / line * 0.4, 0.6, foot / line) if hash2(1, 1, seed) < 0.6 else 0.0
    if hash2(9, 9, seed) < 0.5 and abs(v + 0.3 * hv) < 0.3 * hv and abs(u) < 0.7 * hu:
        return picture(m, u, v + 0.3 * hv, 0.7 * hu, 0.3 * hv, foot, seed + 3)
    return blend(three(m, 1), three(m, 4), 0.85 * ink), 0.0


@compiled_small
def poster(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """Blocks of text and pictures on a ground, as on notice boards, magazines, shop signs."""
    columns = 1 + int(2.99 * hash2(1, 40, seed))
    rows = 2 + int(3.99 * hash2(2, 40, seed))
    a, b = (u + hu) / (2.0 * hu) * columns, (v + hv) / (2.0 * hv) * rows
    i, j = min(max(int(a), 0), columns - 1), min(max(int(b), 0), rows - 1)
    what = hash2(i, j, seed + 41)
    su, sv = hu / columns, hv / rows
    lu, lv = (a - i - 0.5) * 2.0 * su, (b - j - 0.5) * 2.0 * sv
    if abs(lu) > 0.92 * su or abs(lv) > 0.92 * sv or what < 0.15:
        return three(m, 1), 1.0
    if what < 0.65:
        return picture(m, lu, lv, 0.92 * su, 0.92 * sv, foot, seed + 7 * i + 13 * j)
    if what < 0.85:
        colour, _ = page(m, lu, lv, su, sv, foot, seed + i + 5 * j)
        return colour, 1.0
    n = 0.3 + 0.2 * hash2(i, j, seed + 50)  # a headline
    on = hash2(math.floor(lu / (sv * n)), j, seed + 51)
    ink = (1.0 if abs(lv) < sv * n and on > 0.25 else 0.0) * (0.4 + 0.6 * stripe(lu / (sv * n * 0.5), 0.6, foot / sv))
    return blend(three(m, 1), three(m, 4), ink), 1.0


@compiled_small
def foliage(m: Floats, u: float, v: float, foot: float, seed: int) -> Shade:
    """Leaves over leaves: cells of two greens with dark gaps."""
    scale = m[10]
    f = foot / scale
    n = fractal2(u / scale, v / scale, seed, 4, f)
    d = fractal2(u / scale * 2.7 + 9.0, v / scale * 2.7, seed + 2, 3, f * 2.7)
    t = step(n, 0.5, 0.08 + f)
    dark = 0.25 + 0.75 * step(d, 0.44, 0.12 + f)
    return times(blend(three(m, 1), three(m, 4), t), dark), 1.0


@compiled_small
def screen(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """A lit display: a desktop with windows of text, or a film."""
    edge = min(hu - abs(u), hv - abs(v))
    if edge < 0.012:
        return (0.02, 0.02, 0.02), 0.0
    if hash2(1, 60, seed) < 0.35:
        return picture(m, u, v, hu, hv, foot, seed)
    colour = _vivid(seed, 61, 0.4)
    for i in range(3):
        cx = hu * (1.4 * hash2(i, 62, seed) - 0.7)
        cy = hv * (1.2 * hash2(i, 63, seed) - 0.6)
        w = hu * (0.3 + 0.5 * hash2(i, 64, seed))
        h = hv * (0.3 + 0.6 * hash2(i, 65, seed))
        if abs(u - cx) < w and abs(v - cy) < h:
            light = 0.85 if hash2(i, 66, seed) < 0.6 else 0.05
            row = math.floor(v / 0.012)
            on = 1.0 if hash2(math.floor(u / 0.03), int(row), seed) > 0.45 else 0.0
            ink = on * stripe(v / 0.012, 0.5, foot / 0.012)
            if v - cy > h * 0.86:
                colour = _vivid(seed, 67 + i, 0.5)
            else:
                value = light + (0.45 - light) * ink
                colour = (value, value, value)
    return colour, 1.0


@compiled_small
def outdoors(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """What a window shows: sky, a skyline of houses or trees, or plain glare; bars of the frame on the glass."""
    across = m[11]
    down = m[12]
    bar = 0.03
    fu, fv = (u + hu) / (2.0 * hu) * across, (v + hv) / (2.0 * hv) * down
    du = (0.5 - abs(fu - math.floor(fu) - 0.5)) / across * 2.0 * hu
    dv = (0.5 - abs(fv - math.floor(fv) - 0.5)) / down * 2.0 * hv
    if min(du, dv) < bar:
        return three(m, 7), 0.0
    y = v / hv + 0.6 * (hash2(3, 70, seed) - 0.5)
    sky = m[14]
    colour = blend(three(m, 1), (1.0, 1.0, 1.0), 0.6 * fractal2(u * 0.8, v * 1.6, seed + 5, 4, foot))
    if sky < 0.75:
        trees = (
            fractal2(u * 1.5, 0.3, seed, 5, foot) * 1.6
            - 0.9
            + sky
            + 0.25 * (fractal2(u * 6.0, v * 6.0, seed, 3, foot) - 0.5)
        )
        column = math.floor(u / 0.35)
        houses = hash2(column, 71, seed) * 1.2 - 0.9 + sky
        if y < houses and hash2(4, 72, seed) < 0.6:
            lit = 1.0 if stripe(u / 0.09, 0.5, foot / 0.09) > 0.5 and stripe(v / 0.12, 0.55, foot / 0.12) > 0.5 else 0.0
            tone = (0.25 + 0.4 * hash2(column, 73, seed)) * (1.0 - 0.5 * lit)
            colour = (tone, tone * 0.95, tone * 0.88)
        if y < trees:
            n = fractal2(u * 14.0, v * 14.0, seed + 1, 5, foot * 14.0)
            t = 0.2 + 1.6 * min(max((n - 0.3) * 2.0, 0.0), 1.0)
            haze = 0.25 * hash2(7, 75, seed)
            colour = along((haze, haze, haze), t, three(m, 4))
    return colour, 1.0


@compiled_small
def rug(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """A carpet with a border, a field of motifs and a medallion."""
    edge = min(hu - abs(u), hv - abs(v))
    width = 0.1 + 0.15 * hash2(1, 80, seed)
    pick = 0
    cell = m[10]
    if edge < width:
        t = stripe(edge / width * 2.0, 0.5, foot / width * 2.0)
        pick = 1 if t > 0.5 else 2
        if hash2(2, 80, seed) < 0.6 and stripe((u + v) / cell, 0.5, foot / cell) > 0.5:
            pick = 0
    else:
        a, b = u / cell - math.floor(u / cell) - 0.5, v / cell - math.floor(v / cell) - 0.5
        d = abs(a) + abs(b) if hash2(3, 80, seed) < 0.5 else math.sqrt(a * a + b * b)
        if d < 0.3:
            pick = 1
        if d < 0.13:
            pick = 2
        r = math.sqrt((u / hu) ** 2 + (v / hv) ** 2)
        if r < 0.45 and hash2(4, 80, seed) < 0.6:
            pick = 2 if stripe(r * 8.0, 0.5, foot / hu * 8.0) > 0.5 else 1
    n = 0.75 + 0.5 * fractal2(u * 60.0, v * 60.0, seed, 2, foot * 60.0)
    worn = wave2(u * 2.0, v * 2.0, seed)
    n *= 0.85 + 0.3 * worn
    return times(three(m, 1 + 3 * pick), n), 1.0


@compiled_small
def keys(m: Floats, u: float, v: float, hu: float, hv: float, foot: float, seed: int) -> Shade:
    """Keyboards, remote controls, panels of buttons."""
    size = m[10]
    gap = max(stripe(u / size, 0.18, foot / size), stripe(v / size, 0.18, foot / size))
    lone = hash2(math.floor(u / size), math.floor(v / size), seed)
    edge = min(hu - abs(u), hv - abs(v))
    if edge < 0.3 * size:
        gap = 1.0
    mark = 0.5 if lone > 0.85 and foot < size else 0.0
    return blend(blend(three(m, 1), three(m, 7), mark), three(m, 4), gap), 1.0
