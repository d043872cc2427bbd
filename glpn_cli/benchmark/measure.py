"""Measures one model: its stages, whole processes, and transformers beside them."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from glpn_cli.benchmark.agreement import Agreement, compare_depths, compare_inverse, compare_labels
from glpn_cli.benchmark.peer import PeerModel, PeerSettings
from glpn_cli.benchmark.stages import MatrixProduct, ModelStages, wait_for
from glpn_cli.benchmark.timing import Timing, import_seconds, predict_command, run_python, time_in_turns
from glpn_cli.errors import UsageError
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.text import size_text

_PEER_NETWORK = "transformers network"
_PRODUCT = "matrix product"


@dataclass(frozen=True)
class ProcessSpeed:
    """Speed of whole processes, each from its start to the written files of `pictures` pictures."""

    pictures: int
    timing: Timing
    peak_bytes: int | None

    @property
    def pictures_per_second(self) -> float:
        """Start-up included."""
        return self.pictures / self.timing.median


@dataclass(frozen=True)
class PeerSpeed:
    """Speed and results of transformers on the same model.

    precision:    of transformers
    network_size: (h, w) that its own processor makes of the first picture; its network alone is timed on our pixels
    network:      seconds for a batch
    whole:        whole processes, by number of pictures
    agreement:    how our result for the first picture agrees with that of transformers in fp32
    """

    precision: str
    network_size: tuple[int, int]
    network: Timing
    whole: Sequence[ProcessSpeed]
    agreement: Agreement


@dataclass(frozen=True)
class ModelSpeed:
    """How fast one model is.

    stages:    seconds by stage; `network` is for a batch
    network_size: (h, w)
    flops:     operations of one batch
    product:   seconds of the machine's matrix product in the same precision, in turns with the network
    product_flops: operations of that
    whole:     whole processes, by number of pictures
    peer:      transformers, if it was measured too
    """

    model: str
    device: str
    precision: str
    network_size: tuple[int, int]
    batch_size: int
    flops: int
    stages: Mapping[str, Timing]
    product: Timing
    product_flops: int
    whole: Sequence[ProcessSpeed]
    peer: PeerSpeed | None = None

    @property
    def rate(self) -> float:
        """Operations a second that the network reaches."""
        return self.flops / self.stages["network"].median

    @property
    def machine_rate(self) -> float:
        """Operations a second of the machine's matrix product."""
        return self.product_flops / self.product.median

    @property
    def shares(self) -> tuple[float, ...]:
        """The network's rate as a share of the machine's, round by round, so that a busy minute counts for both."""
        turns = zip(self.stages["network"].seconds, self.product.seconds, strict=True)
        return tuple(self.flops / network / (self.product_flops / product) for network, product in turns)

    @property
    def share(self) -> float:
        """The median of `shares`."""
        return statistics.median(self.shares)


@dataclass(frozen=True)
class Bench:
    """How to measure a model.

    pictures: at least one; the stages run on the first
    options:  of `glpn predict`, for the whole processes
    rounds:   of everything
    threads:  of torch; None is all cores
    peer_precision: measure transformers too, in turns, in this precision; None: do not
    """

    pictures: Sequence[str]
    device: str
    batch_size: int
    options: Sequence[str]
    rounds: int
    threads: int | None
    peer_precision: str | None

    def measure(self, settings: InferenceSettings, *, title: str) -> ModelSpeed:
        """Measure a model.

        Raises InputError for a picture that cannot be read, UsageError for pixels that transformers cannot take and for
        a model that it runs already, GlpnError for a process that fails.
        """
        library = settings.config.runs_through
        if self.peer_precision is not None and library is not None:
            raise UsageError(f"{library} runs {title} already: there is nothing to compare it with")
        model = ModelStages(settings, Path(self.pictures[0]), device=self.device, batch_size=self.batch_size)
        product = MatrixProduct(model.device, model.precision)
        functions: dict[str, Callable[[], object]] = {**model.stages(), _PRODUCT: product}
        their: PeerSettings | None = None
        if self.peer_precision is not None:
            their = PeerSettings(settings.limit_m, model.device, self.peer_precision, self.threads)
            functions[_PEER_NETWORK], agreement, network_size = self._compare_peer(model, their)
        timed = time_in_turns(functions, rounds=self.rounds)
        del functions
        loaded = time_in_turns({"load": model.load}, rounds=self.rounds)
        imported = Timing(tuple(import_seconds("glpn_cli.predictor") for _ in range(self.rounds)))
        whole, peer_whole = self._time_processes(str(settings.model.checkpoint.folder), their)
        product_timing, peer = timed.pop(_PRODUCT), None
        if their is not None:
            peer = PeerSpeed(their.precision, network_size, timed.pop(_PEER_NETWORK), peer_whole, agreement)
        return ModelSpeed(
            model=title,
            device=model.device,
            precision=model.precision,
            network_size=model.size,
            batch_size=model.batch_size,
            flops=model.flops,
            stages={"import": imported, **loaded, **timed},
            product=product_timing,
            product_flops=product.flops,
            whole=whole,
            peer=peer,
        )

    def _compare_peer(
        self, model: ModelStages, asked: PeerSettings
    ) -> tuple[Callable[[], object], Agreement, tuple[int, int]]:
        """Transformers' network as a function to time, how it agrees with ours on the first picture, and its size."""
        folder, pixels = str(model.settings.model.checkpoint.folder), model.prepare()

        def open_peer(precision: str) -> PeerModel:
            return PeerModel.open(folder, replace(asked, precision=precision))

        reference = open_peer("fp32")
        theirs = _infer_peer(reference, pixels, model.device)
        rounded = None if model.precision == "fp32" else _infer_peer(open_peer(model.precision), pixels, model.device)
        agreement = _compare(model, model.infer(pixels), theirs, rounded, labels=reference.labels)
        timed = reference if asked.precision == "fp32" else open_peer(asked.precision)
        return partial(_infer_peer, timed, pixels, model.device), agreement, reference.network_size(self.pictures[0])

    def _time_processes(self, folder: str, peer: PeerSettings | None) -> tuple[list[ProcessSpeed], list[ProcessSpeed]]:
        """Whole processes, in turns, for one picture, and for all where there are more; ours, and transformers'."""
        speeds: dict[str, list[ProcessSpeed]] = {"ours": [], "theirs": []}
        for pictures in dict.fromkeys((tuple(self.pictures[:1]), tuple(self.pictures))):
            with tempfile.TemporaryDirectory() as output:
                commands = {"ours": predict_command(pictures, folder, output, options=self.options)}
                if peer is not None:
                    script = ["-m", "glpn_cli.benchmark.peer", *peer.arguments()]
                    commands["theirs"] = [*script, folder, output, *pictures]
                rounds = [{name: run_python(*each) for name, each in commands.items()} for _ in range(self.rounds)]
            for name in commands:
                seconds, peaks = zip(*(each[name] for each in rounds), strict=True)
                peak_bytes = max(filter(None, peaks), default=None)
                speeds[name].append(ProcessSpeed(len(pictures), Timing(seconds), peak_bytes))
        return speeds["ours"], speeds["theirs"]


@torch.inference_mode()
def _infer_peer(model: PeerModel, pixels: torch.Tensor, device: str) -> torch.Tensor:
    """Run transformers' network. Raises UsageError for pixels that it cannot take."""
    try:
        raw = model.infer(pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        size = size_text(pixels.shape[-2:])
        raise UsageError(
            f"transformers' network cannot take pixels of {size}: {str(error).splitlines()[0]}",
            hint="Use --input-size original: the size that its own processor makes.",
        ) from error
    wait_for(device)
    return raw


def _compare(
    model: ModelStages, ours: torch.Tensor, theirs: torch.Tensor, rounded: torch.Tensor | None, *, labels: bool
) -> Agreement:
    """Compare the first of a batch, at the network's own size."""
    our, their = ours[0].float().cpu().numpy(), theirs[0].float().cpu().numpy()
    low = None if rounded is None else rounded[0].float().cpu().numpy()
    if labels:
        return compare_labels(our, their, rounded=low)
    if model.settings.limit_m is None:
        return compare_inverse(our, their, rounded=low)
    return compare_depths(our, their, limit_m=model.settings.limit_m, rounded=low)
