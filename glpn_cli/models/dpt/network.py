"""The whole network: picture in, inverse depth or labels out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glpn_cli.models import layers
from glpn_cli.models.dense.decoder import DepthHead, Fusion, Reassemble, ResidualConvUnit
from glpn_cli.models.dense.transformer import Encoded
from glpn_cli.models.dpt.backbone import StandardizedConv2d
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.dpt.decoder import LabelHead, make_auxiliary_head, make_readout
from glpn_cli.models.dpt.encoder import VisionTransformer
from glpn_cli.models.dpt.weights import DEPTH_WIDTH
from glpn_cli.models.layers import DTYPES, find_activation, fold


class DPT(nn.Module):
    """Dense Prediction Transformer: a transformer at one resolution, reassembled at four, fused by convolutions."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        config.check_levels()
        self.blocks_read = config.blocks_read
        self.head_in_index = config.head_in_index
        self.encoder = VisionTransformer(config)
        width, activation = config.hidden_size, find_activation(config.hidden_act)
        self.reassemble = nn.ModuleList(
            Reassemble(
                width,
                level_width=level_width,
                factor=factor,
                readout=make_readout(config.readout_type, width, activation=activation),
            )
            for level, (level_width, factor) in enumerate(
                zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)
            )
            if level not in config.neck_ignore_stages
        )
        self.fusion = Fusion(
            config.neck_hidden_sizes,
            width=config.fusion_hidden_size,
            bias=config.residual_bias,
            is_normed=bool(config.use_batch_norm_in_fusion_residual),
        )
        self.head = _make_head(config)
        self.auxiliary_head: LabelHead | None = None
        if config.predicts_labels and config.use_auxiliary_head:
            assert config.num_labels is not None
            self.auxiliary_head = make_auxiliary_head(config.fusion_hidden_size, labels=config.num_labels)
        initialise(self, config.initializer_range)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, h, w) in [-1, 1] -> float32, inverse depth (B, h, w) or logits (B, labels, h, w).

        The answer has the picture's size where both sides are multiples of 32; else it is up to one patch larger.
        """
        answer: Tensor = self.head(self.decode(self.encoder(pixels, keep=self.blocks_read))[self.head_in_index])
        return answer

    def decode(self, encoded: Encoded) -> list[Tensor]:
        """The encoder's output -> every fusion step's output (B, C, h, w), coarsest first."""
        tokens = [encoded.states[block] for block in self.blocks_read]
        levels = [reassemble(state, encoded.grid) for reassemble, state in zip(self.reassemble, tokens, strict=True)]
        outputs: list[Tensor] = self.fusion([*encoded.features, *levels])
        return outputs


def _make_head(config: DPTConfig) -> nn.Module:
    """The head that the config's architecture asks for."""
    width = config.fusion_hidden_size
    if not config.predicts_labels:
        return DepthHead(width, hidden=DEPTH_WIDTH, adds_projection=config.add_projection)
    assert config.num_labels is not None
    return LabelHead(width, labels=config.num_labels, dropout=config.semantic_classifier_dropout, doubles=True)


def initialise(module: nn.Module, deviation: float) -> None:
    """Fresh weights: as published, and the hybrid backbone's standardised filters by their fan-out."""
    layers.initialise(module, deviation)
    for layer in module.modules():
        if isinstance(layer, StandardizedConv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: filters standardised, batch norms folded, then fp32, bf16 or fp16, channels-last.

    The heads' last convolution stays fp32, and with it everything after; see `DepthHead`.
    """
    assert isinstance(network, DPT)
    assert not network.training, "batch norms can be folded only where their statistics stand still"
    network.auxiliary_head = None  # only training asks it
    for module in network.modules():
        if isinstance(module, StandardizedConv2d):
            module.weight.copy_(module.standardized())
            module.is_standardized = True
        elif isinstance(module, ResidualConvUnit):
            module.norm1 = fold(module.conv1, module.norm1)
            module.norm2 = fold(module.conv2, module.norm2)
        elif isinstance(module, LabelHead):
            module.norm = fold(module.conv, module.norm)
    network.to(dtype=DTYPES[precision])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs
    assert isinstance(network.head, DepthHead | LabelHead)
    network.head.output.float()
    return network
