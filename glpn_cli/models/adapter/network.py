"""Networks of transformers: made from a config.json, loaded strictly, asked about one picture at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.errors import ModelError
from glpn_cli.models.adapter.config import AdapterConfig
from glpn_cli.models.config_base import Cost
from glpn_cli.models.fields import is_whole
from glpn_cli.models.state_dict import StateDictMatch

_HOW_IT_COMPUTES = ("attn_implementation", "attn_implementation_internal", "experts_implementation", "use_kernels")
_MOST_LAYERS = 1000
_OF_TORCH = (None, False, "eager", "sdpa")


class AdaptedNetwork(nn.Module):
    """A depth network of transformers, as a function of pixels alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, h, w), as `processor.prepare` makes them -> (B, h', w'), what the processor reads.

        One picture after the other: ZoeDepth with two heads lets a batch vote for one of them.
        """
        return torch.cat([self._answer(one[None]) for one in pixels])

    def _answer(self, pixels: Tensor) -> Tensor:
        """The predicted depth; where there is a field of view too (Depth Pro), inverse metres."""
        output = self.model(pixel_values=pixels)
        depth: Tensor = output.predicted_depth
        degrees = getattr(output, "field_of_view", None)
        if degrees is None:
            return depth
        # A picture's width over its focal length.
        return depth * (2 * torch.tan(torch.deg2rad(degrees) / 2))[:, None, None]


@cache
def depth_types() -> frozenset[str]:
    """Every `model_type` that transformers has a depth network for."""
    with quiet_transformers():
        names = import_module("transformers.models.auto.modeling_auto").MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES
    return frozenset(names)


def build(config: AdapterConfig) -> AdaptedNetwork:
    """The network with fresh weights. Raises ModelError where transformers refuses the config."""
    network_class, described = _find(config)
    with _own_errors(config):
        return AdaptedNetwork(network_class(described))


def describe(config: AdapterConfig) -> AdaptedNetwork:
    """The network without numbers: names and shapes alone."""
    with torch.device("meta"):
        return build(config).eval()


def load(config: AdapterConfig, checkpoint: Checkpoint) -> AdaptedNetwork:
    """The network of a checkpoint, in fp32 and eval mode. Raises ModelError naming every tensor that does not fit."""
    model, found = _load(config, checkpoint.read_state())
    found.require_exact(checkpoint.weights)
    return AdaptedNetwork(model).eval()


def match(config: AdapterConfig, shapes: Mapping[str, tuple[int, ...]]) -> StateDictMatch:
    """How a file's tensors fit the network, by loading zeros of their shapes."""
    return _load(config, {name: torch.zeros(shape) for name, shape in shapes.items()})[1]


def count_cost(config: AdapterConfig, network: nn.Module, size: tuple[int, int]) -> Cost:
    """Multiply-accumulates by torch's own counter. Activations are the largest that one module takes and answers.

    network: without numbers; one that decides by its numbers is counted with numbers.
    """
    largest = 0

    def note(_module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal largest
        tensors = [each for each in (*inputs, output) if isinstance(each, Tensor)]
        largest = max(largest, sum(each.numel() * each.element_size() for each in tensors))

    def count(counted: nn.Module, device: str) -> int:
        hooks = [module.register_forward_hook(note) for module in counted.modules()]
        try:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                counted(torch.zeros(1, 3, *size, device=device))
        finally:
            for hook in hooks:
                hook.remove()
        return int(counter.get_total_flops())

    weights = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    try:
        flops = count(network, "meta")
    except (RuntimeError, NotImplementedError):
        with _own_errors(config):
            flops = count(build(config).eval(), "cpu")
    return Cost(flops // 2, weights, largest)


def _load(config: AdapterConfig, state: Mapping[str, Tensor]) -> tuple[nn.Module, StateDictMatch]:
    """A network with the tensors of a file, and how they fit it; older names are translated."""
    network_class, described = _find(config)
    with _own_errors(config):
        model, found = network_class.from_pretrained(
            None,
            config=described,
            state_dict=dict(state),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    misshapen = [
        f"{name} should be {list(wanted)}, is {list(stored)}" for name, stored, wanted in found["mismatched_keys"]
    ]
    fits = StateDictMatch(
        sources={},
        missing=tuple(sorted(found["missing_keys"])),
        unexpected=tuple(sorted(found["unexpected_keys"])),
        misshapen=tuple(sorted(misshapen)),
    )
    return model, fits


def _find(config: AdapterConfig) -> tuple[Any, Any]:
    """Transformers' network class for a config, and its own config object.

    Runs no code of the model's folder, and fetches nothing. Raises ModelError for a config that would need either.
    """
    raw = _check_local({"model_type": config.model_type, **config.unknown})
    with _own_errors(config):
        auto = import_module("transformers.models.auto")
        described = auto.CONFIG_MAPPING[config.model_type].from_dict(raw)
        return auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING[type(described)], described


def _check_local(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same config, and those within it, without what makes transformers fetch code. Raises ModelError."""
    checked: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "backbone" and value:  # transformers, or timm, would look for it on the hub
            raise ModelError(f"config.json: backbone = {value!r} is a network of elsewhere, not in this folder")
        if key == "quantization_config" and value:
            raise ModelError("config.json: quantization_config asks for numbers of fewer bits; models here have fp32")
        if "layers" in key and is_whole(value) and value > _MOST_LAYERS:
            raise ModelError(f"config.json: {key} = {value}, and no network has more than {_MOST_LAYERS}")
        if key.endswith(_HOW_IT_COMPUTES) and value not in _OF_TORCH:
            continue  # a kernel of the hub is code, and so is what stands in for a flash attention that is not here
        checked[key] = _check_local(value) if isinstance(value, Mapping) else value
    return checked


@contextmanager
def _own_errors(config: AdapterConfig) -> Iterator[None]:
    """Turn what transformers raises about a config, which may be anything, into a ModelError; keep it quiet."""
    try:
        with quiet_transformers():
            yield
    except (ModelError, MemoryError):
        raise
    except Exception as error:
        said = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
        raise ModelError(
            f"transformers cannot build a network for this {config.model_type} model: {said[:300]}"
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the talk and the progress bars of transformers off stderr meanwhile."""
    logging = import_module("transformers.utils.logging")
    verbosity, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()
