"""The two recipes of `--recipe`: the paper's, and that of the bundled model."""

from __future__ import annotations

import math
from dataclasses import replace

from glpn_cli.data.augment import PAPER, ROOMS
from glpn_cli.errors import UsageError
from glpn_cli.training.config import Phase, Schedule, TrainingConfig
from glpn_cli.training.initial_model import Camera
from glpn_cli.training.settings import TrainingSettings

_PAPER_EPOCHS = 25
PAPER_CROP, KITTI_CROP = (448, 576), (352, 704)
KITTI_LIMIT_M = 80.0
_ROOMS_STEPS = 35_000
_ROOMS_SIZES = (
    ((96, 128), 0.10, 0.5),
    ((128, 160), 0.08, 0.5),
    ((160, 224), 0.40, 0.6),
    ((160, 256), 0.10, 0.6),
    ((192, 288), 0.05, 0.7),
    ((192, 256), 0.27, 0.7),
)
"""(h, w), share of the steps, weight of the gradient term: growing, and of the shapes that photographs have."""
_UPRIGHT = 0.12
"""Share of the steps that see upright pictures, but not of the last stretch: rooms are rendered lying, so an upright
window is an enlarged and a near one, and a network that saw it last takes whole pictures for nearer than they are."""
_NORMAL_WEIGHT = 0.25

ROOMS_CAMERA = Camera((192, 256), 220.0)
"""The camera that rooms are learned through: 60 degrees wide, as a phone held sideways."""


def paper_recipe(
    asked: TrainingSettings,
    *,
    length: int | None,
    crop: tuple[int, int] = PAPER_CROP,
    camera: Camera | None = None,
) -> TrainingConfig:
    """Kim et al. 2022, section 4.2: Adam, 25 epochs, the rate there and back, SiLog, vertical CutDepth.

    length: pictures of an epoch; None for data without an end, which need `asked.steps`.
    camera: of the initial model. Where its focal length is known, pictures are learned whole, as rooms are: a crop seen
            through that camera would be nearer than its room, and so would all later predictions.
    """
    knows_focal = camera is not None and camera.focal_px is not None
    augmentation = replace(PAPER, zoom=ROOMS.zoom) if knows_focal else PAPER
    batch = 12 if asked.batch_size is None else asked.batch_size
    steps = _count_steps(asked, length, batch, epochs=_PAPER_EPOCHS)
    peak = 1e-4 if asked.learning_rate is None else asked.learning_rate
    return TrainingConfig(
        phases=(Phase(steps, asked.crop or crop, augmentation=augmentation),),
        batch_size=batch,
        schedule=Schedule("paper", peak=peak, low=0.3 * peak),
        precision=asked.precision,
        freeze=asked.freeze,
        seed=asked.seed,
        every=_every(asked, steps),
    )


def rooms_recipe(asked: TrainingSettings, *, length: int | None) -> TrainingConfig:
    """The recipe of `mini`: AdamW, growing pictures, losses of edges and surfaces beside depth, averaged weights."""
    batch = 16 if asked.batch_size is None else asked.batch_size
    is_whole = asked.steps is None and asked.epochs is None
    steps = _ROOMS_STEPS if is_whole else _count_steps(asked, length, batch, epochs=1)
    if asked.crop is None:
        *growing, (whole, _, last_weight) = _ROOMS_SIZES
        parts = [(int(share * steps), size, weight) for size, share, weight in growing]
        rest = steps - sum(count for count, _, _ in parts)
        phases = (
            *(_rooms_phase(count, size, weight, upright=_UPRIGHT) for count, size, weight in parts if count),
            _rooms_phase(rest, whole, last_weight),
        )
    else:
        phases = (_rooms_phase(steps, asked.crop, 0.5),)
    return TrainingConfig(
        phases=phases,
        batch_size=batch,
        schedule=Schedule(
            "trapezoid",
            peak=1e-3 if asked.learning_rate is None else asked.learning_rate,
            warm_up=min(300, steps // 10),
            decay=0.3,
        ),
        loss="log-l1",
        weight_decay=0.02,
        betas=(0.9, 0.99),
        clip=1.0,
        average=0.999 if steps > 5000 else 0.99,
        precision=asked.precision,
        freeze=asked.freeze,
        seed=asked.seed,
        every=_every(asked, steps),
    )


def _rooms_phase(steps: int, size: tuple[int, int], gradient_weight: float, *, upright: float = 0.0) -> Phase:
    return Phase(
        steps,
        size,
        gradient_weight=gradient_weight,
        normal_weight=_NORMAL_WEIGHT,
        augmentation=ROOMS,
        upright=upright,
    )


def smaller_crop(crop: tuple[int, int], trained_at: tuple[int, int]) -> tuple[int, int]:
    """The crop for fine-tuning: no larger than the pictures that the model was trained at, sides multiples of 32."""
    if trained_at[0] * trained_at[1] >= crop[0] * crop[1]:
        return crop
    height, width = (max(32, side // 32 * 32) for side in trained_at)
    return height, width


def _count_steps(asked: TrainingSettings, length: int | None, batch: int, *, epochs: float) -> int:
    if asked.steps is not None:
        return asked.steps
    if length is None:
        raise UsageError("these data have no end, so neither have their epochs", hint="Say how long with --steps.")
    epochs = epochs if asked.epochs is None else asked.epochs
    if not 0 < epochs < math.inf:
        raise UsageError(f"--epochs {epochs:g} is no number of passes over the data")
    return max(1, math.ceil(epochs * length / batch))


def _every(asked: TrainingSettings, steps: int) -> int:
    return max(1, min(1000, steps // 10)) if asked.every is None else asked.every
