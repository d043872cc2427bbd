from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import tiny_trainer

from glpn_cli.training.ranks import Ranks, own_device

SCRIPT = """
import sys, torch
from test_ranks import train_in_ranks
torch.save(train_in_ranks(), sys.argv[1])
"""


def train_in_ranks() -> dict[str, Any]:
    """Three steps of this process's share of a run."""
    torch.set_num_threads(1)
    ranks = Ranks.join()
    try:
        trainer = tiny_trainer(steps=3, ranks=ranks)
        losses = [report.losses.loss for report in trainer.run()]
        assert trainer.average is not None
        averages = {f"average.{name}": value for name, value in trainer.average.values.items()}
        return {
            "losses": losses,
            "weights": {**trainer.network.state_dict(), **averages},
            "position": trainer.position,
            "said": ranks.gather((f"rank {ranks.rank}", "has spoken")),
        }
    finally:
        ranks.leave()


def test_a_process_alone_is_the_first_of_one() -> None:
    value = torch.ones(3)
    Ranks().average([value])
    assert Ranks().is_first
    assert Ranks().gather(("alone",)) == ("alone",)
    assert torch.equal(value, torch.ones(3))


def test_two_processes_take_the_same_steps_and_end_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = Path(__file__).parent
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    common["PYTHONPATH"] = os.pathsep.join(map(str, (here.parents[1], here.parent, here)))
    for name, value in {**common, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    second = [sys.executable, "-c", SCRIPT, str(tmp_path / "second")]
    with subprocess.Popen(second, env={**os.environ, "RANK": "1"}) as process:
        one = train_in_ranks()
        assert process.wait(timeout=120) == 0
    two = torch.load(tmp_path / "second", weights_only=True)
    assert one["losses"] == two["losses"]
    assert one["position"] == two["position"] == 12
    assert one["said"] == two["said"] == ("rank 0", "has spoken", "rank 1", "has spoken")
    assert [name for name in one["weights"] if not torch.equal(one["weights"][name], two["weights"][name])] == []
    alone = tiny_trainer(steps=3)
    losses = [report.losses.loss for report in alone.run()]
    # Batch norm sees half the batch in each process, so the numbers are close, not equal.
    assert abs(losses[0] - one["losses"][0]) < 0.2 * losses[0]


def test_processes_on_one_machine_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda:0") == "cuda:0"
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda:0") == "cuda:3"
    assert own_device("cpu") == "cpu"
