"""The global path: a hierarchical Mix Transformer, that of SegFormer (Xie et al. 2021, arXiv 2105.15203, section 3.1).

Tokens stay channels-last, (B, h, w, C), from end to end: a token is a pixel of its stage, so nothing needs to carry
height and width beside a flat sequence, and convolutions see the same memory as a channels-last picture.
"""

from __future__ import annotations

from itertools import islice

from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.layers import (
    Activation,
    DropPath,
    LayerNorm,
    StridedConv2d,
    attention_weights,
    find_activation,
)


def _to_grid(tokens: Tensor) -> Tensor:
    """(B, h, w, C) -> (B, C, h, w), a view."""
    return tokens.permute(0, 3, 1, 2)


def _to_tokens(grid: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h, w, C), a view; contiguous where the grid is channels-last in memory."""
    return grid.permute(0, 2, 3, 1)


class OverlapPatchEmbedding(nn.Module):
    """Cut the picture, or the grid of the stage before, into overlapping patches and embed each.

    SegFormer calls it overlapped patch merging.
    """

    def __init__(self, in_channels: int, *, width: int, patch_size: int, stride: int, eps: float) -> None:
        super().__init__()
        self.projection = StridedConv2d(in_channels, width, patch_size, stride, padding=patch_size // 2)
        self.norm = LayerNorm(width, eps=eps)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> tokens (B, H / stride, W / stride, C)."""
        tokens: Tensor = self.norm(_to_tokens(self.projection(grid)))
        return tokens


class EfficientSelfAttention(nn.Module):
    """Every token attends to a reduced grid of keys and values (SegFormer, eq. 1 and 2).

    R neighbouring tokens become one, by a convolution whose kernel and stride are `reduction` = sqrt(R), so that the
    cost falls from N² to N² / R. (The idea is the Pyramid Vision Transformer's, Wang et al. 2021, arXiv 2102.12122.)
    """

    def __init__(self, width: int, *, heads: int, reduction: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        if reduction > 1:
            self.reduction: nn.Module = StridedConv2d(width, width, reduction, reduction)
            self.reduction_norm: nn.Module = LayerNorm(width, eps=eps)
        else:
            self.reduction, self.reduction_norm = nn.Identity(), nn.Identity()
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        query, key, value = self._project(tokens)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)  # (B, heads, N, d)
        attended: Tensor = self.output(mixed.transpose(1, 2).reshape(tokens.shape))
        return attended

    def weights(self, tokens: Tensor) -> Tensor:
        """The attention that `forward` pays: (B, heads, N, N / reduction²), rows sum to 1."""
        query, key, _ = self._project(tokens)
        return attention_weights(query, key)

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, h, w, C) -> queries (B, heads, N, d), keys and values (B, heads, n, d); d = C / heads."""
        reduced = self.reduction_norm(_to_tokens(self.reduction(_to_grid(tokens))))  # (B, h/r, w/r, C)
        return self._split(self.query(tokens)), self._split(self.key(reduced)), self._split(self.value(reduced))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, heads, N, C / heads)."""
        batch, height, width, channels = tokens.shape
        return tokens.view(batch, height * width, self.heads, channels // self.heads).transpose(1, 2)


class MixFFN(nn.Module):
    """A feed-forward network whose 3x3 depth-wise convolution tells tokens where they are (SegFormer, eq. 3).

    Its zero padding takes the place of position embeddings, which is why any picture size will do.
    """

    def __init__(self, width: int, *, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.activation = activation
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        hidden = _to_tokens(self.depthwise(_to_grid(self.expand(tokens))))  # (B, h, w, hidden)
        tokens = self.contract(self.dropout(self.activation(hidden)))
        dropped: Tensor = self.dropout(tokens)
        return dropped


class Block(nn.Module):
    """Attention, then Mix-FFN, each normed before and added to what came in."""

    def __init__(self, config: GLPNConfig, *, stage: int, drop_path: float) -> None:
        super().__init__()
        width = config.hidden_sizes[stage]
        self.norm1 = LayerNorm(width, eps=config.block_eps)
        self.attention = EfficientSelfAttention(
            width,
            heads=config.num_attention_heads[stage],
            reduction=config.sr_ratios[stage],
            dropout=config.attention_probs_dropout_prob,
            eps=config.patch_eps,
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm2 = LayerNorm(width, eps=config.block_eps)
        self.ffn = MixFFN(
            width,
            hidden=width * config.mlp_ratios[stage],
            activation=find_activation(config.hidden_act),
            dropout=config.hidden_dropout_prob,
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        tokens = tokens + self.drop_path(self.dropout(self.attention(self.norm1(tokens))))
        added: Tensor = tokens + self.drop_path(self.ffn(self.norm2(tokens)))
        return added


class Stage(nn.Module):
    """One level of the hierarchy: patch embedding, blocks, norm."""

    def __init__(self, config: GLPNConfig, *, stage: int, drop_paths: list[float]) -> None:
        super().__init__()
        width = config.hidden_sizes[stage]
        self.patch_embedding = OverlapPatchEmbedding(
            config.num_channels if stage == 0 else config.hidden_sizes[stage - 1],
            width=width,
            patch_size=config.patch_sizes[stage],
            stride=config.strides[stage],
            eps=config.patch_eps,
        )
        self.blocks = nn.ModuleList(Block(config, stage=stage, drop_path=rate) for rate in drop_paths)
        self.norm = LayerNorm(width, eps=config.block_eps)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, h, w), channels-last in memory."""
        tokens = self.patch_embedding(grid)
        for block in self.blocks:
            tokens = block(tokens)
        return _to_grid(self.norm(tokens))


class MixTransformer(nn.Module):
    """Stages of ever coarser grids: published are four, at 1/4, 1/8, 1/16 and 1/32 of the picture's size."""

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        last = max(1, sum(config.depths) - 1)
        rates = iter([config.drop_path_rate * block / last for block in range(last + 1)])  # rises from block to block
        self.stages = nn.ModuleList(
            Stage(config, stage=stage, drop_paths=list(islice(rates, depth)))
            for stage, depth in enumerate(config.depths)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (B, 3, H, W) in [0, 1] -> one grid (B, C, h, w) a stage, finest first."""
        grids = []
        grid = pixels
        for stage in self.stages:
            grid = stage(grid)
            grids.append(grid)
        return grids

    def forward_with_attentions(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """As `forward`, with the attention (B, heads, N, n) of every block; it takes N² memory."""
        grids, attentions = [], []
        grid = pixels
        for stage in self.stages:
            assert isinstance(stage, Stage)
            tokens = stage.patch_embedding(grid)
            for block in stage.blocks:
                assert isinstance(block, Block)
                attentions.append(block.attention.weights(block.norm1(tokens)))
                tokens = block(tokens)
            grid = _to_grid(stage.norm(tokens))
            grids.append(grid)
        return grids, attentions
