"""The transformer encoder: a picture as a bag of words, at one resolution from end to end (paper section 3.1).

Tokens are (B, 1 + N, C): the readout token, then one token a patch, row by row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.dpt.backbone import BigTransfer
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.layers import StridedConv2d, attend, attention_weights, find_activation

EMBEDDINGS = -1
"""The key of the tokens before the first block among an encoder's states."""


@dataclass(eq=False)
class Encoded:
    """The encoder's output.

    states:     after which block (0 = the first, `EMBEDDINGS` = none) -> tokens (B, 1 + N, C), not normed
    grid:       (rows, columns) of the N patches
    features:   the hybrid's convolutional features (B, C, h, w), finest first; none otherwise
    attentions: (B, heads, 1 + N, 1 + N) a block, where they were asked for
    """

    states: dict[int, Tensor]
    grid: tuple[int, int]
    features: list[Tensor] = field(default_factory=list)
    attentions: list[Tensor] = field(default_factory=list)

    @property
    def tokens(self) -> Tensor:
        """Those after the last block that was kept."""
        return self.states[max(self.states)]


class PatchEmbedding(nn.Module):
    """Cut the picture into patches that do not overlap and embed each (paper section 3.1)."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        self.patch = config.patch_sides
        self.projection = StridedConv2d(config.num_channels, config.hidden_size, self.patch, self.patch)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) -> (B, C, h, w), and no features; what does not fill a patch is left out."""
        if any(side < patch for side, patch in zip(pixels.shape[-2:], self.patch, strict=True)):
            raise ModelError(f"pixels of {_in_words(pixels)} are smaller than one patch")
        return self.projection(pixels), []


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
            height, width = self.patch
            raise ModelError(f"pixels of {_in_words(pixels)} do not fit: sides must be multiples of {width}x{height}")
        *features, deepest = self.backbone(pixels)
        return self.projection(deepest), features


class SelfAttention(nn.Module):
    """Every token looks at every other (Vaswani et al. 2017, arXiv 1706.03762)."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(width, width, bias=config.qkv_bias)
        self.key = nn.Linear(width, width, bias=config.qkv_bias)
        self.value = nn.Linear(width, width, bias=config.qkv_bias)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        query, key, value = (self._split(to(tokens)) for to in (self.query, self.key, self.value))
        mixed = attend(query, key, value, dropout=self.dropout if self.training else 0.0)
        attended: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return attended

    def weights(self, tokens: Tensor) -> Tensor:
        """The attention that `forward` pays: (B, heads, 1 + N, 1 + N), rows sum to 1."""
        return attention_weights(self._split(self.query(tokens)), self._split(self.key(tokens)))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, heads, 1 + N, C / heads)."""
        batch, count, channels = tokens.shape
        return tokens.view(batch, count, self.heads, channels // self.heads).transpose(1, 2)


class MLP(nn.Module):
    """Each token by itself: wider, activated, back."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = find_activation(config.hidden_act)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        contracted: Tensor = self.contract(self.activation(self.expand(tokens)))
        return contracted


class Block(nn.Module):
    """Attention, then MLP, each normed before and added to what came in."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        tokens = tokens + self.dropout(self.attention(self.norm1(tokens)))
        added: Tensor = tokens + self.dropout(self.mlp(self.norm2(tokens)))
        return added


class VisionTransformer(nn.Module):
    """Embed, say where each token is, and let the blocks talk (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.grid = config.grid
        self.embedding = HybridEmbedding(config) if config.is_hybrid else PatchEmbedding(config)
        self.readout_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.dropout = nn.Dropout(0.0 if config.is_hybrid else config.hidden_dropout_prob)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        # Only the bare encoder's answer is normed; what is reassembled is not.
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, pixels: Tensor, keep: Collection[int] | None = None) -> Encoded:
        """Pixels (B, 3, H, W) -> tokens after the blocks in `keep`, or after every one, embeddings first."""
        tokens, encoded = self._embed(pixels)
        for place, block in enumerate(self.blocks):
            tokens = block(tokens)
            if keep is None or place in keep:
                encoded.states[place] = tokens
        return encoded

    def forward_with_attentions(self, pixels: Tensor) -> Encoded:
        """As `forward`, with the attention of every block; it takes N² memory."""
        tokens, encoded = self._embed(pixels)
        for place, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            encoded.attentions.append(block.attention.weights(block.norm1(tokens)))
            tokens = encoded.states[place] = block(tokens)
        return encoded

    def _embed(self, pixels: Tensor) -> tuple[Tensor, Encoded]:
        if pixels.dim() != 4:
            raise ModelError(f"pixels must be (B, C, H, W), not {tuple(pixels.shape)}")
        embedded, features = self.embedding(pixels.to(self.readout_token.dtype))
        grid = (embedded.shape[2], embedded.shape[3])
        tokens = torch.cat((self.readout_token.expand(len(pixels), -1, -1), embedded.flatten(2).mT), dim=1)
        tokens = self.dropout(tokens + self._positions_for(grid))
        return tokens, Encoded({EMBEDDINGS: tokens}, grid, features)

    def _positions_for(self, grid: tuple[int, int]) -> Tensor:
        """(1, 1 + N, C): the stored positions, bilinear between them for another grid (paper section 3.3)."""
        if grid == self.grid:
            return self.positions
        readout, patches = self.positions[:, :1], self.positions[:, 1:]
        stored = patches.mT.reshape(1, -1, *self.grid)  # (1, C, rows, columns)
        resized = F.interpolate(stored, size=grid, mode="bilinear", align_corners=False)
        return torch.cat((readout, resized.flatten(2).mT), dim=1)


def _in_words(pixels: Tensor) -> str:
    height, width = pixels.shape[-2:]
    return f"{width}x{height} (width x height)"
