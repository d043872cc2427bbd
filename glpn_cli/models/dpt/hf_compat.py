"""The three documented classes: the same network, with the published names, arguments and answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from glpn_cli.errors import UsageError
from glpn_cli.models.config_base import WeightRow
from glpn_cli.models.dense.transformer import Encoded
from glpn_cli.models.dpt.config import DEPTH_NETWORK, LABEL_NETWORK, DPTConfig
from glpn_cli.models.dpt.encoder import VisionTransformer
from glpn_cli.models.dpt.network import DPT, initialise
from glpn_cli.models.dpt.weights import pooler_rows
from glpn_cli.models.hf_compat_base import (
    BareEncoder,
    DepthEstimatorOutput,
    Encoding,
    HeadedModel,
    PooledEncoderOutput,
    SemanticSegmenterOutput,
    encode_tokens,
)
from glpn_cli.models.layers import find_activation
from glpn_cli.models.losses import segmentation_loss


class Pooler(nn.Module):
    """One layer over the readout token."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        assert config.pooler_output_size is not None
        self.projection = nn.Linear(config.hidden_size, config.pooler_output_size)
        self.activation = find_activation(config.pooler_act)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, C')."""
        return self.activation(self.projection(tokens[:, 0]))


class DPTModel(BareEncoder):
    """The documented bare encoder, with a pooling layer unless `add_pooling_layer` is false.

    A file without a pooling layer, as those of the other classes are, gives it fresh weights and a warning.

    >>> model = DPTModel.from_pretrained("Intel/dpt-large")
    >>> model(pixel_values).last_hidden_state   # (B, 577, 1024) for 384x384 pictures
    """

    config_class = DPTConfig
    config: DPTConfig
    part = ("encoder.", "pooler.")
    base_prefix = "dpt."

    def __init__(self, config: DPTConfig, add_pooling_layer: bool = True) -> None:
        super().__init__()
        self.config = config
        self.encoder = VisionTransformer(config)
        self.pooler = Pooler(config) if add_pooling_layer else None
        initialise(self, config.initializer_range)

    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """Every block's tokens."""
        return encode_tokens(self.encoder, pixels, with_attentions=with_attentions)

    def answer(self, features: Encoded, labels: Tensor | None) -> PooledEncoderOutput:
        """Every token's features, normed."""
        assert labels is None
        tokens: Tensor = self.encoder.norm(features.tokens)
        return PooledEncoderOutput(
            tokens,
            pooler_output=None if self.pooler is None else self.pooler(tokens),
            intermediate_activations=features.features or None,
        )

    @classmethod
    def rows(cls, config: Any) -> list[WeightRow]:
        """The encoder's last norm is used here, and the pooling layer may be absent."""
        pooler = [replace(row, is_idle=True) for row in pooler_rows(config)]
        return [*_used("encoder.norm.", config.weight_rows()), *pooler]

    @classmethod
    def fill(cls, config: Any, row: WeightRow) -> Tensor:
        """Fresh weights for the pooling layer."""
        if not row.name.startswith("pooler.") or row.name.endswith(".bias"):
            return super().fill(config, row)
        warnings.warn("the file has no pooling layer: pooler_output comes from fresh random weights", stacklevel=4)
        return torch.empty(row.shape).normal_(std=config.initializer_range)


class _WholeNetwork(HeadedModel):
    """What the classes with a head share: the network for their `architecture`, whatever the config calls itself."""

    config_class = DPTConfig
    config: DPTConfig
    architecture: ClassVar[str]

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        self.config = config
        self.network = DPT(replace(config, architectures=[self.architecture]))

    def encode(self, pixels: Tensor, *, with_attentions: bool) -> Encoding:
        """Every block's tokens."""
        return encode_tokens(self.network.encoder, pixels, with_attentions=with_attentions)

    @classmethod
    def rows(cls, config: Any) -> list[WeightRow]:
        """Those of a network of this architecture."""
        return list(replace(config, architectures=[cls.architecture]).weight_rows())


class DPTForDepthEstimation(_WholeNetwork):
    """The documented depth estimator; it answers inverse depth, up to scale and shift. Pixels are in [-1, 1].

    >>> model = DPTForDepthEstimation.from_pretrained("Intel/dpt-large")
    >>> model(**processor(images=picture, return_tensors="pt")).predicted_depth   # (B, h, w)
    """

    architecture = DEPTH_NETWORK

    def answer(self, features: Encoded, labels: Tensor | None) -> DepthEstimatorOutput:
        """Inverse depth; labels are refused, as published."""
        if labels is not None:
            raise NotImplementedError("DPTForDepthEstimation takes no labels; see glpn_cli.models.losses")
        fused = self.network.decode(features)
        return DepthEstimatorOutput(None, self.network.head(fused[self.config.head_in_index]))


class DPTForSemanticSegmentation(_WholeNetwork):
    """The documented labelling network.

    Pixels are in [-1, 1]. Labels are int64 (B, H, W) of any size; `config.semantic_loss_ignore_index` where there is
    none.

    >>> model = DPTForSemanticSegmentation.from_pretrained("Intel/dpt-large-ade")
    >>> model(**processor(images=picture, return_tensors="pt")).logits   # (B, 150, h, w)
    """

    architecture = LABEL_NETWORK

    def answer(self, features: Encoded, labels: Tensor | None) -> SemanticSegmenterOutput:
        """A score for every label at every pixel."""
        if labels is not None and self.config.num_labels == 1:
            raise UsageError("num_labels = 1 leaves nothing to learn: give a config with two labels or more")
        fused = self.network.decode(features)
        logits: Tensor = self.network.head(fused[self.config.head_in_index])
        return SemanticSegmenterOutput(None if labels is None else self._loss(logits, fused[-1], labels), logits)

    def _loss(self, logits: Tensor, finest: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the head, and of the auxiliary head over the finest features where there is one."""
        ignored = self.config.semantic_loss_ignore_index
        loss = segmentation_loss(logits, labels, ignored=ignored)
        if self.network.auxiliary_head is None:
            return loss
        second = segmentation_loss(self.network.auxiliary_head(finest), labels, ignored=ignored)
        return loss + self.config.auxiliary_loss_weight * second

    @classmethod
    def rows(cls, config: Any) -> list[WeightRow]:
        """Here the auxiliary head is used."""
        return _used("auxiliary_head.", super().rows(config))


def _used(start: str, rows: Iterable[WeightRow]) -> list[WeightRow]:
    """The rows, those whose names begin with `start` needed in a file."""
    return [replace(row, is_idle=False) if row.name.startswith(start) else row for row in rows]
