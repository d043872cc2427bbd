"""Convert foreign checkpoints into folders of ours: every tensor is placed, left out as known, or refused by name.

Two layouts are known: the names that transformers writes (ours too), in safetensors or a pickle, and the names of the
GLPN author's training code. A config that is missing is read off the shapes of the weights as far as they tell; what
they cannot tell is assumed from the published models, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glpn_cli.checkpoint import (
    CONFIG_FILE,
    OWN_KEY,
    Checkpoint,
    Weights,
    find_weights,
)
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.errors import ErrorCode, ModelError, UsageError
from glpn_cli.models.config_base import WeightRow, read_config
from glpn_cli.models.resolve import ResolvedModel, resolve_model
from glpn_cli.models.state_dict import StateDictMatch
from glpn_cli.text import first_of, read_json_object

if TYPE_CHECKING:
    from torch import Tensor

_Shapes = Mapping[str, tuple[int, ...]]

_PUBLISHED_HEADS = (1, 2, 5, 8)
_PUBLISHED_STRIDES = (4, 2, 2, 2)
_LEFTOVERS = ("encoder.head.",)
"""Names in the author's files that no depth network needs: the classifier that the encoder was pretrained with."""


class Layout(StrEnum):
    """Whose names the tensors of a file have."""

    TRANSFORMERS = "transformers"
    AUTHOR = "glpn-author"


_NAMES = {
    Layout.TRANSFORMERS: {
        "patch": "glpn.encoder.patch_embeddings.{s}.proj.weight",
        "block": "glpn.encoder.block.{s}.{b}.layer_norm_1.weight",
        "reduction": "glpn.encoder.block.{s}.0.attention.self.sr.weight",
        "expand": "glpn.encoder.block.{s}.0.mlp.dense1.weight",
        "head": "head.head.0.weight",
    },
    Layout.AUTHOR: {
        "patch": "encoder.patch_embed{n}.proj.weight",
        "block": "encoder.block{n}.{b}.norm1.weight",
        "reduction": "encoder.block{n}.0.attn.sr.weight",
        "expand": "encoder.block{n}.0.mlp.fc1.weight",
        "head": "last_layer_depth.0.weight",
    },
}
"""The tensors whose shapes tell the network's; {s} is a stage counted from 0, {n} one counted from 1, {b} a block."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """A foreign checkpoint, understood: everything is checked, nothing is written.

    config:  the config.json that will be written
    sources: name in our file -> (name in the source, part, parts): a piece of the source's first axis
    dropped: tensors of the source that no network needs
    notes:   sentences: what was assumed, and what is worth knowing
    """

    source: Path
    layout: Layout
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    sources: Mapping[str, tuple[str, int, int]]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]

    def encode(self) -> EncodedFolder:
        """The folder that will be written. Raises ModelError on weights that are damaged."""
        tensors = Weights(self.source).read()
        state = {name: _piece(tensors[source], part, parts) for name, (source, part, parts) in self.sources.items()}
        return EncodedFolder.of(config=self.config, state=state, preprocessor=self.preprocessor)

    @classmethod
    def plan(
        cls,
        source: str,
        *,
        announce: Callable[[str], None],
        layout: Layout | None = None,
        config_file: Path | None = None,
        max_depth: float | None = None,
        offline: bool = False,
    ) -> Conversion:
        """Understand `source`, a folder, a weights file or a model's name, without reading a tensor. No torch.

        announce:    is told, in one line, what is about to be downloaded
        layout:      whose names it has; None = told from the names
        config_file: a config.json to go by; None = the one beside the weights, else what the shapes tell
        max_depth:   depth at the head's full scale, metres; needed where no config says it

        Raises ModelError naming the first tensors that are missing, unexpected or mis-shaped, UsageError where the
        source does not say something that must be given.
        """
        weights, known = _locate(source, needs_config=config_file is None, offline=offline, announce=announce)
        if known is not None and config_file is None:
            read_config(known.config).require_own_network("converting")
        shapes = {name: info.shape for name, info in Weights(weights).header().items()}
        layout = layout or _layout_of(shapes, weights)
        notes: list[str] = []
        if config_file is not None:
            raw = _with_eps_mode(read_json_object(config_file), layout)
        elif known is not None:
            model = ResolvedModel.of(source, known, max_depth=max_depth)
            raw = _with_eps_mode(model.config, layout)
            if model.row is not None:
                notes = [f"these are the weights of {model.row.name}: {model.limit_source}"]
        else:
            raw, notes = _infer_config(shapes, layout, weights)
            if max_depth is None:
                raise UsageError(
                    f"{str(weights)!r} does not say how far its depth goes",
                    hint="Give --max-depth: 10 for weights trained on NYU, 80 for KITTI.",
                )
        config = read_config(raw)
        if max_depth is not None:
            config = config.with_limit(max_depth)
        sources, dropped = _match_tensors(config.weight_rows(), shapes, layout, repr(str(weights)))
        if dropped:
            notes = [*notes, f"left out, because no depth network needs it: {', '.join(dropped)}"]
        preprocessor = known.preprocessor if known is not None and known.preprocessor else None
        preprocessor = preprocessor or config.preprocessor()
        written = _config_object(config, raw, known)
        return cls(weights, layout, written, preprocessor, sources, dropped, tuple(notes))


def _with_eps_mode(raw: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """The author's weights belong to the author's epsilons, unless their config says otherwise."""
    own = raw.get(OWN_KEY, {})
    if layout is not Layout.AUTHOR or not isinstance(own, Mapping):
        return raw
    return {**raw, OWN_KEY: {"layer_norm_eps_mode": "author", **own}}


def _infer_config(shapes: _Shapes, layout: Layout, weights: Path) -> tuple[dict[str, Any], list[str]]:
    """(a config.json's object, what was assumed), from the shapes of a GLPN's tensors.

    Raises ModelError where they do not tell, and asks for a config.
    """

    def find(part: str, stage: int = 0, block: int = 0) -> tuple[int, ...] | None:
        return shapes.get(_NAMES[layout][part].format(s=stage, n=stage + 1, b=block))

    patches: list[tuple[int, ...]] = []
    while len(patches) < len(_PUBLISHED_STRIDES) and (patch := find("patch", len(patches))) is not None:
        patches.append(patch)
    stages = range(len(patches))
    expands = [find("expand", stage) for stage in stages]
    head = find("head")
    widths = [patch[0] for patch in patches]
    is_plain = len(patches) == len(_PUBLISHED_STRIDES) and all(len(patch) == 4 for patch in patches)
    if not is_plain or not head or not all(widths) or any(not expand for expand in expands):
        raise ModelError(
            f"the tensors of {str(weights)!r} do not tell which network they are of",
            hint=f"Give its config with --config {CONFIG_FILE}, or name the layout with --from.",
        )
    if any(width % heads for width, heads in zip(widths, _PUBLISHED_HEADS, strict=True)):
        raise ModelError(
            f"widths {', '.join(map(str, widths))} do not divide into the published {_listed(_PUBLISHED_HEADS)} heads",
            hint=f"The weights do not tell how many heads there are; give --config {CONFIG_FILE}.",
        )
    depths = []
    for stage in stages:
        block = 0
        while find("block", stage, block) is not None:
            block += 1
        depths.append(block)
    reductions = [find("reduction", stage) for stage in stages]
    is_author = layout is Layout.AUTHOR
    raw = {
        "model_type": "glpn",
        "architectures": ["GLPNForDepthEstimation"],
        "num_channels": patches[0][1],
        "num_encoder_blocks": len(patches),
        "depths": depths,
        "hidden_sizes": widths,
        "patch_sizes": [patch[-1] for patch in patches],
        "strides": list(_PUBLISHED_STRIDES),
        "sr_ratios": [reduction[-1] if reduction else 1 for reduction in reductions],
        "num_attention_heads": list(_PUBLISHED_HEADS),
        "mlp_ratios": [expand[0] // width for expand, width in zip(expands, widths, strict=True) if expand],
        "decoder_hidden_size": head[0],
        OWN_KEY: {"layer_norm_eps_mode": "author" if is_author else "transformers"},
    }
    eps = "1e-6 in block and stage norms, 1e-5 elsewhere, as the author's code has it" if is_author else "1e-5"
    return raw, [
        f"read off the weights: depths {_listed(depths)}; widths {_listed(widths)}",
        f"assumed, as published: {_listed(_PUBLISHED_HEADS)} heads; strides {_listed(_PUBLISHED_STRIDES)}; gelu",
        f"layer norms use an epsilon of {eps}",
    ]


def _match_tensors(
    rows: Iterable[WeightRow], shapes: _Shapes, layout: Layout, where: str
) -> tuple[dict[str, tuple[str, int, int]], tuple[str, ...]]:
    """(name in our file -> (name in the source, part, parts), what is left out).

    Raises ModelError naming the first tensors that are missing, unexpected or mis-shaped, by their names in the source.
    """
    rows = list(rows)
    foreign = [_as_in_source(row, layout) for row in rows]
    dropped = tuple(name for name in shapes if layout is Layout.AUTHOR and name.startswith(_LEFTOVERS))
    fit = StateDictMatch.of(foreign, {name: shape for name, shape in shapes.items() if name not in dropped})
    if not fit.is_exact:
        raise ModelError(
            f"{where} is not the network that its config or its shapes describe: {fit.describe()}",
            hint="Nothing was written. Is it another kind of network, or another config's?",
        )
    sources = {}
    for row in rows:
        if row.name in fit.sources:
            part, parts = (row.author_slice if layout is Layout.AUTHOR else None) or (0, 1)
            sources[row.transformers] = (fit.sources[row.name], part, parts)
    return sources, dropped


def _locate(
    source: str, *, needs_config: bool, offline: bool, announce: Callable[[str], None]
) -> tuple[Path, Checkpoint | None]:
    """(the weights, the checkpoint where there is a config beside them). A path comes before a model's name.

    A config that is not needed, because there is another to go by, may be broken.
    """
    path = Path(source)
    if path.is_dir():
        weights = find_weights(path)
        if weights is None:
            raise ModelError(f"folder {source!r} has no weights to convert", code=ErrorCode.NOT_FOUND)
    elif path.is_file():
        weights = path
    else:
        checkpoint = resolve_model(source, offline=offline, announce=announce).checkpoint
        return checkpoint.weights, checkpoint
    if not (weights.parent / CONFIG_FILE).is_file():
        return weights, None
    try:
        return weights, replace(Checkpoint.open(weights), name=source)
    except ModelError:
        if needs_config:
            raise
        return weights, None


def _layout_of(shapes: _Shapes, weights: Path) -> Layout:
    """Whose names these are."""
    if any(re.match(r"encoder\.(patch_embed\d|block\d)", name) for name in shapes):
        return Layout.AUTHOR
    if any(name.startswith(("glpn.encoder.", "dpt.encoder.", "backbone.encoder.", "encoder.stem.")) for name in shapes):
        return Layout.TRANSFORMERS
    raise ModelError(
        f"{str(weights)!r} is of no known layout (its tensors are called {first_of(shapes)})",
        hint=f"Known are {' and '.join(Layout)}.",
    )


def _as_in_source(row: WeightRow, layout: Layout) -> WeightRow:
    """The same tensor with its name and shape in the source."""
    if layout is Layout.TRANSFORMERS:
        return row
    if row.author is None:
        raise ModelError(f"the author's layout has no tensor {row.transformers}")
    _, parts = row.author_slice or (0, 1)
    shape = (row.shape[0] * parts, *row.shape[1:]) if row.shape else row.shape
    return replace(row, transformers=row.author, shape=shape)


def _piece(tensor: Tensor, part: int, parts: int) -> Tensor:
    return tensor if parts == 1 else tensor.chunk(parts, dim=0)[part].contiguous()


def _config_object(config: Any, raw: Mapping[str, Any], known: Checkpoint | None) -> dict[str, Any]:
    """The config.json to write: the family's own form, with where the weights come from."""
    written: dict[str, Any] = config.to_dict()
    written["architectures"] = raw.get("architectures") or [
        f"{type(config).__name__.removesuffix('Config')}ForDepthEstimation"
    ]
    if known is not None and known.source is not None:
        origin = {"source": known.source} | ({"revision": known.revision} if known.revision else {})
        written[OWN_KEY] = {**written.get(OWN_KEY, {}), **origin}
    return written


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
