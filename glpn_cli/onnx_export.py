"""Models as ONNX files, for programs without Python, and the check that they answer as torch does.

The graph takes any number of pictures of any size that is a multiple of the model's steps. Metadata say what goes in
and what comes out. Exporting and checking need the packages of the extra `onnx`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.depth_files.record import PREFIX, SOFTWARE, number_text
from glpn_cli.errors import ErrorCode, ModelError, UsageError
from glpn_cli.models.config_base import ModelConfig, read_config
from glpn_cli.models.resolve import ResolvedModel
from glpn_cli.models.state_dict import load_network
from glpn_cli.text import words_text

if TYPE_CHECKING:
    from torch import Tensor, nn

_OPSET = 18
TOLERANCE = 1e-4
"""The largest difference from torch's answers that is allowed, as a share of their range."""

_PIXELS, _IMAGE = "pixel_values", "image"
_MOST_STEPS = 1024
_INSTALL = "pip install 'glpn-cli[onnx]'"
_REPORT = "Nothing was written. Please report this model."


def export_onnx(model: ResolvedModel, *, with_preprocessing: bool = False) -> bytes:
    """An ONNX file of a model, opset 18, fp32.

    with_preprocessing: whether it takes `image`, uint8 (B, H, W, 3) RGB, and normalises that itself; else it takes
                        `pixel_values`, float32 (B, 3, H, W), as the metadata say. Resizing is the caller's.

    It answers `predicted_depth`, float32 (B, H, W), or `logits`, float32 (B, labels, H, W).
    Raises UsageError where the extra is missing, ModelError for a model that is damaged.
    """
    _need("onnx", "onnxscript")
    import torch
    from torch.export import Dim

    config = read_config(model.config)
    config.require_own_network("an ONNX file")
    config.require_rgb()
    offset, scale = read_normalisation(config)
    network: nn.Module = load_network(model.checkpoint, limit_m=model.limit_m)
    height, width = (2 * step * 3 for step in config.steps)
    example = torch.rand(2, 3, height, width)
    batch, rows, columns = Dim("batch", min=1, max=256), *(Dim(name, min=1, max=_MOST_STEPS) for name in ("h", "w"))
    sizes = {0: batch, 2: config.steps[0] * rows, 3: config.steps[1] * columns}
    if with_preprocessing:
        network = _Normalised(network, offset, scale)
        example = (255 * example).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        sizes = {0: batch, 1: sizes[2], 2: sizes[3]}
    # With gradients on: without them the networks save memory by steps that a graph of any size cannot hold.
    with _quiet(), torch.enable_grad():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            dynamic_shapes=(sizes,),
            input_names=[_IMAGE if with_preprocessing else _PIXELS],
            output_names=["logits" if config.kind is None else "predicted_depth"],
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    (entry,) = graph.graph.input
    if sum(side.HasField("dim_value") for side in entry.type.tensor_type.shape.dim) > 1:  # only the channels are fixed
        raise ModelError(
            f"this network takes one size only in ONNX: {_describe_entry(entry)}", code=ErrorCode.UNSUPPORTED
        )
    _forget_origin(graph)
    del graph.metadata_props[:]
    for key, value in _describe(model, config, with_preprocessing, offset, scale).items():
        graph.metadata_props.add(key=key, value=value)
    graph.producer_name, graph.producer_version = SOFTWARE.split(" ")
    file: bytes = graph.SerializeToString(deterministic=True)
    return file


def verify_onnx(data: bytes, model: ResolvedModel) -> float:
    """The largest difference between the answers of ONNX Runtime and of torch, as a share of torch's range.

    The sizes and batches are ones that the export did not see. Raises ModelError where it is more than `TOLERANCE`.
    """
    _need("onnxruntime")
    import onnxruntime
    import torch

    config = read_config(model.config)
    network = load_network(model.checkpoint, limit_m=model.limit_m)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4  # its errors are raised, too
    with _told("open this file"):
        session = onnxruntime.InferenceSession(data, quiet, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    offset, scale = read_normalisation(config)
    rng = np.random.default_rng(0)
    worst = 0.0
    for count, (height, width) in _unseen_sizes(config):
        image = _make_pictures(rng, count, height, width)
        pixels = (image * scale + offset).transpose(0, 3, 1, 2).astype(np.float32)
        with _told(f"compute {count} of {width}x{height}"):
            (answer,) = session.run(None, {entry.name: image if entry.name == _IMAGE else pixels})
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels)).numpy()
        if answer.shape != expected.shape:
            raise ModelError(f"for {count} of {width}x{height} ONNX answers {answer.shape}, torch {expected.shape}")
        spread = float(np.ptp(expected)) or 1.0
        worst = max(worst, float(np.abs(answer - expected).max()) / spread)
        if not worst <= TOLERANCE:
            raise ModelError(
                f"for {count} of {width}x{height} ONNX answers up to {worst:.2g} of the range apart from torch",
                hint=_REPORT,
            )
    return worst


@contextmanager
def _told(task: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises inside into a ModelError."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0][:300]
        raise ModelError(f"ONNX Runtime cannot {task}: {reason}", hint=_REPORT) from error


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """What one of our ONNX files says about itself, and its inputs and outputs. Raises UsageError, ModelError."""
    _need("onnx")
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ModelError(f"{str(path)!r} is no ONNX file, or damaged: {error}") from error
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    for what, entries in (("input", graph.graph.input), ("output", graph.graph.output)):
        facts[what] = ", ".join(_describe_entry(entry) for entry in entries)
    facts["opset"] = ", ".join(str(each.version) for each in graph.opset_import if not each.domain)
    return facts


def read_normalisation(config: ModelConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(offset, scale), float32 (3,): the network takes offset + scale x levels, and levels are 0 to 255, RGB."""
    size = config.steps
    black, white = (
        config.prepare(np.full((*size, 3), level, np.uint8), size)[0, :, 0, 0].numpy().astype(np.float64)
        for level in (0, 255)
    )
    return black.astype(np.float32), ((white - black) / 255).astype(np.float32)


def _Normalised(network: nn.Module, offset: NDArray[np.float32], scale: NDArray[np.float32]) -> nn.Module:  # noqa: N802
    """A network of levels: uint8 (B, H, W, 3) in. A class in a function, since torch is imported late."""
    import torch
    from torch import nn

    class Normalised(nn.Module):
        offset: Tensor
        scale: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("offset", torch.from_numpy(offset))
            self.register_buffer("scale", torch.from_numpy(scale))

        def forward(self, image: Tensor) -> Any:
            return self.network((image.float() * self.scale + self.offset).permute(0, 3, 1, 2))

    return Normalised()


def _describe(
    model: ResolvedModel,
    config: ModelConfig,
    with_preprocessing: bool,
    offset: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> Mapping[str, str]:
    rows, columns = config.steps
    limit_m = model.limit_m
    takes = "uint8 (batch, height, width, 3), RGB"
    if not with_preprocessing:
        takes = "float32 (batch, 3, height, width), RGB: offset + scale x levels, levels from 0 to 255"
    height, width = config.training_size
    gives = "labels by the largest logit" if config.kind is None else f"{config.kind.value} depth"
    back = "Bring it back to the picture's size bicubically"
    back += f", and clamp it to {limit_m / 10_000:g}..{limit_m:g} m." if limit_m is not None else "."
    facts = {
        "Software": SOFTWARE,
        f"{PREFIX}model": words_text(model.name),
        f"{PREFIX}weights_sha256": model.checkpoint.sha256(),
        f"{PREFIX}kind": "labels" if config.kind is None else config.kind.value,
        f"{PREFIX}unit": "m" if config.kind is not None and config.kind.is_metric else None,
        f"{PREFIX}limit_m": None if limit_m is None else number_text(limit_m),
        f"{PREFIX}license": model.row.license if model.row is not None else None,
        f"{PREFIX}input": takes,
        f"{PREFIX}offset": None if with_preprocessing else " ".join(map(repr, offset.tolist())),
        f"{PREFIX}scale": None if with_preprocessing else " ".join(map(repr, scale.tolist())),
        f"{PREFIX}steps": f"{columns}x{rows}",
        f"{PREFIX}recipe": (
            f"Resize the picture to a width that is a multiple of {columns} and a height that is a multiple of {rows}, "
            f"near {width}x{height} in area. The network gives {gives}. {back}"
        ),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _unseen_sizes(config: ModelConfig) -> Iterator[tuple[int, tuple[int, int]]]:
    """(how many pictures, (h, w)): the training size, a batch of small ones, wide, and as small as can be."""
    rows, columns = config.steps
    yield 1, config.scaled(config.training_size, 1.0)
    yield 3, (4 * rows, 5 * columns)
    yield 2, (2 * rows, 9 * columns)
    yield 1, (rows, columns)


def _make_pictures(rng: np.random.Generator, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Coarse noise, uint8 (B, H, W, 3)."""
    coarse = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width])


def _forget_origin(graph: Any) -> None:
    """Remove where every node comes from: paths of this machine do not belong in a file, and change its bytes."""
    pieces = [graph.graph, *graph.functions]
    for piece in pieces:
        for entry in (piece, *piece.node, *getattr(piece, "initializer", ()), *piece.value_info):
            del entry.metadata_props[:]
            entry.doc_string = ""
    for entry in (*graph.graph.input, *graph.graph.output):
        del entry.metadata_props[:]


def _describe_entry(entry: Any) -> str:
    sides = (dim.dim_param or str(dim.dim_value) for dim in entry.type.tensor_type.shape.dim)
    return f"{entry.name} ({', '.join(sides)})"


def _need(*packages: str) -> None:
    """Raise UsageError where packages of the extra are missing."""
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise UsageError(
                f"ONNX needs {package}, which is not installed", hint=f"{_INSTALL}.", code=ErrorCode.UNSUPPORTED
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of its progress."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
