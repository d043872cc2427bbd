"""The vision transformer: a picture as a bag of words, at one resolution from end to end.

Tokens are (B, 1 + N, C): the readout token, then one token a patch, row by row. Some networks have more tokens between
these two that stand for no patch (registers).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.layers import Activation, LayerNorm, StridedConv2d, attention_weights
from glpn_cli.text import size_text

EMBEDDINGS = -1
"""The key of the tokens before the first block among an encoder's states."""


@dataclass(eq=False)
class Encoded:
    """The encoder's output.

    states:     after which block (0 = the first, `EMBEDDINGS` = none) -> tokens (B, 1 + N, C), not normed
    grid:       (rows, columns) of the N patches
    features:   a hybrid's convolutional features (B, C, h, w), finest first; none otherwise
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
    """Cut the picture into patches that do not overlap and embed each (Dosovitskiy et al. 2021, section 3.1)."""

    def __init__(self, channels: int, width: int, *, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.projection = StridedConv2d(channels, width, patch, patch)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) -> (B, C, h, w), and no features; what does not fill a patch is left out."""
        if any(side < patch for side, patch in zip(pixels.shape[-2:], self.patch, strict=True)):
            raise ModelError(f"pixels of {size_text(pixels.shape[-2:])} (width x height) are smaller than one patch")
        return self.projection(pixels), []


class SelfAttention(nn.Module):
    """Every token looks at every other (Vaswani et al. 2017, arXiv 1706.03762)."""

    def __init__(self, width: int, *, heads: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        query, key, value = (self._split(to(tokens)) for to in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
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

    def __init__(self, width: int, hidden: int, *, activation: Activation) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.activation = activation
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        contracted: Tensor = self.contract(self.activation(self.expand(tokens)))
        return contracted


class Block(nn.Module):
    """Attention, then MLP, each normed before and added to what came in.

    branch: applied to each of the two before they are added, such as dropout
    """

    def __init__(self, width: int, *, attention: SelfAttention, mlp: nn.Module, eps: float, branch: nn.Module) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, eps=eps)
        self.attention = attention
        self.scale1: nn.Module = nn.Identity()
        self.norm2 = LayerNorm(width, eps=eps)
        self.mlp = mlp
        self.scale2: nn.Module = nn.Identity()
        self.branch = branch

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) -> (B, 1 + N, C)."""
        tokens = tokens + self.branch(self.scale1(self.attention(self.norm1(tokens))))
        added: Tensor = tokens + self.branch(self.scale2(self.mlp(self.norm2(tokens))))
        return added


class Encoder(nn.Module):
    """Embed, say where each token is, and let the blocks talk (Dosovitskiy et al. 2021, arXiv 2010.11929).

    embedding: pixels (B, 3, H, W) -> (B, C, h, w), and a hybrid's features; its last layer is `projection`
    grid:      (rows, columns) of the stored positions
    """

    def __init__(self, width: int, *, embedding: nn.Module, grid: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = embedding
        self.readout_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList()

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

    @abstractmethod
    def resize(self, stored: Tensor, grid: tuple[int, int]) -> Tensor:
        """The positions of patches (1, C, rows, columns) -> (1, C, h, w)."""

    def join(self, readout: Tensor, patches: Tensor) -> Tensor:
        """All tokens, from the readout's (B, 1, C) and the patches' (B, N, C), each with its position."""
        return torch.cat((readout, patches), dim=1)

    def _embed(self, pixels: Tensor) -> tuple[Tensor, Encoded]:
        if pixels.dim() != 4:
            raise ModelError(f"pixels must be (B, C, H, W), not {tuple(pixels.shape)}")
        projection = self.embedding.projection
        assert isinstance(projection, nn.Conv2d)
        embedded, features = self.embedding(pixels.to(projection.weight.dtype))
        grid = (embedded.shape[2], embedded.shape[3])
        of_readout, of_patches = self._positions_for(grid)
        readout = (self.readout_token + of_readout).expand(pixels.shape[0], -1, -1)
        tokens = self.dropout(self.join(readout, embedded.flatten(2).mT + of_patches))
        return tokens, Encoded({EMBEDDINGS: tokens}, grid, features)

    def _positions_for(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(1, 1, C) of the readout, (1, N, C) of the patches: the stored ones, or between them for another grid."""
        readout, patches = self.positions[:, :1], self.positions[:, 1:]
        if grid == self.grid:
            return readout, patches
        stored = patches.mT.reshape(1, -1, *self.grid)  # (1, C, rows, columns)
        return readout, self.resize(stored, grid).flatten(2).mT
