"""`predict --engine ray` on a cluster of two nodes does what `predict` does, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moody_stages
import pytest
from conftest import make_rgb
from moody_stages import MoodyStages
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.atomic_write import is_temporary
from glpn_cli.cli import app

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="a cluster needs the extra [ray]"),
    pytest.mark.filterwarnings("ignore"),  # Ray leaves files open, and warns of changes to come
]

TORCH = ("--threads", "1", "--precision", "fp32")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU each, whose processes find the tests, too."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1]))))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made
        made.shutdown()


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a model."""
    shutil.copytree(tiny_model, tmp_path / "tiny")
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add_pictures(*names: str, size: tuple[int, int] = (48, 64)) -> None:
    for seed, name in enumerate(names):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_rgb(*size, seed=seed)).save(path)
        os.utime(path, (1_600_000_000, 1_600_000_000))


def words(out: str, *more: str) -> list[str]:
    return ["predict", "photos", "-m", "tiny", "-o", out, *TORCH, "--report", f"{out}.jsonl", *more]


def predict(out: str, *more: str) -> Result:
    return CliRunner().invoke(app, words(out, *more), catch_exceptions=False)


def on(cluster: Cluster) -> tuple[str, ...]:
    return ("--engine", "ray", "--address", cluster.address)


def records(out: str) -> dict[str, dict[str, Any]]:
    """The records of a run, without their seconds; fails where an input is told twice."""
    lines = [json.loads(line) for line in Path(f"{out}.jsonl").read_text("utf-8").splitlines()]
    found = [line for line in lines if line["type"] == "result"]
    assert Counter(line["name"] for line in found).most_common(1)[0][1] == 1
    return {line["name"]: {key: line[key] for key in line if key != "seconds"} for line in found}


def files(out: str) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}


def local_then_ray(cluster: Cluster, *more: str) -> tuple[Result, Result]:
    """The same run by both engines, into `out`; the local one's files are moved to `local` then."""
    local = predict("out", *more)
    Path("out").rename("local")
    Path("out.jsonl").rename("local.jsonl")
    return local, predict("out", *on(cluster), *more)


def test_good_and_bad_pictures_give_the_files_and_records_of_predict(cluster: Cluster, place: Path) -> None:
    add_pictures(*(f"{'sub/' if index % 3 else ''}p{index:02}.{'png' if index % 2 else 'jpg'}" for index in range(40)))
    whole = Path("photos/p00.jpg").read_bytes()
    bad = {
        "cut.jpg": whole[:-300],
        "empty.png": b"",
        "text.jpg": b"no picture\n",
        "lfs.png": b"version https://git-lfs",
    }
    for name, data in bad.items():
        Path("photos", name).write_bytes(data)
    Path("photos/gone.jpg").symlink_to("nowhere.jpg")
    local, ray = local_then_ray(cluster, "--isolate", "-f", "png16,npy")
    assert (local.exit_code, ray.exit_code) == (3, 3), ray.output
    assert files("out") == files("local")
    assert records("out") == records("local")
    assert len(records("out")) == 45
    assert sorted(ray.stdout.splitlines()) == sorted(local.stdout.splitlines())
    # Either engine skips what the other has made.
    for more in ((), on(cluster)):
        again = predict("out", "--isolate", "-f", "png16,npy", *more)
        assert again.exit_code == 3, again.output
        assert Counter(each["status"] for each in records("out").values()) == {"skipped": 40, "error": 5}


def test_a_picture_that_kills_its_actor_is_one_error(
    cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glpn_cli.pipeline.run.Stages", MoodyStages)
    add_pictures("kill_a.png", "once_b.png", *(f"p{index}.png" for index in range(8)))
    ray = predict("out", *on(cluster), "--json")
    assert ray.exit_code == 3, ray.output
    made = records("out")
    assert made["kill_a.png"]["error"]["code"] == "E_CRASH"
    assert {name for name, record in made.items() if record["status"] == "ok"} == made.keys() - {"kill_a.png"}
    assert [json.loads(line)["type"] for line in ray.stdout.splitlines()] == ["result"] * 10 + ["summary"]
    assert len(files("out")) == 9


def when_at_work(act: Callable[[int], None]) -> threading.Thread:
    """Call `act` with the process of an actor, once there is one that works."""

    def watch() -> None:
        while not Path("pids").exists() or not (text := Path("pids").read_text()).endswith("\n"):
            time.sleep(0.05)
        act(int(text.splitlines()[0]))

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_an_actor_that_is_killed_costs_nothing(cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glpn_cli.pipeline.run.Stages", MoodyStages)
    add_pictures(*(f"slow_{index}.png" for index in range(12)))
    killer = when_at_work(lambda pid: os.kill(pid, signal.SIGKILL))
    ray = predict("out", *on(cluster))
    killer.join()
    assert ray.exit_code == 0, ray.output
    assert [record["status"] for record in records("out").values()] == ["ok"] * 12
    assert len(files("out")) == 12


def test_a_node_that_is_killed_costs_nothing(cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glpn_cli.pipeline.run.Stages", MoodyStages)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1]))))
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    add_pictures(*(f"slow_{index:02}.png" for index in range(30)))
    killer = when_at_work(lambda _: lost.kill_raylet())
    ray = predict("out", *on(cluster))
    killer.join()
    assert ray.exit_code == 0, ray.output
    assert [record["status"] for record in records("out").values()] == ["ok"] * 30
    assert len(files("out")) == 30


def start(cluster: Cluster, out: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own, at work."""
    code = (
        "import glpn_cli.pipeline.run as run, moody_stages; run.Stages = moody_stages.MoodyStages\n"
        f"import sys; sys.argv[1:] = {words(out, *on(cluster))!r}\n"
        "from glpn_cli.cli import main; main()"
    )
    path = os.pathsep.join([str(Path(moody_stages.__file__).parent), os.environ["PYTHONPATH"]])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not Path("pids").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_run_with_its_code(cluster: Cluster, place: Path, number: signal.Signals) -> None:
    add_pictures(*(f"slow_{index:02}.png" for index in range(60)))
    process = start(cluster, "out")
    time.sleep(1)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told
    assert b"run the same command again" in told
    made = records("out")
    assert 0 < len(made) < 60
    assert {record["status"] for record in made.values()} == {"ok"}
    assert len(made) == len(files("out"))
    assert not any(is_temporary(path.name) for path in Path("out").rglob("*"))
    again = predict("out", *on(cluster))
    assert again.exit_code == 0, again.output
    assert len(files("out")) == 60


def test_a_driver_that_is_killed_leaves_whole_files_alone(cluster: Cluster, place: Path) -> None:
    add_pictures(*(f"slow_{index:02}.png" for index in range(20)))
    process = start(cluster, "out")
    time.sleep(1)
    process.kill()
    process.communicate(timeout=60)
    time.sleep(5)  # Ray ends the actors of a driver that is gone
    again = predict("out", *on(cluster))
    assert again.exit_code == 0, again.output
    assert {record["status"] for record in records("out").values()} <= {"ok", "skipped"}
    assert len(records("out")) == 20
    assert len([path for path in files("out") if not is_temporary(Path(path).name)]) == 20


def test_a_folder_that_the_machines_do_not_see_is_refused(
    cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures("a.png")
    monkeypatch.setattr("glpn_cli.distributed.engine.mark_folders", unseen_folders)
    ray = predict("out", *on(cluster))
    assert ray.exit_code == 2, ray.output
    assert "does not see" in ray.stderr
    assert "E_NOT_FOUND" in ray.stderr
    assert not Path("out").exists()


class unseen_folders:  # noqa: N801 - stands for a function
    def __init__(self, tasks: object) -> None:
        pass

    def __enter__(self) -> tuple[str, ...]:
        return (str(Path("elsewhere/x").absolute()),)

    def __exit__(self, *error: object) -> None:
        pass


def test_a_disk_that_is_full_stops_the_run(cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glpn_cli.pipeline.run.Stages", moody_stages.OnFullDisk)
    add_pictures(*(f"p{index}.png" for index in range(6)))
    ray = predict("out", *on(cluster))
    assert ray.exit_code == 4, ray.output
    assert "E_NOSPACE" in ray.stderr
    assert "run the same command again" in ray.stderr
    assert files("out") == {}


def test_a_list_is_planned_by_the_actors(cluster: Cluster, place: Path) -> None:
    names = [f"sub{index % 3}/p{index:02}.png" for index in range(20)]
    add_pictures(*names)
    Path("list").write_text("".join(f"photos/{name}\n" for name in (*names, "gone.png")))
    listed = ["predict", "--files-from", "list", "-m", "tiny", *TORCH]
    runner = CliRunner()
    local = runner.invoke(app, [*listed, "-o", "local", "--report", "local.jsonl"])
    ray = runner.invoke(app, [*listed, "-o", "out", "--report", "out.jsonl", *on(cluster)])
    assert (local.exit_code, ray.exit_code) == (3, 3), ray.output
    assert files("out") == files("local")
    assert records("out").keys() == records("local").keys()
    again = runner.invoke(app, [*listed, "-o", "out", "--report", "out.jsonl", *on(cluster)])
    assert again.exit_code == 3
    assert Counter(each["status"] for each in records("out").values()) == {"skipped": 20, "error": 1}
