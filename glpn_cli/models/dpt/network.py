"""The whole network: picture in, inverse depth or labels out."""

from __future__ import annotations

from torch import Tensor, nn

from glpn_cli.models import layers
from glpn_cli.models.dpt.backbone import StandardizedConv2d
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.models.dpt.config_checks import check_fed
from glpn_cli.models.dpt.encoder import Encoded, VisionTransformer
from glpn_cli.models.dpt.fusion import Fusion
from glpn_cli.models.dpt.heads import DepthHead, LabelHead, make_auxiliary_head
from glpn_cli.models.dpt.reassemble import Reassemble
from glpn_cli.models.layers import find_activation


class DPT(nn.Module):
    """Dense Prediction Transformer: a transformer at one resolution, reassembled at four, fused by convolutions."""

    def __init__(self, config: DPTConfig) -> None:
        super().__init__()
        check_fed(config)
        self.blocks_read = config.blocks_read
        self.head_in_index = config.head_in_index
        self.encoder = VisionTransformer(config)
        self.reassemble = nn.ModuleList(
            Reassemble(
                config.hidden_size,
                level_width=width,
                factor=factor,
                readout_type=config.readout_type,
                activation=find_activation(config.hidden_act),
            )
            for level, (width, factor) in enumerate(
                zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)
            )
            if level not in config.neck_ignore_stages
        )
        self.fusion = Fusion(config)
        self.head = make_head(config)
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
        """What the encoder found -> every fusion step's output (B, C, h, w), coarsest first."""
        tokens = [encoded.states[block] for block in self.blocks_read]
        levels = [reassemble(state, encoded.grid) for reassemble, state in zip(self.reassemble, tokens, strict=True)]
        outputs: list[Tensor] = self.fusion([*encoded.features, *levels])
        return outputs


def make_head(config: DPTConfig) -> nn.Module:
    """The head that the config's architecture asks for."""
    width = config.fusion_hidden_size
    if not config.predicts_labels:
        return DepthHead(width, adds_projection=config.add_projection)
    assert config.num_labels is not None
    return LabelHead(width, labels=config.num_labels, dropout=config.semantic_classifier_dropout, doubles=True)


def initialise(module: nn.Module, deviation: float) -> None:
    """Fresh weights: as published, and the hybrid backbone's standardised filters by their fan-out."""
    layers.initialise(module, deviation)
    for layer in module.modules():
        if isinstance(layer, StandardizedConv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
