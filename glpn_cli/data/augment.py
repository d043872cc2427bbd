"""One picture with depth becomes many: crops and zooms, other light, other cameras, vertical CutDepth.

Every function is pure: what it does is decided by the random generator it is given. Pictures stay uint8, and Pillow
does the work, because a training loop on two cores must not wait for its loader.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from glpn_cli.data.samples import Sample

_Rng = np.random.Generator


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture on its way to the network, and how often.

    zoom:      (a, b) takes a window of the network's shape, 1/a to 1/b of the largest that fits, and resizes it; focal
               lengths follow. None crops a window of the network's size (the paper's way), out of a picture that is
               brought down first where such a window would be less than 1/1.1 of the largest: 448 of the 480 rows of
               NYU are cropped as they are, but the network is to see of a photograph what it is given in use.
    flip:      probability of mirroring.
    light:     probability of each of brightness and contrast, gamma, hue and saturation, white balance.
    strength:  how far those go; 1 is the paper's brightness, contrast and gamma of up to 20 %.
    camera:    probability of each of blur, noise, JPEG.
    erase:     probability of one erased rectangle in the picture (its depth stays).
    cut_depth: probability of vertical CutDepth.
    cut_width: its `p`: how much of the picture right of the cut may be replaced.
    """

    zoom: tuple[float, float] | None = None
    flip: float = 0.5
    light: float = 0.5
    strength: float = 1.0
    camera: float = 0.0
    erase: float = 0.0
    cut_depth: float = 0.25
    cut_width: float = 0.75


PAPER = Augmentation()
"""Kim et al. 2022, section 4: crops, flips, light and colour with p = 0.5 each; CutDepth on a quarter."""

ROOMS = Augmentation(zoom=(1.0, 1.0), light=0.5, strength=1.0, camera=0.1, erase=0.1, cut_depth=0.0)
"""For training on rendered rooms, whose renderer has done its own light, noise and lenses already.

Windows are the largest that fit: one that is enlarged, seen as through the one lens of training, is nearer than its
room by the zoom, and a network that has seen nothing else takes whole pictures for nearer than they are (by a tenth,
with zooms of up to 1.35). Where a step's shape is not the picture's, as upright ones are not, the largest is enlarged.
"""


_MOST_CROPPED = 1.1


def augment(
    sample: Sample, *, size: tuple[int, int], how: Augmentation, limit_m: float, focal_px: float | None, rng: _Rng
) -> Sample:
    """A random variation of `sample` at the network's (h, w), seen through one camera; see `through_camera`."""
    sample = through_camera(random_window(sample, size=size, zoom=how.zoom, rng=rng), focal_px=focal_px)
    if rng.random() < how.flip:
        sample = mirror(sample)
    rgb = relight(sample.rgb, probability=how.light, strength=how.strength, rng=rng)
    rgb = retake(rgb, probability=how.camera, rng=rng)
    if rng.random() < how.erase:
        rgb = erase(rgb, rng=rng)
    sample = replace(sample, rgb=rgb)
    if rng.random() < how.cut_depth:
        sample = vertical_cut_depth(sample, limit_m=limit_m, width=how.cut_width, rng=rng)
    return sample


def random_window(sample: Sample, *, size: tuple[int, int], zoom: tuple[float, float] | None, rng: _Rng) -> Sample:
    """A window of the picture at the network's (h, w), anywhere in it; see `Augmentation.zoom`."""
    (height, width), (h, w) = sample.size, size
    largest = min(height / h, width / w)  # picture pixels per network pixel of the largest window that fits
    enlargement = 1.0 if zoom is None else math.exp(rng.uniform(math.log(zoom[0]), math.log(zoom[1])))
    scale = min(largest, max(1.0, largest / _MOST_CROPPED)) if zoom is None else largest / enlargement
    top, left = rng.uniform(0, height - h * scale), rng.uniform(0, width - w * scale)
    if scale == 1:
        top, left = math.floor(top), math.floor(left)
    return resize_window(sample, box=(top, left, h * scale, w * scale), size=size)


def largest_window(sample: Sample, *, size: tuple[int, int]) -> Sample:
    """The middle of the picture, as much of it as has the shape of (h, w), at that size: what validation looks at."""
    (height, width), (h, w) = sample.size, size
    scale = min(height / h, width / w)
    return resize_window(
        sample, box=((height - h * scale) / 2, (width - w * scale) / 2, h * scale, w * scale), size=size
    )


def resize_window(sample: Sample, *, box: tuple[float, float, float, float], size: tuple[int, int]) -> Sample:
    """The window `box` = (top, left, height, width), in pixels of the picture, at the size (h, w).

    Colours are averaged; depth takes the nearest pixel, since an average of two surfaces is on neither. The focal
    length grows with the enlargement.
    """
    top, left, tall, wide = box
    (height, width), (h, w) = sample.size, size
    # Pillow refuses boxes that leave the picture by a rounding error.
    edges = (max(left, 0.0), max(top, 0.0), min(left + wide, width), min(top + tall, height))
    rgb = np.asarray(Image.fromarray(sample.rgb).resize((w, h), Image.Resampling.BILINEAR, box=edges))
    rows = np.clip((top + (np.arange(h) + 0.5) * (tall / h)).astype(np.intp), 0, height - 1)
    columns = np.clip((left + (np.arange(w) + 0.5) * (wide / w)).astype(np.intp), 0, width - 1)
    focal = None if sample.focal_px is None else sample.focal_px * w / wide
    return replace(sample, rgb=rgb, depth=sample.depth[rows[:, None], columns], focal_px=focal, intrinsics=None)


def through_camera(sample: Sample, *, focal_px: float | None) -> Sample:
    """The depths at which a camera of focal length `focal_px` would see the same picture.

    One picture cannot tell a near room through a wide lens from a far one through a long lens. So that the network need
    not try, all its training depths are as of one lens; a picture or a network without a focal length stays as it is.
    """
    if focal_px is None or sample.focal_px is None:
        return sample
    return replace(sample, depth=sample.depth * np.float32(focal_px / sample.focal_px), focal_px=focal_px)


def mirror(sample: Sample) -> Sample:
    """Left becomes right."""
    return replace(
        sample, rgb=np.ascontiguousarray(sample.rgb[:, ::-1]), depth=np.ascontiguousarray(sample.depth[:, ::-1])
    )


def relight(rgb: NDArray[np.uint8], *, probability: float, strength: float, rng: _Rng) -> NDArray[np.uint8]:
    """Other light on the same things: brightness and contrast, gamma, hue and saturation, white balance.

    Each happens with `probability`. All of them together are one matrix and one table per channel.
    """
    happens = rng.random(4) < probability
    contrast, brightness = 1 + 0.2 * strength * rng.uniform(-1, 1), 0.2 * strength * rng.uniform(-1, 1)
    gamma = math.exp(0.22 * strength * rng.uniform(-1, 1))
    turn, saturation = 0.35 * strength * rng.uniform(-1, 1), math.exp(0.4 * strength * rng.uniform(-1, 1))
    balance = np.exp(0.12 * strength * rng.uniform(-1, 1, 3))
    if not happens.any():
        return rgb
    picture = Image.fromarray(rgb)
    if happens[0]:
        picture = picture.convert("RGB", _hue_matrix(turn, saturation))
    value = np.arange(256) / 255
    channels = np.stack([value, value, value])
    if happens[1]:
        channels = channels * balance[:, None]
    if happens[2]:
        channels = channels.clip(0, 1) ** gamma
    if happens[3]:
        channels = (channels - 0.5) * contrast + 0.5 + brightness
    table = (channels.clip(0, 1) * 255).round().astype(np.uint8)
    return np.asarray(picture.point(table.ravel().tolist()))


def _hue_matrix(turn: float, saturation: float) -> tuple[float, ...]:
    """Turn colours round the grey axis by `turn` radians, and stretch them from it; 3x4, as Pillow takes it."""
    luma = np.array([0.299, 0.587, 0.114])
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + math.sin(turn) * cross + (1 - math.cos(turn)) * (cross @ cross)
    grey = np.tile(luma, (3, 1))
    matrix = (grey + saturation * (np.eye(3) - grey)) @ rotation
    return tuple(np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist())


def retake(rgb: NDArray[np.uint8], *, probability: float, rng: _Rng) -> NDArray[np.uint8]:
    """The same view through another camera: out of focus, noisy, squeezed by JPEG, each with `probability`."""
    happens = rng.random(3) < probability
    radius, sigma, quality = rng.uniform(0.3, 1.2), rng.uniform(1, 10), int(rng.integers(30, 95))
    if happens[0]:
        rgb = np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(radius)))
    if happens[1]:
        noise = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(sigma)
        rgb = (rgb + noise).clip(0, 255).astype(np.uint8)
    if happens[2]:
        squeezed = io.BytesIO()
        Image.fromarray(rgb).save(squeezed, "JPEG", quality=quality)
        rgb = np.asarray(Image.open(squeezed).convert("RGB"))
    return rgb


def erase(rgb: NDArray[np.uint8], *, rng: _Rng) -> NDArray[np.uint8]:
    """Paint one rectangle, a fiftieth to a tenth of the picture, in one colour; what was there must be guessed."""
    height, width, _ = rgb.shape
    area, shape = rng.uniform(0.02, 0.1) * height * width, math.exp(rng.uniform(-0.7, 0.7))
    tall, wide = min(height, int(math.sqrt(area * shape)) + 1), min(width, int(math.sqrt(area / shape)) + 1)
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    erased = rgb.copy()
    erased[top : top + tall, left : left + wide] = rng.integers(0, 256, 3, dtype=np.uint8)
    return erased


def vertical_cut_depth(sample: Sample, *, limit_m: float, width: float, rng: _Rng) -> Sample:
    """Replace a full-height stripe of the picture by its depth, in all three channels (paper section 3.4).

    Depth is brought to the picture's range first: `limit_m` becomes white. The author's code pastes raw millimetres
    into eight bits, which wraps.

    width: the paper's p; the stripe starts at alpha W and is max((W - alpha W) beta p, 1) wide, alpha, beta in (0, 1).
    """
    columns = sample.size[1]
    alpha, beta = rng.random(), rng.random()
    left = int(alpha * columns)
    right = min(columns, left + max(int((columns - alpha * columns) * beta * width), 1))
    grey = (sample.depth[:, left:right] * (255 / limit_m)).clip(0, 255).round().astype(np.uint8)
    rgb = sample.rgb.copy()
    rgb[:, left:right] = grey[:, :, None]
    return replace(sample, rgb=rgb)
