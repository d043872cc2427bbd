"""One model's measurements, complete."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from glpn_cli.benchmark.agreement import Agreement, compare_depths, compare_inverse, compare_labels
from glpn_cli.benchmark.machine import MatrixProduct, wait_for
from glpn_cli.benchmark.peer import Opened, Setting, open_model
from glpn_cli.benchmark.processes import Finished, import_seconds, predict_command, run_python
from glpn_cli.benchmark.stages import Subject
from glpn_cli.benchmark.timings import Timing, time_in_turns
from glpn_cli.errors import UsageError
from glpn_cli.models.settings import InferenceSettings

_PEER_NETWORK = "transformers network"
_PRODUCT = "matrix product"


@dataclass(frozen=True)
class Whole:
    """Whole processes that wrote the answers to `pictures` pictures."""

    pictures: int
    timing: Timing
    peak_bytes: int | None

    @property
    def pictures_per_second(self) -> float:
        """Start-up counted."""
        return self.pictures / self.timing.median


@dataclass(frozen=True)
class PeerSpeed:
    """The same by transformers.

    precision:    of transformers
    network_size: (h, w) that its own processor makes of the first picture; its network alone is timed on our pixels
    network:      seconds for a batch
    whole:        whole processes, by number of pictures
    agreement:    how our answer to the first picture agrees with that of transformers in fp32
    """

    precision: str
    network_size: tuple[int, int]
    network: Timing
    whole: Sequence[Whole]
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
    peer:      the same by transformers, where it was asked for
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
    whole: Sequence[Whole]
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
    """What to measure of every model.

    pictures: at least one; the first is taken apart
    options:  of `glpn predict`, for whole processes
    rounds:   of everything
    threads:  of torch; None is all cores
    peer_precision: measure transformers too, in turns, in this precision
    """

    pictures: Sequence[str]
    device: str = "auto"
    batch_size: int = 1
    options: Sequence[str] = ()
    rounds: int = 5
    threads: int | None = None
    peer_precision: str | None = None

    def measure(self, recipe: InferenceSettings, *, title: str) -> ModelSpeed:
        """Measure a model.

        Raises InputError for a picture that cannot be read, UsageError for pixels that transformers cannot take,
        GlpnError for a process that fails.
        """
        subject = Subject(recipe, Path(self.pictures[0]), device=self.device, batch_size=self.batch_size)
        product = MatrixProduct(subject.device, subject.precision)
        works: dict[str, Callable[[], object]] = {**subject.stages(), _PRODUCT: product}
        if (met := self._meet_peer(subject)) is not None:
            works[_PEER_NETWORK] = met.answer
        timed = time_in_turns(works, rounds=self.rounds)
        del works
        loaded = time_in_turns({"load": subject.load}, rounds=self.rounds)
        imported = Timing(tuple(import_seconds("glpn_cli.predictor") for _ in range(self.rounds)))
        whole, peer_whole = self._whole(recipe, subject.device)
        peer_network, product_timing = timed.pop(_PEER_NETWORK, None), timed.pop(_PRODUCT)
        peer = None
        if met is not None and peer_network is not None:
            peer = PeerSpeed(met.precision, met.network_size, peer_network, peer_whole, met.agreement)
        return ModelSpeed(
            model=title,
            device=subject.device,
            precision=subject.precision,
            network_size=subject.size,
            batch_size=subject.batch_size,
            flops=subject.flops,
            stages={"import": imported, **loaded, **timed},
            product=product_timing,
            product_flops=product.flops,
            whole=whole,
            peer=peer,
        )

    def _setting(self, recipe: InferenceSettings, device: str, precision: str) -> Setting:
        return Setting(recipe.limit_m, device, precision, self.threads)

    def _meet_peer(self, subject: Subject) -> _Met | None:
        """Hold our answer to the first picture against transformers', and say what to time of its network."""
        if self.peer_precision is None:
            return None
        folder, pixels = str(subject.recipe.model.checkpoint.folder), subject.prepare()

        def open_in(precision: str) -> Opened:
            return open_model(folder, self._setting(subject.recipe, subject.device, precision))

        reference = open_in("fp32")
        theirs = _ask(reference, pixels, subject.device)
        rounded = None if subject.precision == "fp32" else _ask(open_in(subject.precision), pixels, subject.device)
        agreement = _compare(subject, subject.infer(pixels), theirs, rounded, labels=reference.labels)
        size = reference.network_size(self.pictures[0])
        timed = reference if self.peer_precision == "fp32" else open_in(self.peer_precision)
        return _Met(partial(_ask, timed, pixels, subject.device), agreement, size, self.peer_precision)

    def _whole(self, recipe: InferenceSettings, device: str) -> tuple[list[Whole], list[Whole]]:
        """Whole processes for one picture, and for all where there are more; ours, and transformers'."""
        ours, theirs = [], []
        folder = str(recipe.model.checkpoint.folder)
        for pictures in dict.fromkeys((tuple(self.pictures[:1]), tuple(self.pictures))):
            finished: dict[str, list[Finished]] = {"ours": [], "theirs": []}
            with tempfile.TemporaryDirectory() as output:
                command = predict_command(pictures, folder, output, options=self.options)
                works = {"ours": partial(_note, finished["ours"], command)}
                if self.peer_precision is not None:
                    said = self._setting(recipe, device, self.peer_precision).arguments()
                    script = ["-m", "glpn_cli.benchmark.peer", *said, folder, output, *pictures]
                    works["theirs"] = partial(_note, finished["theirs"], script)
                time_in_turns(works, rounds=self.rounds, warm_up=False)
            ours.append(_whole(len(pictures), finished["ours"]))
            if self.peer_precision is not None:
                theirs.append(_whole(len(pictures), finished["theirs"]))
        return ours, theirs


@dataclass(frozen=True)
class _Met:
    """What came of meeting transformers: its network as work to be timed, and whether it agrees."""

    answer: Callable[[], object]
    agreement: Agreement
    network_size: tuple[int, int]
    precision: str


@torch.inference_mode()
def _ask(opened: Opened, pixels: torch.Tensor, device: str) -> torch.Tensor:
    """Transformers' answers. Raises UsageError for pixels that it cannot take."""
    try:
        raw = opened.ask(pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        height, width = pixels.shape[-2:]
        raise UsageError(
            f"transformers' network cannot take pixels of {width}x{height}: {str(error).splitlines()[0]}",
            hint="Use --input-size original: the size that its own processor makes.",
        ) from error
    wait_for(device)
    return raw


def _compare(
    subject: Subject, ours: torch.Tensor, theirs: torch.Tensor, rounded: torch.Tensor | None, *, labels: bool
) -> Agreement:
    """Of the first of a batch, at the network's own size."""
    our, their = ours[0].float().cpu().numpy(), theirs[0].float().cpu().numpy()
    low = None if rounded is None else rounded[0].float().cpu().numpy()
    if labels:
        return compare_labels(our, their, rounded=low)
    if subject.recipe.limit_m is None:
        return compare_inverse(our, their, rounded=low)
    return compare_depths(our, their, limit_m=subject.recipe.limit_m, rounded=low)


def _note(finished: list[Finished], command: Sequence[str]) -> None:
    finished.append(run_python(*command))


def _whole(pictures: int, runs: Sequence[Finished]) -> Whole:
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return Whole(pictures, Timing(tuple(run.seconds for run in runs)), max(peaks, default=None))
