"""What the machine itself can do: the floor under every network is its matrix product."""

from __future__ import annotations

import torch

from glpn_cli.benchmark.timings import time_in_turns

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIDE = {"cpu": 2048, "mps": 4096, "cuda": 8192}


def wait_for(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


@torch.inference_mode()
def matrix_rate(device: str, precision: str, *, rounds: int = 7, side: int | None = None) -> float:
    """Operations a second of a square matrix product on `device`, two for each multiplication with its addition."""
    side = side or _SIDE[device.split(":", maxsplit=1)[0]]
    left, right = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
    out = torch.empty_like(left)

    def multiply() -> None:
        torch.mm(left, right, out=out)
        wait_for(device)

    return 2 * side**3 / time_in_turns({"product": multiply}, rounds=rounds)["product"].median
