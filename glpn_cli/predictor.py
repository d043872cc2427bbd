"""A model in memory: open it once, ask it about one picture or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glpn_cli.devices import choose_device, choose_precision
from glpn_cli.errors import ErrorCode, InputError, ModelError, StoppedError, UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import Picture, from_pillow, read_rgb
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.registry import DEFAULT_MODEL
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import load_network
from glpn_cli.models.upsampling import Upsampling, parse_upsampling, upsample_guided, upsample_nearest
from glpn_cli.prediction import DepthMap, LabelMap, Prediction, Provenance

PictureLike = str | PathLike[str] | Image.Image | NDArray[np.uint8]

_BEYOND = 1.01
"""How much more than its limit a network may answer, by rounding."""

_SPREAD_SIZES = (0.75, 1.0, 1.25)
_TEST_TIME = ("none", "flip")
# The last is all that oneDNN says where it gets no memory.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "could not create a primitive",
)
_LOST_DEVICE = ("CUDA error", "CUDA driver", "device-side assert")


class DepthEstimator:
    """Depth from pictures, by one model with one set of settings.

        DepthEstimator.from_pretrained("mini").predict("photo.jpg").values  # float32 (H, W), metres

    recipe:  the model and its settings
    device:  auto, cpu, mps, cuda, cuda:N
    threads: of torch on the CPU, for the whole process; None leaves them as they are
    """

    def __init__(self, recipe: InferenceSettings, *, device: str = "auto", threads: int | None = None) -> None:
        recipe.check_lens()
        self.recipe = recipe
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.precision, self.device)
        if threads is not None:
            if threads < 1:
                raise UsageError(f"{threads} threads compute nothing", hint="Give 1 or more, or None for torch's own.")
            torch.set_num_threads(threads)
        try:
            with _own_errors():
                network = load_network(recipe.model.checkpoint, limit_m=recipe.limit_m)
                self._network = recipe.config.cast(network.to(self.device), self.precision)
            _ = recipe.weights_sha256  # of the weights just read: later their file may be another
        except InputError as error:
            hint = "Choose a smaller model, such as mini, or another --device."
            raise StoppedError("there is not enough memory for the model", hint=hint, code=error.code) from error

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str] = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: str = "auto",
        max_depth: float | None = None,
        input_size: str | int = "auto",
        tta: str = "none",
        upsample: str = "bicubic",
        focal: str | None = None,
        offline: bool = False,
        threads: int | None = None,
    ) -> Self:
        """Open a model by name: mini, nyu, kitti, a folder, a file, or OWNER/NAME of the hub.

        precision:  auto, fp32, bf16, fp16
        max_depth:  depth at the network's full scale, metres, instead of the model's own
        input_size: what the network sees: auto, original, the longest side, or WIDTHxHEIGHT
        tta:        none, or flip
        upsample:   bicubic as published, nearest, or guided by the picture: clean silhouettes
        focal:      bring metres to the lens of each picture: auto (by its EXIF), 518px, 28mm, 65deg or fx,fy,cx,cy;
                    None leaves them as of the lens that the network learned through

        Raises ModelError where the model is missing, damaged or not what it says, UsageError for settings that make
        no sense.
        """
        way, size = parse_upsampling(upsample), InputSize.parse(str(input_size))
        if tta not in _TEST_TIME:
            raise UsageError(f"there is no tta {tta!r}", hint=f"Choose from {', '.join(_TEST_TIME)}.")
        model = resolve_model(str(name), max_depth=max_depth, offline=offline)
        lens = None if focal is None else FocalChoice(focal)
        recipe = InferenceSettings(model, input_size=size, precision=precision, tta=tta, upsample=way, lens=lens)
        return cls(recipe, device=device, threads=threads)

    def predict(self, picture: PictureLike) -> DepthMap:
        """How far away every pixel of a picture is, at the picture's own size.

        picture: a path, a PIL image, or uint8 (H, W, 3). Transparent pixels are not valid in the answer.

        Raises InputError where the picture cannot be read, or does not fit into memory, and where its lens is asked for
        and not known; UsageError for what is no picture at all.
        """
        return self.predict_pictures([self._as_picture(picture)])[0]

    def predict_pictures(self, pictures: Sequence[Picture]) -> list[DepthMap]:
        """The same for pictures that are decoded already; those of one network size go through together.

        Raises ModelError for a model that predicts labels.
        """
        _ = self.recipe.kind
        return [depth for depth in self.infer(pictures) if isinstance(depth, DepthMap)]

    def label(self, picture: PictureLike) -> LabelMap:
        """What every pixel of a picture is, at the picture's own size, by a model that answers labels.

        picture: as for `predict`; transparent pixels have no label. Raises ModelError for a model that answers depth.
        """
        return self.label_pictures([self._as_picture(picture)])[0]

    def label_pictures(self, pictures: Sequence[Picture]) -> list[LabelMap]:
        """The same for pictures that are decoded already; their transparent pixels are not valid in the answer."""
        if not self.recipe.predicts_labels:
            raise ModelError(f"model {self.recipe.model.name!r} predicts depth, not labels")
        return [labels for labels in self.infer(pictures) if isinstance(labels, LabelMap)]

    def infer(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """The network's prediction for each picture, at its own size; those of one network size go through together."""
        config = self.recipe.config
        factors = [self.recipe.picture_factor(picture.full_size, picture.focal_35mm) for picture in pictures]
        sizes = [self.network_size(picture) for picture in pictures]
        predictions: dict[int, Prediction] = {}
        for size in dict.fromkeys(sizes):
            group = [index for index, own in enumerate(sizes) if own == size]
            with torch.inference_mode(), _own_errors():
                prepared = [config.prepare(pictures[index].rgb, size) for index in group]
                pixels = torch.cat(prepared).to(self.device)
                raw: Tensor = self._network(pixels)
                if self.recipe.tta == "flip":
                    raw = (raw + self._network(pixels.flip(-1)).flip(-1)) / 2
            for index, own in zip(group, raw, strict=True):
                predictions[index] = _finish(self._decode(own, pictures[index]), pictures[index], factors[index])
        return [predictions[index] for index in range(len(pictures))]

    def _as_picture(self, given: PictureLike) -> Picture:
        if isinstance(given, str | PathLike):
            return read_rgb(Path(given), at_least=self.recipe.enough_pixels)
        if isinstance(given, Image.Image):
            return from_pillow(given)
        if not isinstance(given, np.ndarray):
            raise UsageError(
                f"a picture is a path, a PIL image or an array uint8 (H, W, 3), not {type(given).__name__}"
            )
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
            raise UsageError(f"a picture as an array is uint8 (H, W, 3), not {given.dtype} {given.shape}")
        return Picture(given, given.shape[:2])

    def predict_std(self, picture: Picture) -> NDArray[np.float32]:
        """How far the network's answers lie apart: float32 (H, W), standard deviation in the map's own unit.

        The answers are for the picture and its mirror image, each at three quarters, all, and five quarters of the
        size that the network sees. Where they disagree, none of them is to be trusted.
        """
        mean, squares = np.zeros((2, *picture.full_size), np.float32)
        for count, values in enumerate(self._answers_about(picture), start=1):
            step = values - mean  # Welford's way, which holds no answer longer than it takes to count it
            mean += step / count
            squares += step * (values - mean)
        factor = self.recipe.picture_factor(picture.full_size, picture.focal_35mm)
        std: NDArray[np.float32] = np.sqrt(squares / count) * np.float32(factor)
        return std

    def _answers_about(self, picture: Picture) -> Iterator[NDArray[np.float32]]:
        """Depths float32 (H, W) for a picture and its mirror image at several sizes."""
        config = self.recipe.config
        own = self.network_size(picture)
        for share in _SPREAD_SIZES:
            asked = InputSize("longest", longest_side=round(share * max(own)))
            size = own if share == 1 else config.network_size(picture.full_size, asked)
            with torch.inference_mode(), _own_errors():
                pixels = config.prepare(picture.rgb, size).to(self.device)
                raws = (self._network(pixels)[0], self._network(pixels.flip(-1)).flip(-1)[0])
            for raw in raws:
                answer = self._decode(raw, picture)
                assert isinstance(answer, DepthMap)
                yield answer.values

    def network_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) that the network sees of a picture. Raises UsageError for a size it cannot take."""
        return self.recipe.network_size(picture.full_size)

    def provenance(self, picture: Picture) -> Provenance:
        """How this picture's answer is made, complete."""
        content = picture.content
        return replace(
            self.recipe.provenance_of(picture.full_size, picture.focal_35mm),
            network_size=self.network_size(picture),
            precision=self.precision,
            device=self.device,
            source_bytes=content.size if content else None,
            source_blake2b=content.blake2b if content else None,
        )

    def _decode(self, raw: Tensor, picture: Picture) -> Prediction:
        """The answer at the picture's own size; raises InputError where the network answered with nonsense."""
        try:
            with torch.inference_mode(), _own_errors():
                answer = self.recipe.config.decode(raw, picture.full_size)
                _check_sane(answer, picture)
                if self.recipe.upsample is Upsampling.BICUBIC or not isinstance(answer, DepthMap):
                    return answer
                height, width = raw.shape[-2:]
                small = self.recipe.config.decode(raw, (height, width))
                assert isinstance(small, DepthMap)
                if self.recipe.upsample is Upsampling.NEAREST:
                    return upsample_nearest(small, picture.full_size)
                return upsample_guided(small, answer, picture.rgb)
        except ValueError as error:
            raise InputError(
                f"the network's answer is no {'label' if self.recipe.predicts_labels else 'depth'} map: {error}",
                hint="Try --precision fp32, and check the weights with glpn inspect.",
                code=ErrorCode.DATA,
            ) from error


def _check_sane(answer: Prediction, picture: Picture) -> None:
    """Believe no answer of another size than the picture, nor metres beyond what the network can express (ValueError).

    That its depths are finite and above 0 a `DepthMap` makes sure of itself.
    """
    if answer.size != picture.full_size:
        raise ValueError(f"it has {answer.size[1]}x{answer.size[0]} pixels, the picture {_size_text(picture)}")
    if isinstance(answer, DepthMap) and answer.limit is not None:
        min_max = answer.min_max()
        if min_max is not None and min_max[1] > _BEYOND * answer.limit:
            raise ValueError(f"it reaches to {min_max[1]:g} m, the network only to {answer.limit:g} m")


def _size_text(picture: Picture) -> str:
    height, width = picture.full_size
    return f"{width}x{height}"


def _finish(made: Prediction, picture: Picture, factor: float) -> Prediction:
    """A prediction with holes where the picture has them, and depths so many times as far."""
    if isinstance(made, DepthMap) and factor != 1:
        limit = None if made.limit is None else made.limit * factor
        made = replace(made, values=made.values * np.float32(factor), limit=limit)
    if picture.valid is None:
        return made
    return replace(made, valid=picture.valid if made.valid is None else made.valid & picture.valid)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Memory that is not there is one picture's error; a device that is gone stops everything."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in _NO_MEMORY):
            raise InputError(
                "there is not enough memory to run the network on it",
                hint="Try a smaller --input-size, such as auto or 640.",
                code=ErrorCode.OUT_OF_MEMORY,
            ) from error
        if any(words in said for words in _LOST_DEVICE):
            raise StoppedError(f"the device failed: {said.splitlines()[0]}", code=ErrorCode.DEVICE) from error
        raise
