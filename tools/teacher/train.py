"""Train a depth network with an ImageNet-trained encoder on rooms of `glpn scenes`; see README.md beside this file.

The rate falls along a cosine of the clock and is zero at --until, however fast the machine is. The same command goes on
from what a stopped run left.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import LiteDepth, pretrained
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

from glpn_cli.data.augment import Augmentation
from glpn_cli.data.samples import SampleSource, join_sources
from glpn_cli.data.sources import open_source
from glpn_cli.training import losses
from glpn_cli.training.feed import Batch, BatchRequest

WHOLE = (192, 256)
SIZES = (WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, (160, 256), (192, 224), (160, 224))
"""Windows that are learned from: most are the whole picture, none is enlarged."""
PHOTOGRAPHED = Augmentation(zoom=(1.0, 1.0), light=0.7, strength=1.3, camera=0.25, erase=0.1, cut_depth=0.0)
"""Rooms as other cameras see them: more colour, blur, noise and JPEG than the renderer's own."""
FOCAL_PX = 220.0
LIMIT_M = 10.0
WARM_UP = 100
FROZEN_STEPS = 150
"""Steps in which the decoder learns alone, so that its first errors do not spoil the encoder."""
AVERAGE = 0.99
SAVE_EVERY = 100


@dataclass(frozen=True)
class Share:
    """Which part of every batch is this process's, and how large it is."""

    part: int
    parts: int
    batch_size: int


def batches(source: SampleSource, share: Share, *, step: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, 3, h, w) in 0 to 1 and (B, h, w) metres, from step `step` on."""
    while True:
        size = SIZES[int(np.random.default_rng([seed, step]).integers(len(SIZES)))]
        first = (step * share.parts + share.part) * share.batch_size
        positions = tuple(range(first, first + share.batch_size))
        batch = Batch.read(source, BatchRequest(positions, size, PHOTOGRAPHED, LIMIT_M, FOCAL_PX, seed))
        rgb = batch.rgb.permute(0, 3, 1, 2).float().div_(255)
        yield rgb.contiguous(memory_format=torch.channels_last), batch.depth
        step += 1


def loss_of(predicted: Tensor, truth: Tensor, *, step: int) -> Tensor:
    """log-L1, half of the gradients of log depth, a quarter of the normals (two of their four distances a step).

    predicted: (B, h / 2, w / 2). truth: (B, h, w), of which one pixel in four is taken, another one every step.
    """
    truth = truth[:, step // 2 % 2 :: 2, step // 4 % 2 :: 2]
    distances = ((1, 4), (2, 8))[step % 2]
    slopes = losses.log_gradient_loss(predicted, truth)
    normals = losses.surface_normal_loss(predicted, truth, focal_px=FOCAL_PX / 2, distances=distances)
    return losses.log_l1_loss(predicted, truth) + 0.5 * slopes + 0.25 * normals


def agree(parameters: list[Tensor], gone: float) -> float:
    """The mean over all processes of the gradients, in place, and of the share of time that is gone."""
    given = [p for p in parameters if p.grad is not None]
    flat = torch.cat([*(p.grad.flatten() for p in given), torch.tensor([gone])])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for p, mean in zip(given, flat[:-1].split([p.numel() for p in given]), strict=True):
        p.grad.copy_(mean.view_as(p))
    return float(flat[-1])


def share_gone(begin: float, end: float) -> float:
    return min(max((time.time() - begin) / (end - begin), 0.0), 1.0)


def clock_time(hh_mm: str) -> float:
    hour, minute = map(int, hh_mm.split(":"))
    return datetime.now().astimezone().replace(hour=hour, minute=minute, second=0).timestamp()


class Run:
    """A network that learns, its running average and its optimiser, and how far they are."""

    def __init__(self, out: Path, network: nn.Module, groups: list[dict[str, Any]], *, device: str = "cpu") -> None:
        """groups: of the optimiser, each with its `peak` rate."""
        self.out, self.device = out, device
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.99), weight_decay=0.02)
        self.step, self.begin = 0, time.time()
        if (out / "training.pt").exists():
            found = torch.load(out / "training.pt", weights_only=True, map_location=device)
            self.network.load_state_dict(found["network"])
            self.average.load_state_dict(found["average"])
            self.optimizer.load_state_dict(found["optimizer"])
            self.step, self.begin = found["step"], found["begin"]

    def backward(self, loss: Tensor) -> float:
        """Gradients of `loss`; returns it."""
        self.optimizer.zero_grad()
        loss.backward()
        return loss.item()

    def update(self, gone: float) -> float:
        """One step at the rate of this share of time, unless a gradient is not finite; returns rate over peak."""
        rate = min(1.0, (self.step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(gone, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)):
            self.optimizer.step()
        self.step += 1
        keep = min(AVERAGE, self.step / (10 + self.step))
        with torch.no_grad():
            for ours, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
                ours.lerp_(theirs, 1 - keep)
        return rate

    def save(self) -> None:
        """The run, and the average as half-precision weights; each file is whole or the one before."""
        parts = {"network": self.network, "average": self.average, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "step": self.step, "begin": self.begin}, self.out / "training.tmp")
        (self.out / "training.tmp").replace(self.out / "training.pt")
        weights = {name: value.half().contiguous() for name, value in state["average"].items()}
        save_file(weights, self.out / "model.tmp", metadata={"format": "pt"})
        (self.out / "model.tmp").replace(self.out / "model.safetensors")


def teacher_run(out: Path, size: int, *, rate: float, encoder_rate: float, device: str = "cpu") -> Run:
    """A run of LiteDepth(size) from ImageNet's weights, or from what is in `out`."""
    network = LiteDepth(size, feature_dropout=0.05, feature_noise=0.15)
    network.encoder.load_state_dict(pretrained(size))
    network.encoder.requires_grad_(False)
    encoder = list(network.encoder.parameters())
    decoder = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    return Run(
        out, network, [{"params": encoder, "peak": encoder_rate}, {"params": decoder, "peak": rate}], device=device
    )


def teacher_loss(run: Run, rgb: Tensor, truth: Tensor, *, frozen_steps: int = FROZEN_STEPS) -> Tensor:
    """The teacher's loss on one batch; its encoder learns after the first steps."""
    if run.step >= frozen_steps:
        run.network.encoder.let_learn()
    return loss_of(run.network.at_half_size(rgb), truth, step=run.step)


def blend(weights: Iterable[tuple[str, Tensor]], other: Mapping[str, Tensor], share: float) -> None:
    """Bring weights nearer to others by a share of the way (Wortsman et al. 2022, arXiv 2109.01903)."""
    with torch.no_grad():
        for name, weight in weights:
            weight.lerp_(other[name], share)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("out", type=Path)
    ask.add_argument("--data", required=True, nargs="+", help="as of `glpn train`: folders of `glpn scenes`, CSVs")
    ask.add_argument("--until", required=True, metavar="HH:MM", help="when the rate is zero and the run ends")
    ask.add_argument("--size", type=int, default=2, help="EfficientNet-Lite 0, 1 or 2")
    ask.add_argument("--batch-size", type=int, default=16, help="of each process")
    ask.add_argument("--rate", type=float, default=1e-3, help="of the decoder")
    ask.add_argument("--encoder-rate", type=float, default=1.5e-4)
    ask.add_argument("--start", type=Path, help="weights of an earlier run, or of the bundled lite")
    ask.add_argument("--blend", type=float, default=0.0, help="how far to bring its encoder back to ImageNet's weights")
    ask.add_argument("--pull", type=float, default=0.0, help="how far again at every step, times the rate's share")
    ask.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="the Ith of N processes")
    ask.add_argument("--meet", help="a file that does not exist yet, where those N find each other")
    ask.add_argument("--seed", type=int, default=1)
    a = ask.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed + a.part[0])
    a.out.mkdir(parents=True, exist_ok=True)
    run = teacher_run(a.out, a.size, rate=a.rate, encoder_rate=a.encoder_rate)
    imagenet = pretrained(a.size)
    if a.start is not None and run.step == 0:
        for network in (run.network, run.average):
            network.load_state_dict({name: value.float() for name, value in load_file(a.start).items()})
            blend(network.encoder.named_parameters(), imagenet, a.blend)
    end = clock_time(a.until)
    if end <= time.time():
        ask.error(f"{a.until} is past today")
    share = Share(*a.part, a.batch_size)
    if share.parts > 1:
        distributed.init_process_group("gloo", init_method=f"file://{a.meet}", rank=share.part, world_size=share.parts)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: stop.append(n))
    learned, since = list(run.network.parameters()), time.time()
    seen: list[float] = []
    frozen_steps = FROZEN_STEPS if a.start is None else 0
    source = join_sources([open_source(spec, split="train") for spec in a.data])
    for rgb, truth in batches(source, share, step=run.step, seed=a.seed):
        seen.append(run.backward(teacher_loss(run, rgb, truth, frozen_steps=frozen_steps)))
        gone = math.inf if stop else share_gone(run.begin, end)
        gone = agree(learned, gone) if share.parts > 1 else gone
        rate = run.update(gone)
        learning = ((n, w) for n, w in run.network.encoder.named_parameters() if w.requires_grad)
        blend(learning, imagenet, a.pull * rate)
        over = gone >= 1
        if share.part == 0 and (run.step % 50 == 0 or over):
            speed = share.parts * share.batch_size * len(seen) / (time.time() - since)
            numbers = {"loss": np.mean(seen), "rate": rate, "a_second": speed}
            row = {"step": run.step, **{name: round(float(n), 4) for name, n in numbers.items()}}
            with (a.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({**row, "time": f"{datetime.now().astimezone():%H:%M:%S}"}) + "\n")
            seen, since = [], time.time()
        if share.part == 0 and (run.step % SAVE_EVERY == 0 or over):
            run.save()
        if over:
            break


if __name__ == "__main__":
    main()
