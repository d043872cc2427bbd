"""The encoder: DINOv2 (Oquab et al. 2023, arXiv 2304.07193), whose branches have learned scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.dense.transformer import MLP, Block, Encoder, PatchEmbedding, SelfAttention
from glpn_cli.models.depth_anything.backbone_config import Dinov2Config
from glpn_cli.models.layers import DropPath, LayerNorm, find_activation


class LayerScale(nn.Module):
    """One learned factor a channel (Touvron et al. 2021, arXiv 2103.17239, section 3)."""

    def __init__(self, width: int, *, value: float) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.full((width,), value))

    def forward(self, branch: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        return branch * self.factors


class SwiGLU(nn.Module):
    """Each token by itself: half of what it is widened to gates the other half (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        gate, value = self.expand(tokens).chunk(2, dim=-1)
        contracted: Tensor = self.contract(F.silu(gate) * value)
        return contracted


class Dinov2(Encoder):
    """DINOv2; its tokens are the readout, then registers where there are any, then one a patch."""

    def __init__(self, config: Dinov2Config) -> None:
        width = config.hidden_size
        super().__init__(
            width,
            embedding=PatchEmbedding(config.num_channels, width, patch=config.patch_sides),
            grid=config.grid,
            dropout=config.hidden_dropout_prob,
        )
        if config.use_mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, width))  # kept for files; nothing is masked here
        self.registers = nn.Parameter(torch.zeros(1, config.registers, width)) if config.registers else None
        self.blocks.extend(make_block(config) for _ in range(config.num_hidden_layers))
        self.norm = LayerNorm(width, eps=config.layer_norm_eps)
        self.is_normed = config.apply_layernorm

    def join(self, readout: Tensor, patches: Tensor) -> Tensor:
        """Registers have no position, and stand between the two."""
        if self.registers is None:
            return super().join(readout, patches)
        return torch.cat((readout, self.registers.expand(len(patches), -1, -1), patches), dim=1)

    def resize(self, stored: Tensor, grid: tuple[int, int]) -> Tensor:
        """Bicubic, and smoothed where there are registers, as each was published."""
        is_smooth = self.registers is not None
        return F.interpolate(stored.float(), size=grid, mode="bicubic", align_corners=False, antialias=is_smooth)

    def read(self, tokens: Tensor) -> Tensor:
        """A block's tokens as the decoder takes them."""
        normed: Tensor = self.norm(tokens) if self.is_normed else tokens
        return normed


def make_block(config: Dinov2Config) -> Block:
    """One block with fresh weights."""
    width, hidden = config.hidden_size, config.mlp_width
    block = Block(
        width,
        attention=SelfAttention(
            width,
            heads=config.num_attention_heads,
            bias=config.qkv_bias,
            dropout=config.attention_probs_dropout_prob,
        ),
        mlp=SwiGLU(width, hidden)
        if config.use_swiglu_ffn
        else MLP(width, hidden, activation=find_activation(config.hidden_act)),
        eps=config.layer_norm_eps,
        branch=DropPath(config.drop_path_rate),
    )
    block.scale1 = LayerScale(width, value=config.layerscale_value)
    block.scale2 = LayerScale(width, value=config.layerscale_value)
    return block
