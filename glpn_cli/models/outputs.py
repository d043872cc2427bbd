"""The shape of answers at the documented edge: by attribute, key or position, leaving out what is None."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


def asked(argument: bool | None, default: bool) -> bool:
    """A documented per-call switch: what the call says, or what the config does where the call says nothing."""
    return default if argument is None else argument


class ModelOutput:
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
class EncoderOutput(ModelOutput):
    """What a bare encoder answers.

    last_hidden_state: (B, C, h, w) of the deepest stage.
    hidden_states:     one (B, C, h, w) a stage, if asked for.
    attentions:        one (B, heads, N, n) a block, if asked for.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class DepthEstimatorOutput(ModelOutput):
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
class PooledEncoderOutput(ModelOutput):
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
class SemanticSegmenterOutput(ModelOutput):
    """What a labelling network answers.

    loss:   scalar, where labels were given.
    logits: float32 (B, labels, h, w).
    hidden_states, attentions: as in `PooledEncoderOutput`.
    """

    loss: Tensor | None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BatchFeature(dict[str, Any]):
    """What an image processor answers: a mapping whose entries are attributes too, movable with `.to()`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Move (and, if a dtype is given, cast) every tensor as `Tensor.to` does; the rest stays. Returns itself."""
        for name, value in self.items():
            if isinstance(value, Tensor):
                self[name] = value.to(*args, **kwargs)
        return self
