"""A model in memory: open it once, ask it about one picture or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from glpn_cli.devices import choose_device, choose_precision
from glpn_cli.errors import ErrorCode, GlpnError, InputError, ModelError, StoppedError, UsageError
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import Picture
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.image_processor import LOWEST_SHARE
from glpn_cli.models.registry import DEFAULT_MODEL
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings, Upsampling
from glpn_cli.models.state_dict import load_network
from glpn_cli.prediction import DepthMap, LabelMap, PredictedDepth, Prediction, Provenance
from glpn_cli.text import size_text

if TYPE_CHECKING:
    from glpn_cli.images.given import Channels, PictureLike

_BEYOND = 1.01
"""A depth may exceed the limit by this factor, through rounding."""

_MOST_BEYOND = 0.1
"""How far pixels may lie beyond 0..1: resampling overshoots so much."""

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

        DepthEstimator.from_pretrained("lite").predict("photo.jpg").values  # float32 (H, W), metres

    recipe:  the model and its settings
    device:  auto, cpu, mps, cuda, cuda:N
    threads: of torch on the CPU, for the whole process; None leaves them as they are

    Threads may share one. It is pickled as its settings, without weights, and opened again where it arrives.
    """

    def __init__(self, recipe: InferenceSettings, *, device: str = "auto", threads: int | None = None) -> None:
        recipe.check()
        self.recipe = recipe
        self._asked: dict[str, Any] = {"device": device, "threads": threads}
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.precision_wanted, self.device)
        if threads is not None:
            if threads < 1:
                raise UsageError(f"{threads} threads compute nothing", hint="Give 1 or more, or None for torch's own.")
            torch.set_num_threads(threads)
        try:
            with _own_errors():
                network = load_network(recipe.model.checkpoint, limit_m=recipe.limit_m)
                self._network = recipe.config.cast(network.to(self.device), self.precision)
            self._run = partial(_run_both_ways, self._network) if recipe.tta == "flip" else self._network
            _ = recipe.weights_sha256  # of the weights just read: later their file may be another
        except InputError as error:
            hint = "Choose a smaller model, such as lite, or another --device."
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
        """Open a model by name: lite, nyu, kitti, a folder, a file, or OWNER/NAME of the hub.

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
        way, size = Upsampling.parse(upsample), InputSize.parse(str(input_size))
        if tta not in _TEST_TIME:
            raise UsageError(f"there is no tta {tta!r}", hint=f"Choose from {', '.join(_TEST_TIME)}.")
        model = resolve_model(str(name), max_depth=max_depth, offline=offline)
        lens = None if focal is None else FocalChoice(focal)
        recipe = InferenceSettings(model, input_size=size, precision=precision, tta=tta, upsample=way, lens=lens)
        return cls(recipe, device=device, threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings alone: the model is opened again, from the same files, where they arrive."""
        return partial(type(self), **self._asked), (self.recipe,)

    def to(self, device: str | torch.device) -> Self:
        """Move to another device, in place, and return itself; the precision is chosen anew. Raises UsageError."""
        type(self).__init__(self, self.recipe, device=str(device), threads=None)
        return self

    def __call__(
        self,
        picture: PictureLike,
        *,
        channels: Channels = "rgb",
        value_range: tuple[float, float] | None = None,
    ) -> PredictedDepth:
        """The same as `predict`."""
        return self.predict(picture, channels=channels, value_range=value_range)

    def predict(
        self,
        picture: PictureLike,
        *,
        channels: Channels = "rgb",
        value_range: tuple[float, float] | None = None,
    ) -> PredictedDepth:
        """How far away every pixel of a picture is, at the picture's own size.

        picture:     a path; the bytes of a file, or a file opened with "rb"; a PIL image; an array (H, W) of greys,
                     (H, W, 3) or (H, W, 4), uint8, uint16 or, with `value_range`, of any numbers; a tensor (C, H, W)
                     likewise. Transparent pixels, and floats that are no numbers, are not valid in the answer.
        channels:    the order of colours in an array or a tensor: "rgb", or "bgr" as OpenCV has it
        value_range: (black, white) of an array or a tensor: (0, 1), (0, 255), (0, 4095)

        Raises InputError where the picture cannot be read, is a file that was made of depth here, or does not fit into
        memory, and where its lens is asked for and not known; UsageError for what is no picture at all; ModelError for
        a model that predicts labels.
        """
        from glpn_cli.images.given import GivenSource
        from glpn_cli.pipeline.settings import ModelSettings, OutputSettings
        from glpn_cli.pipeline.stages import Stages

        _ = self.recipe.kind
        source = GivenSource(picture, channels=channels, value_range=value_range)
        stages = Stages(ModelSettings(self.recipe, self.device), OutputSettings(), estimator=self)
        return PredictedDepth.of(stages.predict(source))

    def predict_many(
        self,
        pictures: Iterable[PictureLike],
        *,
        batch_size: int | Literal["auto"] = "auto",
        workers: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
        channels: Channels = "rgb",
        value_range: tuple[float, float] | None = None,
    ) -> Iterator[PredictedDepth | GlpnError]:
        """A depth map for each of many pictures, in their order, as soon as it is there.

        Pictures are decoded beside the network, and only so many ahead that memory does not grow with their number.

        pictures:    any iterable of what `predict` takes; it is read in another thread
        batch_size:  pictures that go through the network together; auto: 1 on a CPU, by its memory on a GPU
        workers:     threads that decode; None: by the number of cores
        on_error:    "raise" ends at the first picture that cannot be used; "return" gives its error in its place
        channels, value_range: as for `predict`, of all

        Raises UsageError for settings that make no sense, and whatever the iterable itself raises.
        """
        from glpn_cli.images.given import GivenSource
        from glpn_cli.pipeline.many import predict_many

        made = (GivenSource(picture, channels=channels, value_range=value_range) for picture in pictures)
        return predict_many(self, made, batch_size=batch_size, workers=workers, on_error=on_error)

    def predict_tensor(self, pixels: Tensor) -> Tensor:
        """Depth for a batch that is on the model's device already, without leaving it, and without gradients.

        pixels: float (B, 3, H, W), RGB in 0..1. Returns float32 (B, H, W), in the unit of the model.

        What the network sees is resized from these floats, and not from 8 bits: where that changes the size, depths
        differ from those of `predict` by some thousandths. Raises UsageError for another shape, range or device, for a
        model that another library runs, and for another `upsample` than bicubic; InputError where it does not fit into
        memory, and for `focal="auto"`, since tensors tell no lens.
        """
        _ = self.recipe.kind
        if (library := self.recipe.config.runs_through) is not None:
            raise UsageError(
                f"model {self.recipe.model.name!r} takes no tensors: {library} makes its pixels of pictures",
                hint="Use predict, or predict_many.",
            )
        if self.recipe.upsample is not Upsampling.BICUBIC:
            raise UsageError(
                f"tensors are not scaled to their size by upsample={self.recipe.upsample.value!r}",
                hint="Use predict, or predict_many.",
            )
        _check_pixels(pixels, torch.device(self.device))
        config, full = self.recipe.config, (pixels.shape[2], pixels.shape[3])
        factor = self.recipe.picture_factor(full, None)
        size = self.recipe.network_size(full)
        # The processors of all families are a resize, then a factor and an offset for each channel.
        black, white = (config.prepare(np.full((*size, 3), level, np.uint8), size)[0, :, :1, :1] for level in (0, 255))
        black, white = black.to(pixels.device), white.to(pixels.device)
        with torch.no_grad(), _own_errors():
            small = pixels.float()
            if size != full:
                small = F.interpolate(small, size=size, mode="bilinear", antialias=True)
            seen = black + small * (white - black)
            raw: Tensor = self._run(seen)
            depth = F.interpolate(raw[:, None].float(), size=full, mode="bicubic", align_corners=False)[:, 0]
        limit = self.recipe.limit_m
        largest = depth.amax((1, 2), keepdim=True) if limit is None else depth.new_tensor(limit)
        return depth.clamp(min=LOWEST_SHARE * largest, max=largest) * factor

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
        from glpn_cli.images.given import GivenSource

        return self.label_pictures([GivenSource(picture).read(at_least=self.recipe.enough_pixels)])[0]

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
                raw = self._run(torch.cat(prepared).to(self.device))
            for index, own in zip(group, raw, strict=True):
                predictions[index] = _finish(self._decode(own, pictures[index]), pictures[index], factors[index])
        return [predictions[index] for index in range(len(pictures))]

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

    def provenance(self, picture: Picture, *, batch_size: int = 1) -> Provenance:
        """How this picture's answer is made, in a batch of `batch_size`."""
        content = picture.content
        return replace(
            self.recipe.provenance_of(picture.full_size, picture.focal_35mm),
            network_size=self.network_size(picture),
            precision=self.precision,
            device=self.device,
            batch_size=batch_size,
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
                from glpn_cli.models.upsampling import upsample_guided, upsample_nearest

                if self.recipe.upsample is Upsampling.NEAREST:
                    return upsample_nearest(small, picture.full_size)
                return upsample_guided(small, answer, picture.rgb)
        except ValueError as error:
            raise InputError(
                f"the network's answer is no {'label' if self.recipe.predicts_labels else 'depth'} map: {error}",
                hint="Try --precision fp32, and check the weights with glpn inspect.",
                code=ErrorCode.DATA,
            ) from error


def _run_both_ways(network: nn.Module, pixels: Tensor) -> Tensor:
    """The mean of the network's raw output and of that for the mirrored pixels, mirrored back."""
    raw: Tensor = (network(pixels) + network(pixels.flip(-1)).flip(-1)) / 2
    return raw


def _check_pixels(pixels: Tensor, device: torch.device) -> None:
    """Refuse what `predict_tensor` does not take (UsageError)."""
    if not isinstance(pixels, Tensor) or pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.numel():
        shape = tuple(getattr(pixels, "shape", ())) or type(pixels).__name__
        raise UsageError(f"pixels are a tensor (B, 3, H, W), not {shape}", hint="For one picture give pixels[None].")
    if not pixels.is_floating_point():
        raise UsageError(f"pixels are floats in 0..1, not {pixels.dtype}", hint="Divide them: pixels / 255.")
    if pixels.device.type != device.type or (device.index is not None and pixels.device.index != device.index):
        raise UsageError(
            f"pixels are on {pixels.device}, and the model is on {device}",
            hint=f"Move them: pixels.to({str(device)!r}).",
        )
    low, high = (float(each) for each in pixels.aminmax())
    if not (low >= -_MOST_BEYOND and high <= 1 + _MOST_BEYOND):
        raise UsageError(f"pixels are in 0..1, and these go from {low:g} to {high:g}", hint="Divide them by 255?")


def _check_sane(answer: Prediction, picture: Picture) -> None:
    """Raise ValueError for an answer of another size than the picture, and for metres beyond the network's limit.

    `DepthMap` itself checks that depths are finite and above 0.
    """
    if answer.size != picture.full_size:
        raise ValueError(f"it has {size_text(answer.size)} pixels, the picture {size_text(picture.full_size)}")
    if isinstance(answer, DepthMap) and answer.limit is not None:
        min_max = answer.min_max()
        if min_max is not None and min_max[1] > _BEYOND * answer.limit:
            raise ValueError(f"it reaches to {min_max[1]:g} m, the network only to {answer.limit:g} m")


def _finish(made: Prediction, picture: Picture, factor: float) -> Prediction:
    """The prediction with the picture's holes, and its depths times `factor`."""
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
