"""The transformer encoder, with a hybrid's convolutional embedding where there is one (paper section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.dense.transformer import MLP, Block, Encoder, PatchEmbedding, SelfAttention
from glpn_cli.models.dpt.backbone import BigTransfer
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.layers import find_activation
from glpn_cli.text import size_text


class HybridEmbedding(nn.Module):
    """Let a convolutional network look first, and embed each pixel of its deepest features (paper section 3.1)."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        assert config.backbone is not None
        self.patch = config.patch_sides
        self.backbone = BigTransfer(config.backbone)
        self.projection = nn.Conv2d(config.backbone.output_widths[-1], config.hidden_size, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) -> (B, C, h, w), and the backbone's first two features."""
        if any(side % patch for side, patch in zip(pixels.shape[-2:], self.patch, strict=True)):
            raise ModelError(
                f"pixels of {size_text(pixels.shape[-2:])} (width x height) do not fit: sides must be multiples of "
                f"{size_text(self.patch)}"
            )
        *features, deepest = self.backbone(pixels)
        return self.projection(deepest), features


class VisionTransformer(Encoder):
    """The encoder of a DPT; only the bare encoder's answer is normed, what is reassembled is not."""

    def __init__(self, config: DPTConfig) -> None:
        width = config.hidden_size
        super().__init__(
            width,
            embedding=_make_embedding(config),
            grid=config.grid,
            dropout=0.0 if config.is_hybrid else config.hidden_dropout_prob,
        )
        self.blocks.extend(make_block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def resize(self, stored: Tensor, grid: tuple[int, int]) -> Tensor:
        """Bilinear (paper section 3.3)."""
        return F.interpolate(stored, size=grid, mode="bilinear", align_corners=False)


def _make_embedding(config: DPTConfig) -> nn.Module:
    """What makes tokens of pixels."""
    if config.is_hybrid:
        return HybridEmbedding(config)
    return PatchEmbedding(config.num_channels, config.hidden_size, patch=config.patch_sides)


def make_block(config: DPTConfig) -> Block:
    """One block with fresh weights."""
    width = config.hidden_size
    return Block(
        width,
        attention=SelfAttention(
            width,
            heads=config.num_attention_heads,
            bias=config.qkv_bias,
            dropout=config.attention_probs_dropout_prob,
        ),
        mlp=MLP(width, config.intermediate_size, activation=find_activation(config.hidden_act)),
        eps=config.layer_norm_eps,
        branch=nn.Dropout(config.hidden_dropout_prob),
    )
