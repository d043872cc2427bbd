"""Render rooms, train the teacher on them, then teach a small model by it: one command, repeated until it is done.

    PYTHONPATH=tools/teacher python tools/gpu_course/course.py OUT --device cuda --workers 15 --minutes 9

A call ends after --minutes and leaves its state in OUT, in files of at most 16 MiB; the same command goes on from
there. Processes render while the device learns; a room is used USES times, out of the last POOL, mirrored or not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from network import LiteDepth
from torch import Tensor
from train import FOCAL_PX, LIMIT_M, PHOTOGRAPHED, WHOLE, Run, teacher_loss, teacher_run

from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.data.sources import open_source
from glpn_cli.models.glpn.processor import GLPNImageProcessor
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import file_state
from glpn_cli.training import losses
from glpn_cli.training.feed import Batch, BatchRequest, Feed
from glpn_cli.training.initial_model import InitialModel

POOL = 40_000
USES = 8
BATCH = 64
TEACHER_STEPS, STUDENT_STEPS = 12_000, 12_000
MOST_BYTES = 16 * 2**20


class Pool:
    """The last rooms, on the device."""

    def __init__(self, size: int, device: str) -> None:
        self.rgb = torch.empty(size, 3, *WHOLE, dtype=torch.uint8, device=device)
        self.depth = torch.empty(size, *WHOLE, dtype=torch.float16, device=device)
        self.added = 0

    def add(self, batch: Batch) -> None:
        places = (torch.arange(len(batch)) + self.added) % len(self.rgb)
        self.rgb[places] = batch.rgb.permute(0, 3, 1, 2).to(self.rgb.device)
        self.depth[places] = batch.depth.to(self.depth)
        self.added += len(batch)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """(count, 3, h, w) in 0 to 1 and (count, h, w) metres, each half of the time mirrored, all or none."""
        places = torch.randint(min(self.added, len(self.rgb)), (count,))
        rgb, depth = self.rgb[places].float().div_(255), self.depth[places].float()
        if torch.rand(()) < 0.5:
            rgb, depth = rgb.flip(3), depth.flip(2)
        return rgb.contiguous(memory_format=torch.channels_last), depth


def requests(first: int, batch_size: int) -> Iterator[BatchRequest]:
    """Fresh rooms, from position `first` on."""
    while True:
        positions = tuple(range(first, first + batch_size))
        yield BatchRequest(positions, WHOLE, PHOTOGRAPHED, LIMIT_M, FOCAL_PX, seed=1)
        first += batch_size


def student_run(out: Path, initial: InitialModel, *, rate: float, device: str) -> Run:
    """A run of a small model of glpn, from its weights or from what is in `out`."""
    return Run(out, initial.network, [{"params": list(initial.network.parameters()), "peak": rate}], device=device)


def student_loss(run: Run, teacher: LiteDepth, rgb: Tensor, truth: Tensor) -> Tensor:
    """As the rooms recipe, and half of the distance to the teacher's depth."""
    with torch.no_grad():
        taught = teacher(rgb)
    ours = run.network(rgb)
    shape = 0.5 * losses.log_gradient_loss(ours, truth)
    shape = shape + 0.25 * losses.surface_normal_loss(ours, truth, focal_px=FOCAL_PX)
    return losses.log_l1_loss(ours, truth) + 0.5 * losses.log_l1_loss(ours, taught) + shape


def write_student(run: Run, initial: InitialModel) -> None:
    """The average, as a model folder of glpn, in half precision."""
    state = file_state(run.average.state_dict(), initial.config.weight_rows())
    EncodedFolder.of(
        config=initial.trained_config(WHOLE),
        state={name: value.cpu().half() for name, value in state.items()},
        preprocessor=GLPNImageProcessor().to_dict(),
    ).write(run.out / "model")


def split(file: Path) -> None:
    """Cut a file into pieces of at most 16 MiB beside it."""
    data = file.read_bytes()
    for i, start in enumerate(range(0, len(data), MOST_BYTES)):
        file.with_suffix(f".{i:03d}").write_bytes(data[start : start + MOST_BYTES])
    file.unlink()


def join(file: Path) -> None:
    """Make a file from its pieces, where there are any."""
    pieces = sorted(file.parent.glob(f"{file.stem}.[0-9][0-9][0-9]"))
    if pieces:
        file.write_bytes(b"".join(piece.read_bytes() for piece in pieces))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path)
    ask.add_argument("--device", default="cuda")
    ask.add_argument("--workers", type=int, default=15)
    ask.add_argument("--minutes", type=float, default=9.0)
    ask.add_argument("--scale", type=float, default=1.0, help="share of the steps, of the pool and of the batch")
    ask.add_argument("--size", type=int, default=2, help="of the teacher, EfficientNet-Lite 0, 1 or 2")
    ask.add_argument("--data", default="scenes:50")
    a = ask.parse_args()
    end = time.monotonic() + 60 * a.minutes
    torch.set_float32_matmul_precision("high")
    steps = {"teacher": max(1, round(TEACHER_STEPS * a.scale)), "student": max(1, round(STUDENT_STEPS * a.scale))}
    batch_size, pool = max(2, round(BATCH * a.scale)), Pool(max(8, round(POOL * a.scale)), a.device)
    for name in steps:
        (a.out / name).mkdir(parents=True, exist_ok=True)
        join(a.out / name / "training.pt")
    teacher = teacher_run(a.out / "teacher", a.size, rate=2e-3, encoder_rate=3e-4, device=a.device)
    initial = InitialModel.load(InferenceSettings(resolve_model("mini", offline=True)), seed=0)
    student = student_run(a.out / "student", initial, rate=7e-4, device=a.device)
    stages = [(n, r) for n, r in (("teacher", teacher), ("student", student)) if r.step < steps[n]]
    feed = Feed(open_source(a.data, split="train"), workers=a.workers)
    seen_file = a.out / "rooms.json"
    first = json.loads(seen_file.read_text()) if seen_file.exists() else 0
    rooms, since, began = feed.batches(requests(first, batch_size)), time.monotonic(), teacher.step + student.step
    try:
        while stages and time.monotonic() < end:
            pool.add(next(rooms))
            name, run = stages[0]
            for _ in range(min(USES, steps[name] - run.step)):
                rgb, truth = pool.take(batch_size)
                loss = (
                    teacher_loss(run, rgb, truth) if run is teacher else student_loss(run, teacher.average, rgb, truth)
                )
                seen = run.backward(loss)
                run.update(run.step / steps[name])
            if run.step >= steps[name]:
                stages.pop(0)
            speed = (teacher.step + student.step - began) * batch_size / (time.monotonic() - since)
            print(
                f"{name} {run.step} of {steps[name]}: loss {seen:.3f}, {pool.added} rooms, {speed:.1f} a second",
                flush=True,
            )
    finally:
        feed.close()
        seen_file.write_text(json.dumps(first + pool.added))
        for run in (teacher, student):
            run.save()
            split(run.out / "training.pt")
        write_student(student, initial)
    print("done" if not stages else "call again")


if __name__ == "__main__":
    main()
