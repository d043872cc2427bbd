# mypy: warn-return-any=False
"""The camera: how a hand holds it, its lens, and its processing from light to 8-bit sRGB.

Processing is exposure, white balance, lens, noise, tone curve, sharpening and JPEG.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.room import Room
from glpn_cli.scenes.world import Pose

_Pixels = NDArray[np.float32]


def make_pose(position: tuple[float, float, float], yaw: float, pitch: float, roll: float) -> Pose:
    """Heading `yaw` about z, raised by `pitch`, turned by `roll`; radians."""
    cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    forward = (cp * cy, cp * sy, sp)
    right = (sy, -cy, 0.0)
    down = (cy * sp, sy * sp, -cp)
    c, s = math.cos(roll), math.sin(roll)
    turned = tuple(c * a + s * b for a, b in zip(right, down, strict=True))
    lowered = tuple(c * b - s * a for a, b in zip(right, down, strict=True))
    return Pose(position, (turned[0], turned[1], turned[2]), (lowered[0], lowered[1], lowered[2]), forward)


def choose_focal(chance: Chance) -> float:
    """The horizontal field of view of the 4:3 picture, radians: phones and Kinects, mostly 57 to 66 degrees."""
    degrees = chance.weigh([
        (5, chance.bell(62, 3.5, 54, 72)), (2, chance.between(55, 70)), (1.2, chance.between(45, 80)),
    ])  # fmt: skip
    return math.radians(degrees)


def propose_pose(chance: Chance, room: Room) -> tuple[Pose, float]:
    """A way to hold the camera, and the median depth (metres) that such a view tends to have."""
    d = chance
    mode = d.weigh([(5.4, "room"), (2.6, "thing"), (1.0, "close"), (0.7, "down"), (0.8, "level"), (0.5, "wall"),
                    (2.0, "over")])  # fmt: skip
    height = d.weigh([(6, d.bell(1.45, 0.16, 1.0, 1.85)), (2, d.between(0.7, 1.3)), (0.7, d.between(0.3, 0.8)),
                      (0.6, d.between(1.8, 2.3))])  # fmt: skip
    height = min(height, room.height - 0.15)
    margin = 0.25
    x, y = d.between(margin, room.width - margin), d.between(margin, room.length - margin)
    if mode in ("room", "level") and d.yes(0.75):  # stand back: near a wall
        if d.yes(0.5):
            x = margin + 0.5 * d.unit() if d.yes(0.5) else room.width - margin - 0.5 * d.unit()
        else:
            y = margin + 0.5 * d.unit() if d.yes(0.5) else room.length - margin - 0.5 * d.unit()
    roll = math.radians(d.bell(0, 2.0, -8, 8))
    want = 3.1 * math.exp(d.bell(0, 0.36, -0.9, 0.9))
    target = (d.between(0, room.width), d.between(0, room.length), d.between(0.2, 1.5))
    if mode in ("thing", "close") and room.tops:
        tx, ty, tz = d.pick(room.tops)
        target = (tx, ty, tz * d.between(0.4, 1.0))
        reach = d.between(1.2, 3.2) if mode == "thing" else d.between(0.45, 1.1)
        if mode == "close":
            height = min(max(tz + d.between(0.1, 0.7), 0.5), room.height - 0.1)
            want = d.between(0.6, 1.5)
        else:
            want = d.between(1.4, 3.3)
        for _ in range(8):
            a = d.between(0, 2 * math.pi)
            x, y = tx + reach * math.cos(a), ty + reach * math.sin(a)
            if margin < x < room.width - margin and margin < y < room.length - margin:
                break
        x = min(max(x, margin), room.width - margin)
        y = min(max(y, margin), room.length - margin)
    edges = [top for top in room.tops if 0.4 < top[2] < 1.25] if mode == "over" else []
    if edges:  # from behind a table, a counter, the back of a chair
        target = d.pick(edges)
        a, reach = d.between(0, 2 * math.pi), d.between(0.4, 1.5)
        x = min(max(target[0] + reach * math.cos(a), margin), room.width - margin)
        y = min(max(target[1] + reach * math.sin(a), margin), room.length - margin)
        height = min(target[2] + d.between(0.2, 0.75), room.height - 0.15)
        want = d.between(1.2, 3.2)
    dx, dy = target[0] - x, target[1] - y
    yaw = math.atan2(dy, dx)
    distance = math.hypot(dx, dy)
    pitch = math.radians(d.bell(-11, 10, -42, 16))
    if mode in ("thing", "close"):
        pitch = math.atan2(target[2] - height, max(distance, 0.2)) + math.radians(d.bell(0, 6, -20, 20))
        yaw += math.radians(d.bell(0, 7, -25, 25))
    elif edges:
        pitch = math.radians(d.between(-30, -10))
        yaw += math.radians(d.bell(0, 12, -30, 30))
    elif mode == "down":
        pitch = math.radians(d.between(-52, -25))
        want = d.between(1.2, 2.2)
    elif mode == "level":
        pitch = math.radians(d.bell(-1, 2, -6, 6))
        want = 3.3 * math.exp(d.bell(0, 0.4, -0.9, 0.9))
    elif mode == "wall":
        yaw = d.pick([0.0, 0.5, 1.0, 1.5]) * math.pi + math.radians(d.bell(0, 15, -45, 45))
        want = d.between(0.8, 2.0)
    pitch = min(max(pitch, math.radians(-55)), math.radians(26))
    return make_pose((x, y, height), yaw, pitch, roll), want


def is_clear(solids: NDArray[np.float64], position: tuple[float, float, float], margin: float) -> bool:
    """Whether no solid's box comes within `margin` metres of the camera."""
    if not len(solids):
        return True
    offset = np.asarray(position) - solids[:, 0:3]
    local = np.abs(np.einsum("nij,nj->ni", solids[:, 3:12].reshape(-1, 3, 3), offset))
    return not bool(np.any(np.all(local < solids[:, 12:15] + margin, axis=1)))


def develop(
    chance: Chance, light: _Pixels, depth: _Pixels, *, grain: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """A photograph, uint8 (H, W, 3), of linear colours `light` float32 (H, W, 3).

    grain: where the noise comes from; None: from `chance`, too. Frames of one film differ in nothing else
    """
    d = chance
    light = light * _exposure(d, light)
    light = light * _white_balance(d, light)
    light = _vignette(d, light)
    light = _blur(d, light, depth)
    light = _noise(d, light, d.generator if grain is None else grain)
    picture = _tone(d, light)
    return _compress(d, picture)


def _exposure(d: Chance, light: _Pixels) -> np.float32:
    """Meter as cameras do (a soft-clipped mean), with errors to both sides."""
    grey = light[::3, ::3].mean(axis=2)
    key = float(np.mean(np.minimum(grey, 4.0 * float(np.median(grey)) + 1e-3)))
    stops = d.weigh([(6, d.bell(0.0, 0.4, -1.2, 1.0)), (1.0, d.between(-1.9, -0.5)), (0.6, d.between(0.4, 1.5))])
    return np.float32(0.24 * 2.0**stops / max(key, 1e-4))


def _white_balance(d: Chance, light: _Pixels) -> _Pixels:
    mean = light.reshape(-1, 3).mean(axis=0) + 1e-4
    neutral = (mean.mean() / mean) ** d.between(0.3, 0.95)
    warm = d.bell(0.02, 0.08, -0.25, 0.25)
    tint = d.bell(0.0, 0.025, -0.08, 0.08)
    gains = np.array([1.0 + warm, 1.0 + tint, 1.0 - warm]) * neutral
    return gains.astype(np.float32)


def _vignette(d: Chance, light: _Pixels) -> _Pixels:
    strength = d.unit() ** 2 * 0.5
    if strength < 0.03:
        return light
    height, width = light.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return light * (1.0 - np.float32(0.5 * strength) * (x * x + y * y))[..., None]


def _smear(light: _Pixels, kernel: NDArray[np.float32], axis: int) -> _Pixels:
    reach = len(kernel) // 2
    pad = [(0, 0)] * 3
    pad[axis] = (reach, reach)
    padded = np.pad(light, pad, mode="edge")
    n = light.shape[axis]
    out = np.zeros_like(light)
    for k, weight in enumerate(kernel):
        part = padded[k : k + n] if axis == 0 else padded[:, k : k + n]
        out += weight * part
    return out


def _gaussian(sigma: float) -> NDArray[np.float32]:
    reach = max(1, math.ceil(2.5 * sigma))
    x = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _blur(d: Chance, light: _Pixels, depth: _Pixels) -> _Pixels:
    """Soft lenses, missed focus, moving hands. Sizes are in pixels of a picture 256 wide."""
    scale = light.shape[1] / 256.0
    kind = d.weigh([(4, "none"), (3.5, "soft"), (1.0, "motion"), (0.8, "depth"), (0.5, "strong")])
    if kind in ("soft", "strong"):
        sigma = (d.between(0.25, 0.7) if kind == "soft" else d.between(0.7, 1.8)) * scale
        kernel = _gaussian(sigma)
        return _smear(_smear(light, kernel, 0), kernel, 1)
    if kind == "motion":
        length = max(2, int(d.between(2, 7) * scale)) | 1
        return _smear(light, np.full(length, 1.0 / length, np.float32), d.whole(0, 1))
    if kind == "depth":
        focus = float(np.median(depth)) * d.between(0.5, 1.5)
        soft = _smear(_smear(light, _gaussian(1.6 * scale), 0), _gaussian(1.6 * scale), 1)
        amount = np.clip(np.abs(1.0 / depth - np.float32(1.0 / focus)) * np.float32(d.between(0.5, 2.0)), 0, 1)[
            ..., None
        ]
        return light + (soft - light) * amount.astype(np.float32)
    return light


def _noise(d: Chance, light: _Pixels, generator: np.random.Generator) -> _Pixels:
    strength = d.weigh([(3, d.between(0.0, 0.008)), (3, d.between(0.008, 0.025)), (1, d.between(0.025, 0.06))])
    grain = generator.standard_normal(light.shape, dtype=np.float32)
    if d.yes(0.5):  # cameras smooth colour noise away
        grey = grain[..., :1]
        grain = grey + (grain - grey) * np.float32(d.between(0.2, 0.7))
    level = np.sqrt(np.maximum(light, 0) * np.float32(0.6) + np.float32(0.05 * d.unit()))
    return light + grain * level * np.float32(strength)


def _tone(d: Chance, light: _Pixels) -> NDArray[np.uint8]:
    """Highlights clip hard or roll off; then sRGB gamma, contrast, saturation."""
    light = np.maximum(light, 0.0)
    if d.yes(0.5):
        shoulder = np.float32(d.between(1.5, 4.0))
        light = light * (1.0 + light / (shoulder * shoulder)) / (1.0 + light * np.float32(0.5))
        light = light * np.float32(1.25)
    # Gamma and contrast as one table over the root of light, which is finest where the eye is.
    curve = np.power(np.linspace(0, 1, 2048, dtype=np.float32), np.float32(2.0 / d.bell(2.2, 0.15, 1.8, 2.6)))
    curve += np.float32(d.bell(0.1, 0.25, -0.4, 0.7)) * curve * (1.0 - curve) * (2.0 * curve - 1.0)
    value = curve.take((np.sqrt(np.minimum(light, 1.0)) * 2047.0 + 0.5).astype(np.int32))
    grey = value.mean(axis=2, keepdims=True)
    saturation = d.weigh([(20, d.bell(1.02, 0.2, 0.45, 1.6)), (0.3, 0.0)])
    value = grey + (value - grey) * np.float32(saturation)
    if d.yes(0.15):
        value = value * np.float32(d.between(0.85, 1.0)) + np.float32(d.between(0.0, 0.06))
    return np.asarray(np.clip(value * 255.0 + 0.5, 0, 255).astype(np.uint8))


def _compress(d: Chance, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    if d.yes(0.12):  # enlarged from a smaller picture
        width, height = image.size
        f = d.between(0.5, 0.9)
        small = image.resize((max(8, int(width * f)), max(8, int(height * f))), Image.Resampling.BILINEAR)
        image = small.resize((width, height), d.pick([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]))
    if d.yes(0.45):
        image = image.filter(ImageFilter.UnsharpMask(d.between(0.6, 1.6), int(d.between(30, 150)), 0))
    if d.yes(0.75):
        store = io.BytesIO()
        quality = int(d.weigh([(3, d.between(75, 95)), (2, d.between(50, 80)), (1, d.between(30, 55))]))
        image.save(store, "JPEG", quality=quality, subsampling=d.pick([0, 2, 2]))
        image = Image.open(store)
        image.load()
    return np.asarray(image.convert("RGB"))
