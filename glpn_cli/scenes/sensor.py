# mypy: warn-return-any=False
"""The camera's inside: exposure, white balance, lens, noise, tone curve, sharpening, JPEG; from light to 8-bit sRGB."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from glpn_cli.scenes.chance import Chance

Single = NDArray[np.float32]


def develop(chance: Chance, light: Single, depth: Single) -> NDArray[np.uint8]:
    """A photograph, uint8 (H, W, 3), of linear colours `light` float32 (H, W, 3)."""
    d = chance
    light = light * _exposure(d, light)
    light = light * _white_balance(d, light)
    light = _vignette(d, light)
    light = _blur(d, light, depth)
    light = _noise(d, light)
    picture = _tone(d, light)
    return _compress(d, picture)


def _exposure(d: Chance, light: Single) -> np.float32:
    """Meter as cameras do (a soft-clipped mean), with errors to both sides."""
    grey = light[::3, ::3].mean(axis=2)
    key = float(np.mean(np.minimum(grey, 4.0 * float(np.median(grey)) + 1e-3)))
    stops = d.weigh([(6, d.bell(0.0, 0.4, -1.2, 1.0)), (1.0, d.between(-1.9, -0.5)), (0.6, d.between(0.4, 1.5))])
    return np.float32(0.24 * 2.0**stops / max(key, 1e-4))


def _white_balance(d: Chance, light: Single) -> Single:
    mean = light.reshape(-1, 3).mean(axis=0) + 1e-4
    neutral = (mean.mean() / mean) ** d.between(0.3, 0.95)
    warm = d.bell(0.02, 0.08, -0.25, 0.25)
    tint = d.bell(0.0, 0.025, -0.08, 0.08)
    gains = np.array([1.0 + warm, 1.0 + tint, 1.0 - warm]) * neutral
    return gains.astype(np.float32)


def _vignette(d: Chance, light: Single) -> Single:
    strength = d.unit() ** 2 * 0.5
    if strength < 0.03:
        return light
    height, width = light.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return light * (1.0 - np.float32(0.5 * strength) * (x * x + y * y))[..., None]


def _smear(light: Single, kernel: NDArray[np.float32], axis: int) -> Single:
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


def _blur(d: Chance, light: Single, depth: Single) -> Single:
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


def _noise(d: Chance, light: Single) -> Single:
    strength = d.weigh([(3, d.between(0.0, 0.008)), (3, d.between(0.008, 0.025)), (1, d.between(0.025, 0.06))])
    grain = d.generator.standard_normal(light.shape, dtype=np.float32)
    if d.yes(0.5):  # cameras smooth colour noise away
        grey = grain[..., :1]
        grain = grey + (grain - grey) * np.float32(d.between(0.2, 0.7))
    level = np.sqrt(np.maximum(light, 0) * np.float32(0.6) + np.float32(0.05 * d.unit()))
    return light + grain * level * np.float32(strength)


def _tone(d: Chance, light: Single) -> NDArray[np.uint8]:
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
