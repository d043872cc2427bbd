"""One model's measurements, complete."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from glpn_cli.benchmark.machine import wait_for
from glpn_cli.benchmark.peer import open_pipeline
from glpn_cli.benchmark.processes import Finished, import_seconds, predict_command, run_python
from glpn_cli.benchmark.stages import Agreement, Subject, compare
from glpn_cli.benchmark.timings import Timing, time_in_turns
from glpn_cli.models.recipe import Recipe

PEER_NETWORK = "transformers network"


@dataclass(frozen=True)
class Whole:
    """Whole processes that wrote depth for `pictures` pictures."""

    pictures: int
    timing: Timing
    peak_bytes: int | None


@dataclass(frozen=True)
class ModelSpeed:
    """How fast one model is.

    stages:    seconds by stage; `network` is for a batch
    network_size: (h, w)
    flops:     operations of one batch
    rate:      operations a second of the network
    machine:   operations a second of this machine's matrix product, by precision
    whole:     whole processes, by number of pictures
    peer_network, peer_whole, agreement: the same by transformers, where it was asked for
    """

    model: str
    device: str
    precision: str
    network_size: tuple[int, int]
    batch_size: int
    flops: int
    stages: Mapping[str, Timing]
    machine: Mapping[str, float]
    whole: Sequence[Whole]
    peer_network: Timing | None = None
    peer_whole: Sequence[Whole] = field(default=())
    agreement: Agreement | None = None

    @property
    def rate(self) -> float:
        """Operations a second that the network reaches."""
        return self.flops / self.stages["network"].median

    @property
    def share(self) -> float | None:
        """The same as a share of the machine's matrix product in the same precision."""
        return self.rate / self.machine[self.precision] if self.precision in self.machine else None


@dataclass(frozen=True)
class Bench:
    """What to measure of every model.

    pictures: at least one; the first is taken apart
    options:  of `glpn predict`, for whole processes
    rounds:   of everything
    machine:  operations a second of the matrix product, by precision
    against_peer: measure transformers too, in turns
    """

    pictures: Sequence[str]
    device: str = "auto"
    batch_size: int = 1
    options: Sequence[str] = ()
    rounds: int = 5
    machine: Mapping[str, float] = field(default_factory=dict)
    against_peer: bool = False

    def measure(self, recipe: Recipe) -> ModelSpeed:
        """Measure a model. Raises InputError for a picture that cannot be read, GlpnError for a process that fails."""
        subject = Subject(recipe, Path(self.pictures[0]), device=self.device, batch_size=self.batch_size)
        works = subject.stages()
        agreement = None
        if self.against_peer:
            works[PEER_NETWORK], agreement = self._meet_peer(subject)
        timed = time_in_turns(works, rounds=self.rounds)
        peer_network = timed.pop(PEER_NETWORK, None)
        before = {"import": Timing((import_seconds("glpn_cli.predictor"),)), "load": Timing((subject.load_s,))}
        whole, peer_whole = self._whole(recipe)
        return ModelSpeed(
            model=recipe.model.name,
            device=subject.device,
            precision=subject.precision,
            network_size=subject.size,
            batch_size=subject.batch_size,
            flops=subject.flops,
            stages=before | timed,
            machine=self.machine,
            whole=whole,
            peer_network=peer_network,
            peer_whole=peer_whole,
            agreement=agreement,
        )

    def _meet_peer(self, subject: Subject) -> tuple[Callable[[], object], Agreement]:
        """The work of transformers' network alone, and how its answer to the picture agrees with ours."""
        folder, limit_m = str(subject.recipe.model.checkpoint.folder), subject.recipe.limit_m
        pipeline = open_pipeline(folder, limit_m=limit_m, device=subject.device)
        pixels = subject.prepare()

        @torch.inference_mode()
        def answer() -> torch.Tensor:
            depth: torch.Tensor = pipeline.model(pixels).predicted_depth
            wait_for(subject.device)
            return depth

        ours, theirs = subject.infer(pixels)[0].float().cpu().numpy(), answer()[0].float().cpu().numpy()
        return answer, compare(ours, theirs, limit_m=limit_m, precision=subject.precision)

    def _whole(self, recipe: Recipe) -> tuple[list[Whole], list[Whole]]:
        """Whole processes for one picture, and for all where there are more; ours, and transformers'."""
        ours, theirs = [], []
        for pictures in dict.fromkeys((tuple(self.pictures[:1]), tuple(self.pictures))):
            finished: dict[str, list[Finished]] = {"ours": [], "theirs": []}
            with tempfile.TemporaryDirectory() as output:
                folder, limit_m = str(recipe.model.checkpoint.folder), recipe.limit_m
                command = predict_command(pictures, folder, output, options=self.options)
                works = {"ours": partial(_note, finished["ours"], command)}
                if self.against_peer:
                    script = ["-m", "glpn_cli.benchmark.peer", folder, str(limit_m or 1.0), output, *pictures]
                    works["theirs"] = partial(_note, finished["theirs"], script)
                time_in_turns(works, rounds=self.rounds, warm_up=False)
            ours.append(_whole(len(pictures), finished["ours"]))
            if self.against_peer:
                theirs.append(_whole(len(pictures), finished["theirs"]))
        return ours, theirs


def _note(finished: list[Finished], command: Sequence[str]) -> None:
    finished.append(run_python(*command))


def _whole(pictures: int, runs: Sequence[Finished]) -> Whole:
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return Whole(pictures, Timing(tuple(run.seconds for run in runs)), max(peaks, default=None))
