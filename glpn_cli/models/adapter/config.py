"""Models that transformers runs, as their config.json describes them. No torch and no transformers at import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, cast

from glpn_cli.checkpoint import OWN_KEY, Checkpoint
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import Cost, InputSize, ModelConfig, WeightRow, read_config
from glpn_cli.models.fields import bounded, choice, height_width, is_whole, optional, text
from glpn_cli.prediction import DepthKind, DepthMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from glpn_cli.models.adapter.network import AdaptedNetwork
    from glpn_cli.models.adapter.processor import PictureProcessor
    from glpn_cli.models.state_dict import StateDictMatch

INSTALL = "pip install 'glpn-cli[transformers]'"

KNOWN_KINDS: Mapping[str, DepthKind] = {
    "depth_pro": DepthKind.METRIC,
    "prompt_depth_anything": DepthKind.AFFINE,  # metres only with a depth sensor's map beside the picture
    "tipsv2_dpt": DepthKind.METRIC,
    "zoedepth": DepthKind.METRIC,
}
"""`model_type` -> what the depths mean, by the documentation of transformers."""

_NO_DEPTH: Mapping[str, str] = {"chmv2": "the heights of trees above the ground"}
"""`model_type` of what transformers lists among depth models -> what it answers instead."""

_USUAL_SIZE = (384, 384)


def adapter_class(model_type: str) -> type[AdapterConfig] | None:
    """The config class of a model that transformers runs; None where it knows no depth model of this type.

    Raises ModelError for one that answers something else than depth, and where transformers is not installed.
    """
    if model_type in _NO_DEPTH:
        raise ModelError(f"a model of type {model_type!r} predicts {_NO_DEPTH[model_type]}, not depth")
    is_installed = find_spec("transformers") is not None
    if model_type in KNOWN_KINDS and not is_installed:
        raise ModelError(
            f"a model of type {model_type!r} runs through transformers, which is not installed here",
            hint=f"Run: {INSTALL}",
        )
    if not is_installed:
        return None
    if model_type not in KNOWN_KINDS:
        from glpn_cli.models.adapter.network import depth_types

        if model_type not in depth_types():
            return None
    return _class_of(model_type)


@cache
def _class_of(model_type: str) -> type[AdapterConfig]:
    members = {"model_type": model_type, "__doc__": AdapterConfig.__doc__}
    return cast(type[AdapterConfig], type("AdapterConfig", (AdapterConfig,), members))


@dataclass
class AdapterConfig(ModelConfig):
    """A depth model that transformers runs: all keys of its config.json are for transformers, kept in `unknown`.

    Kept in config.json under the one key "glpn_cli":

    depth_kind:    metric, scale, affine or disparity: what its depths mean, where the user knows better than
                   `KNOWN_KINDS`; the kind of types that are not in there is unknown
    training_size: (height, width) that costs are told for; None stands for what the processor's `size` says
    source:        where the weights came from, such as "Intel/zoedepth-nyu"
    processor:     the object of preprocessor_config.json; set when a folder is opened, and not written

    The network sees what the model's own picture processor makes, in fp32. Raises ModelError naming the field.
    """

    runs_through = "transformers"
    superseded = ()
    own_fields: ClassVar = {
        "depth_kind": "depth_kind",
        "training_size": "training_size",
        "source": "source",
        "processor": "processor",
    }

    depth_kind: str | None = bounded(None, optional(choice(*DepthKind)))
    training_size: tuple[int, int] = bounded(None, optional(height_width()))  # type: ignore[assignment]  # see `complete`
    source: str | None = bounded(None, optional(text()))
    processor: Mapping[str, Any] | None = None
    unknown: dict[str, Any] = field(default_factory=dict)

    def complete(self) -> None:
        """Take the training size from the processor's settings, where they have one."""
        self.training_size = vars(self)["training_size"] or _read_size((self.processor or {}).get("size"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what config.json and preprocessor_config.json hold: the class is made for each `model_type` anew."""
        raw = self.to_dict()
        return read_config, ({**raw, OWN_KEY: {**raw.get(OWN_KEY, {}), "processor": self.processor}},)

    @property
    def unread_keys(self) -> tuple[str, ...]:
        """None: transformers reads them all."""
        return ()

    # The family's answers; see `ModelConfig`.

    @property
    def num_channels(self) -> int:
        """Its processor makes three of any picture."""
        return 3

    @property
    def kind(self) -> DepthKind:
        """As the user says, else as is known of the type, else unknown."""
        if self.depth_kind is None and self.model_type == "depth_pro" and not self.unknown.get("use_fov_model"):
            return DepthKind.SCALE  # without the field of view its numbers are metres over an unknown focal length
        return DepthKind(self.depth_kind or KNOWN_KINDS.get(self.model_type, DepthKind.UNKNOWN))

    @property
    def scale_source(self) -> str:
        """How the kind is known; none of these models is known to have a largest depth."""
        if self.depth_kind is not None:
            return f'{self.kind.value} depth, by "glpn_cli" in its config.json'
        if self.kind is DepthKind.UNKNOWN:
            return (
                "Nobody says what its numbers mean. If you know: "
                '"glpn_cli": {"depth_kind": "metric"} (or scale, affine, disparity) in its config.json'
            )
        unit = "metres, whose limit is not known" if self.kind.is_metric else f"{self.kind.value} depth, no metres"
        return f"{unit}; by the documentation of transformers, not verified on the weights"

    @cached_property
    def _pictures(self) -> PictureProcessor:
        """Its picture processor, made when the first picture comes."""
        from glpn_cli.models.adapter.processor import make_processor

        return make_processor(self.model_type, self.processor or {})

    @cached_property
    def _described(self) -> AdaptedNetwork:
        """The network without weights, to be counted."""
        from glpn_cli.models.adapter.network import describe

        return describe(self)

    def weight_rows(self) -> Iterator[WeightRow]:
        """As transformers names them in memory; names in files may be older ones, which it translates."""
        buffers = dict(self._described.named_buffers())
        for name, tensor in self._described.state_dict().items():
            is_counter = name in buffers and not tensor.is_floating_point()
            yield WeightRow(name, tuple(tensor.shape), name.partition(".")[2], is_counter=is_counter)

    def parts(self) -> dict[str, int]:
        """Parameters by the first part of their names in transformers."""
        counts: dict[str, int] = {}
        for name, parameter in self._described.named_parameters():
            part = name.split(".")[1]
            counts[part] = counts.get(part, 0) + parameter.numel()
        return counts

    def match(self, shapes: Mapping[str, tuple[int, ...]]) -> StateDictMatch:
        """As transformers itself finds when it loads tensors of these shapes."""
        from glpn_cli.models.adapter.network import match

        return match(self, shapes)

    def load(self, checkpoint: Checkpoint) -> nn.Module:
        """As transformers loads it; no tensor may be missing, unexpected or mis-shaped."""
        from glpn_cli.models.adapter.network import load

        return load(self, checkpoint)

    def cost(self, size: tuple[int, int]) -> Cost:
        """Counted on a run without numbers."""
        from glpn_cli.models.adapter.network import count_cost

        return count_cost(self, self._described, size)

    @property
    def steps(self) -> tuple[int, int]:
        """Not known."""
        return 1, 1

    def network_size(self, size: tuple[int, int], asked: InputSize) -> tuple[int, int]:
        """What the model's own processor makes of a picture of (H, W). Raises UsageError for any other size."""
        if asked.policy not in ("auto", "original"):
            raise UsageError(
                f"--input-size {asked} is not available: the network sees what the model's own processor makes",
                hint="Leave it out, or use a model that runs here without transformers.",
            )
        return self.auto_size(size)

    def auto_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """As published."""
        return self._pictures.network_size(size)

    original_size = auto_size

    def preprocessor(self) -> dict[str, Any]:
        """The checkpoint's own settings; those that transformers has by default where there are none."""
        return dict(self.processor or {})

    def own_values(self) -> dict[str, Any]:
        """Without the processor's settings, which have a file of their own, and a size that follows from them."""
        values = super().own_values()
        settings = values.pop("processor", None)
        if self.training_size == _read_size((settings or {}).get("size")):
            values.pop("training_size", None)
        return values

    def build(self) -> nn.Module:
        """The network with fresh weights, by transformers."""
        from glpn_cli.models.adapter.network import build

        return build(self)

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:  # noqa: ARG002 - the processor decides
        """Pixels as the model's own processor makes them of the whole picture."""
        return self._pictures.prepare(rgb)

    def decode(self, raw: Tensor, size: tuple[int, int]) -> DepthMap:
        """Depth at (H, W) as the model's own processor makes it, > 0."""
        return DepthMap(self._pictures.restore(raw, size), kind=self.kind)

    def cast(self, network: nn.Module, precision: str) -> nn.Module:
        """As it is: transformers' networks are not changed. Raises UsageError for less than fp32."""
        if precision != "fp32":
            raise UsageError(f"models that transformers runs compute in fp32 here, not in {precision}")
        return network

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Raise ModelError: they are not trained here."""
        self.require_own_network("training")
        raise AssertionError


def _read_size(size: Any) -> tuple[int, int]:
    """(h, w) of a processor's `size`."""
    if isinstance(size, Mapping):
        side = size.get("shortest_edge")
        height, width = size.get("height", side), size.get("width", side)
    else:
        height = width = size
    sides = (height, width)
    return sides if all(is_whole(side) and side > 0 for side in sides) else _USUAL_SIZE
