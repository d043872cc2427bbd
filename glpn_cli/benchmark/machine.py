"""What the machine itself can do: the floor under every network is its matrix product."""

from __future__ import annotations

import time

import torch
from torch import Tensor

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIDES = {"cpu": (1024, 1536, 2048, 3072), "mps": (2048, 4096), "cuda": (4096, 8192)}
_LEAST_SECONDS = 0.1
_TRIALS = 3


def wait_for(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


class MatrixProduct:
    """The machine's own matrix product, as work that can be timed in turns with a network's.

    Of several sizes the one that is quickest here: which that is depends on caches. Called, it multiplies for about a
    tenth of a second with the threads that torch has then; `flops` says how many operations that is, two for each
    multiplication with its addition.
    """

    def __init__(self, device: str, precision: str) -> None:
        self._device = device
        self._dtype = _DTYPES[precision]
        sides = _SIDES[device.split(":", maxsplit=1)[0]]
        seconds = {side: self._try(side) for side in sides}
        self.side = min(sides, key=lambda side: seconds[side] / side**3)
        self._repeats = max(1, round(_LEAST_SECONDS / seconds[self.side]))
        self._left, self._right = self._operands(self.side)
        self._out = torch.empty_like(self._left)
        self.flops = 2 * self.side**3 * self._repeats

    def __call__(self) -> None:
        """Multiply."""
        self._multiply(self._left, self._right, self._out, self._repeats)

    def _try(self, side: int) -> float:
        """Seconds of one product, the best of a few."""
        left, right = self._operands(side)
        out = torch.empty_like(left)
        self._multiply(left, right, out, 1)
        taken = []
        for _ in range(_TRIALS):
            started = time.perf_counter()
            self._multiply(left, right, out, 1)
            taken.append(time.perf_counter() - started)
        return min(taken)

    def _operands(self, side: int) -> tuple[Tensor, Tensor]:
        left, right = (torch.randn(side, side, device=self._device).to(self._dtype) for _ in range(2))
        return left, right

    @torch.inference_mode()
    def _multiply(self, left: Tensor, right: Tensor, out: Tensor, repeats: int) -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=out)
        wait_for(self._device)
