"""The documented edge: outputs by attribute, key or position, and models in and out of folders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import ModelConfig, WeightRow, read_config
from glpn_cli.models.dense.transformer import Encoded, Encoder
from glpn_cli.models.layers import Unfilled
from glpn_cli.models.loading import Loading
from glpn_cli.models.state_dict import file_state, read_state, zeros


def _asked(argument: bool | None, default: bool) -> bool:
    """A documented per-call switch: as the call says, or else as the config does."""
    return default if argument is None else argument


class _ModelOutput:
    """Base of the documented outputs: fields that are None are not there, for keys, positions and tuples alike."""

    def _present(self) -> dict[str, Any]:
        named = ((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]  # subclasses are dataclasses
        return {name: value for name, value in named if value is not None}

    def __getitem__(self, key: str | int | slice) -> Any:
        return self._present()[key] if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._present())

    def __len__(self) -> int:
        return len(self._present())

    def __contains__(self, name: object) -> bool:
        return name in self._present()

    def keys(self) -> list[str]:
        """Names of the fields that are there."""
        return list(self._present())

    def values(self) -> list[Any]:
        """Their values."""
        return list(self._present().values())

    def items(self) -> list[tuple[str, Any]]:
        """Both."""
        return list(self._present().items())

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or `default` where it is None."""
        return self._present().get(name, default)

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(self._present().values())


@dataclass
class EncoderOutput(_ModelOutput):
    """What a bare encoder answers.

    last_hidden_state: (B, C, h, w) of the deepest stage.
    hidden_states:     one (B, C, h, w) a stage, if asked for.
    attentions:        one (B, heads, N, n) a block, if asked for.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class DepthEstimatorOutput(_ModelOutput):
    """What a depth network answers.

    loss:            scalar, where labels were given.
    predicted_depth: float32 (B, h, w), metres for metric models.
    hidden_states, attentions: as in `EncoderOutput`.
    """

    loss: Tensor | None
    predicted_depth: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class PooledEncoderOutput(_ModelOutput):
    """What a bare DPT answers.

    last_hidden_state:        (B, 1 + N, C), normed, the readout token first.
    pooler_output:            (B, C'), of the readout token, where there is a pooling layer.
    hidden_states:            one (B, 1 + N, C) before the first block and behind each, if asked for; not normed.
    attentions:               one (B, heads, 1 + N, 1 + N) a block, if asked for.
    intermediate_activations: (B, C, h, w) of the hybrid's backbone, finest first.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    intermediate_activations: list[Tensor] | None = None


@dataclass
class SemanticSegmenterOutput(_ModelOutput):
    """What a labelling network answers.

    loss:   scalar, where labels were given.
    logits: float32 (B, labels, h, w).
    hidden_states, attentions: as in `PooledEncoderOutput`.
    """

    loss: Tensor | None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


Encoding = tuple[Any, tuple[Tensor, ...], tuple[Tensor, ...] | None]
"""What an encoder found out about a batch: what the rest of the network reads, the hidden states, one a stage or block,
and one attention (B, heads, N, n) a block, None where they were not asked for."""


def encode_tokens(encoder: Encoder, pixels: Tensor, *, with_attentions: bool) -> Encoding:
    """The tokens of a vision transformer, after every block; see `Encoded`. Attentions take N² memory."""
    encoded: Encoded = encoder.forward_with_attentions(pixels) if with_attentions else encoder(pixels)
    return encoded, tuple(encoded.states.values()), tuple(encoded.attentions) if with_attentions else None


class Pretrained(nn.Module):
    """The documented way in and out of folders, for the documented classes.

    config_class:  the family's config
    part:          start (or starts) of the names of the tensors that the class holds; "" = all
    base_prefix:   what files of that part alone leave out of their names
    module_prefix: where the class keeps the network
    """

    config_class: ClassVar[type[ModelConfig]]
    part: ClassVar[str | tuple[str, ...]] = ""
    base_prefix: ClassVar[str] = ""
    module_prefix: ClassVar[str] = ""
    config: Any

    @abstractmethod
    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """Run the encoder."""

    @abstractmethod
    def answer(self, features: Any, labels: Tensor | None) -> Any:
        """The documented output, made of what the encoder found out; its states and attentions are filled in later."""

    def run(
        self,
        pixels: Tensor,
        labels: Tensor | None = None,
        *,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> Any:
        """The documented call: encoder, head, and what else the call, or the config, asks for."""
        config = self.config
        with_attentions = _asked(output_attentions, config.output_attentions)
        features, hidden_states, attentions = self.encode(pixels, with_attentions=with_attentions)
        output = self.answer(features, labels)
        output.attentions = attentions
        if _asked(output_hidden_states, config.output_hidden_states):
            output.hidden_states = hidden_states
        return output if _asked(return_dict, config.return_dict) else output.to_tuple()

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str],
        *,
        config: Any = None,
        **overrides: Any,
    ) -> Self:
        """The model of a folder, a registry name or a hub repository, in fp32 and eval mode.

        config:    used instead of the checkpoint's own.
        overrides: config fields, such as `output_attentions=True`, and the arguments of `Loading`, such as `revision`
                   and `dtype`; unknown ones are refused by name.

        Raises ModelError (a ValueError) naming every tensor that is missing, unexpected or mis-shaped.
        """
        loading = Loading.take(overrides)
        checkpoint = loading.open(name)
        config = _with_overrides(config or read_config(checkpoint.config), overrides)
        config.source = config.source or checkpoint.source  # so that a saved copy is known for what it is
        if not isinstance(config, cls.config_class):
            raise ModelError(f"{cls.__name__} cannot load a checkpoint of type {checkpoint.config.get('model_type')!r}")
        rows, fill = cls.rows(config), partial(cls.fill, config)
        state = read_state(checkpoint, rows, part=cls.part, base_prefix=cls.base_prefix, fill=fill)
        with Unfilled():
            model = cls(config)
        model.load_state_dict(
            {f"{cls.module_prefix}{name}": tensor for name, tensor in state.items()}, strict=True, assign=True
        )
        loading.place(model, checkpoint)
        return model.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write config.json and model.safetensors; transformers loads the folder too."""
        raw = self.config.to_dict()
        own = {name.removeprefix(self.module_prefix): tensor for name, tensor in self.state_dict().items()}
        EncodedFolder.of(
            config=raw | {"architectures": [type(self).__name__]},
            state=file_state(own, self.rows(self.config), part=self.part, base_prefix=self.base_prefix),
        ).write(Path(folder))

    @classmethod
    def rows(cls, config: Any) -> list[WeightRow]:
        """Every tensor that a file of this model may hold."""
        return list(config.weight_rows())

    @classmethod
    def fill(cls, config: Any, row: WeightRow) -> Tensor:  # noqa: ARG003 - for classes that draw fresh weights
        """The stand-in for a tensor that a file may lack, and lacks."""
        return zeros(row)


class BareEncoder(Pretrained):
    """A documented class without a head."""

    def forward(
        self,
        pixel_values: Tensor,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """The deepest features, and on request those of every stage or block and every block's attention.

        pixel_values: (B, C, h, w), as the processor makes them. What is None is as the config says.
        """
        return self.run(
            pixel_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )


class HeadedModel(Pretrained):
    """A documented class with a head; it keeps the family's whole network."""

    module_prefix = "network."

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """The prediction for every pixel, with the training loss where `labels` are given.

        pixel_values: (B, 3, h, w), as the processor makes them. What is None is as the config says.
        """
        return self.run(
            pixel_values,
            labels,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )


def _with_overrides(config: Any, overrides: Mapping[str, Any]) -> Any:
    """A copy of the config with some fields replaced. Raises ModelError naming fields that it does not have."""
    known = {field.name for field in fields(config)}
    if unknown := sorted(set(overrides) - known):
        raise ModelError(
            f"{type(config).__name__} has no field {', '.join(unknown)}", hint=f"It has: {', '.join(sorted(known))}."
        )
    return replace(config, **overrides)


def read_pretrained_config(config_class: type[Any], name: str | PathLike[str], overrides: Mapping[str, Any]) -> Any:
    """The config of a named checkpoint, some fields replaced. Raises ModelError if it is of another class."""
    overrides = dict(overrides)
    config = read_config(Loading.take(overrides).open(name).config)
    if not isinstance(config, config_class):
        raise ModelError(f"{fspath(name)!r} holds a {type(config).__name__}, not a {config_class.__name__}")
    return _with_overrides(config, overrides)
