"""What a cluster promises, in seconds: these run with every other test where Ray is installed."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner, Result

from glpn_cli.cli import app
from glpn_cli.errors import UsageError, interrupt_code

ray = pytest.importorskip("ray", reason="a cluster needs the extra [ray]")

from glpn_cli.distributed.cluster import divide, join_cluster  # noqa: E402 - imports Ray

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray leaves files open, and warns of changes to come


@pytest.fixture(autouse=True)
def _place(tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def predict(model: Path, out: str, *more: str) -> Result:
    words = ["predict", "photos", "-m", str(model), "-o", out, "--threads", "1", "--precision", "fp32"]
    return CliRunner().invoke(app, [*words, "--report", f"{out}.jsonl", *more], catch_exceptions=False)


def records(out: str) -> dict[str, dict[str, Any]]:
    """The records of a run, without their seconds."""
    lines = map(json.loads, Path(f"{out}.jsonl").read_text("utf-8").replace(f"{out}/", "").splitlines())
    return {line["name"]: line | {"seconds": 0} for line in lines if line["type"] == "result"}


def files(out: str) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}


def test_a_cluster_started_here_gives_the_files_and_records_of_predict(tiny_model: Path) -> None:
    Path("photos/bad.jpg").write_bytes(Path("photos/a.jpg").read_bytes()[:-300])
    local = predict(tiny_model, "local")
    cluster = predict(tiny_model, "cluster", "--engine", "ray", "--actors", "1")
    assert (local.exit_code, cluster.exit_code) == (3, 3), cluster.output
    assert files("cluster") == files("local")
    assert len(files("cluster")) == 4
    assert records("cluster") == records("local")
    assert len(records("cluster")) == 5


@pytest.mark.parametrize("address", ["127.0.0.1:1", "somewhere", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_refused_at_once(tiny_model: Path, address: str) -> None:
    result = predict(tiny_model, "out", "--engine", "ray", "--address", address)
    assert result.exit_code == 2, result.output
    assert address in result.stderr


def test_two_inputs_of_one_name_are_refused_before_a_cluster_is_asked(tiny_model: Path) -> None:
    Path("photos/a.png").write_bytes(Path("photos/b.png").read_bytes())
    result = predict(tiny_model, "out", "--engine", "ray", "--address", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "several results would be the same file" in result.stderr
    result = predict(
        tiny_model, "out", "--engine", "ray", "--address", "127.0.0.1:1", "--name", "{name}_{map}", "--dry-run"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("nodes", "asked", "threads", "share"),
    [
        ([(8, 0), (4, 0)], {}, None, (3, 4, 0)),  # three of four CPUs, on two nodes
        ([(8, 0), (4, 0)], {}, 8, (1, 8, 0)),
        ([(16, 4), (16, 0)], {}, None, (4, 4, 1)),  # one a GPU, with its part of the CPUs
        ([(16, 4)], {"gpus": 0.5}, None, (8, 2, 0.5)),
        ([(16, 4)], {"gpus": 0}, None, (1, 16, 0)),
        ([(2, 0), (0, 0)], {"actors": 5}, 1, (5, 1, 0)),  # more than there is room for: nodes may come
    ],
)
def test_a_cluster_is_divided_by_nodes_or_gpus(
    nodes: list[tuple[int, int]], asked: dict[str, Any], threads: int | None, share: tuple[float, ...]
) -> None:
    told = [{"Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in nodes]
    made = divide(told, **asked, threads=threads, device="auto")
    assert (made.actors, made.cpus, made.gpus) == share
    with pytest.raises(UsageError, match="no node of the cluster has 64 CPUs"):
        divide(told, threads=64, device="cpu")


def test_a_cluster_that_does_not_start_is_told(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", init)
    result = predict(tiny_model, "out", "--engine", "ray")
    assert result.exit_code == 4, result.output
    assert "timed out during startup" in result.stderr


@pytest.fixture
def handlers() -> Iterator[Callable[[int], None]]:
    """Handle a signal as the program does; as before at the end."""
    before = {}

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(128 + number)

    def handle(number: int) -> None:
        before[number] = signal.signal(number, interrupt)

    yield handle
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_as_ray_does(number: int) -> NoReturn:
    """A signal comes, Ray takes our handler's exception, and raises its own."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_ray_takes_keeps_its_code(
    number: signal.Signals, handlers: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    handlers(number)
    with pytest.raises(KeyboardInterrupt) as caught, join_cluster("auto"):
        wait_as_ray_does(number)
    assert interrupt_code(caught.value) == 128 + number


def test_sigterm_while_a_cluster_starts_is_an_interrupt(
    handlers: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: object, **__: object) -> None:
        ray._private.utils.set_sigterm_handler(lambda number, _: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", init)
    handlers(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, join_cluster("auto"):
        pytest.fail("joined")
    assert interrupt_code(caught.value) == 143
