"""The options of training. Light to import, as the help screens are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glpn_cli.errors import UsageError
from glpn_cli.options import MODEL, option


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How the network learns; what is None is the recipe's.

    precision: fp32 or bf16, once the device is known

    Raises UsageError for a size that is none.
    """

    PANEL = "Training"

    input_size: str | None = option(
        "--input-size WxH",
        None,
        "Size of the crops that the network learns from, in multiples of 32.",
        panel=MODEL,
        show_default="the recipe's",
    )
    batch_size: int | None = option(
        "--batch-size N",
        None,
        "Pictures per step, over all processes of torchrun.",
        panel=MODEL,
        min=1,
        show_default="12; rooms: 16",
    )
    workers: int = option(
        "--workers N", 0, "Processes that read ahead; 0: read between the steps.", panel=MODEL, min=0, max=256
    )
    recipe: Literal["paper", "rooms"] = option(
        "--recipe NAME",
        "paper",
        "paper: Kim et al. 2022. rooms: from scratch on rendered rooms, like the bundled model.",
    )
    steps: int | None = option("--steps N", None, "Optimiser steps.", min=1, show_default="the recipe's")
    epochs: float | None = option("--epochs N", None, "Passes over the data instead.", min=0, show_default="25")
    learning_rate: float | None = option(
        "--learning-rate RATE", None, "The highest rate of the schedule.", min=0, show_default="1e-4; rooms: 1e-3"
    )
    freeze: Literal["none", "encoder"] = option(
        "--freeze PART", "none", "encoder: train only the decoder and the head."
    )
    seed: int = option("--seed N", 0, "Seed of order, augmentation and dropout.", min=0)
    every: int | None = option(
        "--every N",
        None,
        "Save and validate every N steps; the start is validated too.",
        min=1,
        show_default="a tenth of the steps, at most 1000",
    )
    resume: bool = option("--resume", False, "Continue the run in the folder, or start it.")

    precision: str = "fp32"

    def __post_init__(self) -> None:
        _ = self.crop

    @property
    def crop(self) -> tuple[int, int] | None:
        """(h, w) of the crops."""
        from glpn_cli.models.config_base import InputSize

        size = None if self.input_size is None else InputSize.parse(self.input_size)
        if size is not None and size.exact is None:
            raise UsageError(
                f"--input-size {self.input_size!r} is no WIDTHxHEIGHT", hint="Write WIDTHxHEIGHT, for example 576x448."
            )
        return None if size is None else size.exact
