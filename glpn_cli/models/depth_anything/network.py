"""The whole network: picture in, metres or inverse depth out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glpn_cli.models.dense.decoder import DepthHead, Fusion, IgnoreReadout, Reassemble
from glpn_cli.models.dense.transformer import Block, Encoded
from glpn_cli.models.depth_anything.config import DepthAnythingConfig
from glpn_cli.models.depth_anything.encoder import Dinov2, LayerScale
from glpn_cli.models.layers import cast_layers, initialise


class DepthAnything(nn.Module):
    """Depth Anything: DINOv2 at one resolution, reassembled at four, fused by convolutions."""

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        backbone = config.backbone
        self.blocks_read = [place - 1 for place in backbone.outputs]  # -1, the stem, is `EMBEDDINGS`
        self.patch = config.patch_size
        self.head_in_index = config.head_in_index
        self.encoder = Dinov2(backbone)
        self.reassemble = nn.ModuleList(
            Reassemble(
                backbone.hidden_size,
                level_width=level_width,
                factor=factor,
                readout=IgnoreReadout(1 + backbone.registers),
            )
            for level_width, factor in zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)
        )
        width = config.fusion_hidden_size
        self.fusion = Fusion(config.neck_hidden_sizes, width=width, meets_levels=True)
        self.head = DepthHead(
            width,
            hidden=config.head_hidden_size,
            max_depth_m=config.limit_m,
            scale=1.0 if config.max_depth is None else config.max_depth,
        )
        initialise(self, config.initializer_range)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, h, w) -> float32 (B, h, w), metres in (0, max_depth) or inverse depth >= 0.

        What does not fill a patch of 14 pixels is left out, of the answer too.
        """
        return self.decode(self.encoder(pixels, keep=self.blocks_read))

    def decode(self, encoded: Encoded) -> Tensor:
        """The encoder's output -> depth (B, h, w)."""
        tokens = [self.encoder.read(encoded.states[block]) for block in self.blocks_read]
        levels = [reassemble(state, encoded.grid) for reassemble, state in zip(self.reassemble, tokens, strict=True)]
        rows, columns = encoded.grid
        depth: Tensor = self.head(self.fusion(levels)[self.head_in_index], (rows * self.patch, columns * self.patch))
        return depth


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: the branches' scales folded, then fp32, bf16 or fp16, channels-last in memory.

    The head's last convolution stays fp32, and with it everything after; see `DepthHead`.
    """
    assert isinstance(network, DepthAnything)
    for block in network.encoder.blocks:
        assert isinstance(block, Block)
        block.scale1 = _fold(block.attention.output, block.scale1)
        block.scale2 = _fold(block.mlp.contract, block.scale2)
    cast_layers(network, precision, kept={network.head.output})
    return network


def _fold(layer: object, scale: nn.Module) -> nn.Module:
    """Move a scale into the linear layer before it; returns an identity in its place."""
    if isinstance(scale, LayerScale):
        assert isinstance(layer, nn.Linear)
        layer.weight.mul_(scale.factors[:, None])
        layer.bias.mul_(scale.factors)
    return nn.Identity()
