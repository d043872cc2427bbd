"""The whole network: picture in, metres out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.errors import ModelError
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.decoder import Decoder, SelectiveFeatureFusion, upsample
from glpn_cli.models.glpn.encoder import MixTransformer, Stage
from glpn_cli.models.layers import cast_layers, check_pixels, fold, initialise

_HALO = 2
"""Rows beside a band that its depth depends on, of features and of enlarged features alike; see `DepthHead._band`."""
_BAND_BYTES = 4 * 2**20
"""Of enlarged features in one band: measured best of 1/4 to 16 MiB, 27 to 45 % under the time of one whole."""


class DepthHead(nn.Module):
    """From features to metres: bilinear to the output's size, two convolutions, and a sigmoid times the largest depth.

    doublings: how often the features' size is doubled; two bring the published last step to the picture's size.
    """

    def __init__(self, width: int, *, max_depth_m: float, doublings: int) -> None:
        super().__init__()
        self.max_depth_m = max_depth_m
        self.doublings = doublings
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.output = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> depth float32 (B, h 2^doublings, w 2^doublings), metres in (0, max_depth_m).

        These are the largest tensors of the whole network; where no gradient is wanted they are made and used up band
        by band, which bounds the memory of any picture and keeps the work in the processor's cache.
        """
        if torch.is_grad_enabled():
            return self._read(self._enlarge(features))
        batch, channels, height, width = features.shape
        row_bytes = batch * channels * width * 4**self.doublings * features.element_size()
        rows = max(2 * _HALO, _BAND_BYTES // row_bytes)
        bands = [self._band(features, first, min(first + rows, height)) for first in range(0, height, rows)]
        return torch.cat(bands, dim=1)

    def _band(self, features: Tensor, first: int, last: int) -> Tensor:
        """The depth that belongs to the rows first <= row < last of `features`, as if all rows were there.

        Enlarging spoils at most 3 rows at a cut and each convolution 1 more, so 2 rows (4 or 8 enlarged ones) beside
        the band are enough.
        """
        height, scale = features.shape[2], 2**self.doublings
        top, bottom = max(first - _HALO, 0), min(last + _HALO, height)
        large = self._enlarge(features[:, :, top:bottom])
        above, below = min(_HALO, scale * first), min(_HALO, scale * (height - last))  # what two convolutions look at
        start = scale * (first - top) - above
        rows = above + scale * (last - first) + below
        depth = self._read(large[:, :, start : start + rows])
        return depth[:, above : rows - below]

    def _enlarge(self, features: Tensor) -> Tensor:
        for _ in range(self.doublings):
            features = upsample(features)
        return features

    def _read(self, grid: Tensor) -> Tensor:
        """(B, C, H, W) -> metres (B, H, W).

        The last convolution and the sigmoid are computed in fp32 whatever the rest is: a bf16 sigmoid has steps of
        1/256 above one half, which is 39 mm at 10 m and 0.3 m at 80 m.
        """
        hidden = F.relu(self.conv(grid), inplace=True)
        with torch.autocast(grid.device.type, enabled=False):
            score = self.output(hidden.to(self.output.weight.dtype)).squeeze(1)
            return torch.sigmoid(score.float()) * self.max_depth_m


class GLPN(nn.Module):
    """Global-Local Path Network: a transformer sees the whole room, a light decoder finds its edges again."""

    def __init__(self, config: GLPNConfig) -> None:
        super().__init__()
        if any(stride != 2 for stride in config.strides[1:]):
            raise ModelError(f"strides = {config.strides} do not fit the decoder, which doubles the size at every step")
        if any(kernel % 2 == 0 for kernel in config.patch_sizes):
            raise ModelError(
                f"patch_sizes = {config.patch_sizes} do not fit the decoder: an even kernel gives a row too many"
            )
        self.channels = config.num_channels
        self.stride = config.stride
        self.head_in_index = config.head_in_index
        self.encoder = MixTransformer(config)
        self.decoder = Decoder(config)
        self.head = DepthHead(
            config.decoder_hidden_size, max_depth_m=config.max_depth, doublings=2 if config.reads_last_step else 1
        )
        initialise(self, config.initializer_range)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, h, w) in [0, 1] -> depth float32 (B, h, w), metres along the optical axis.

        h and w must be multiples of the stride (32 for the published models). Raises ModelError otherwise.
        """
        check_pixels(pixels, self.stride)
        return self.decode(self.encoder(pixels.to(self.head.conv.weight.dtype)))

    def decode(self, grids: list[Tensor]) -> Tensor:
        """The encoder's grids, finest first -> depth (B, h, w)."""
        depth: Tensor = self.head(self.decoder(grids)[self.head_in_index])
        return depth


@torch.no_grad()
def cast(network: nn.Module, precision: str) -> nn.Module:
    """`network`, changed in place: batch norms folded, then fp32, bf16 or fp16, channels-last in memory.

    The head's last convolution stays fp32, and with it the sigmoid and everything after; see `DepthHead`.
    """
    assert isinstance(network, GLPN)
    assert not network.training, "batch norms can be folded only where their statistics stand still"
    folding = torch.float64 if precision == "bf16" else torch.float32
    for fusion in network.decoder.fusions:
        assert isinstance(fusion, SelectiveFeatureFusion)
        fusion.norm1 = fold(fusion.conv1, fusion.norm1, precision=folding)
        fusion.norm2 = fold(fusion.conv2, fusion.norm2, precision=folding)
    kept = {network.head.output}
    if precision == "bf16":
        from glpn_cli.models.bf16_rounding import round_to_bf16

        round_to_bf16(network, channels=network.channels, stride=network.stride, kept=kept)
    cast_layers(network, precision, kept=kept)
    for stage in network.encoder.stages:
        assert isinstance(stage, Stage)
        stage.patch_embedding.norm.keep_fp32(answer=torch.float32)  # here the tokens begin
    return network
