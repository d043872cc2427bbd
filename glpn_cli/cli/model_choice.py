"""The model that a command uses, from what its options say."""

from __future__ import annotations

from glpn_cli.cli.console import console
from glpn_cli.devices import check_device_name
from glpn_cli.geometry import FocalChoice
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.registry import DEFAULT_MODEL
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import Recipe
from glpn_cli.models.upsampling import Upsampling


def choose_recipe(
    name: str | None,
    *,
    max_depth: float | None = None,
    offline: bool = False,
    device: str = "auto",
    precision: str = "auto",
    input_size: str = "auto",
    tta: str = "none",
    upsample: str = "bicubic",
    view: str | None = None,
    lens: FocalChoice | None = None,
    takes_labels: bool = False,
) -> Recipe:
    """Resolve the model and its settings without torch, saying what a user may not expect.

    view:         which picture of each file, where that is not the usual one
    lens:         what is said about the camera of each picture, where metres are brought to its lens
    takes_labels: whether a model that answers labels instead of depth will do.

    Raises UsageError for settings that make no sense, ModelError for a model that is missing or damaged.
    """
    check_device_name(device)
    size = InputSize.parse(input_size)
    model = resolve_model(
        DEFAULT_MODEL if name is None else name, max_depth=max_depth, offline=offline, announce=console.note
    )
    if name is None and model.row is not None:
        console.note(f"using the bundled model {DEFAULT_MODEL} ({model.row.unit}); choose another with -m")
    if model.overridden:
        console.note(f"{model.name}: {model.limit_source}")
    way = Upsampling(upsample)
    recipe = Recipe(model, input_size=size, precision=precision, tta=tta, upsample=way, view=view, lens=lens)
    if not (takes_labels and recipe.predicts_labels):
        _ = recipe.kind  # a model that answers labels, or whose config is nonsense, is refused now
    recipe.check_lens()
    return recipe
