"""What must hold of every machine of a cluster before anything runs there: it sees what the driver sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from glpn_cli.atomic_write import new_temporary_name
from glpn_cli.distributed.worker import check_view
from glpn_cli.errors import StoppedError

_PROBE_S = 120.0


def start_probes(nodes: Sequence[Mapping[str, Any]], setup: Any) -> list[Any]:
    """Have every machine check what it sees; setup: a reference to the actors' `Setup`."""
    probe = ray.remote(num_cpus=0, max_retries=1)(check_view)
    usable = [node["NodeID"] for node in nodes if node["Resources"].get("CPU", 0) >= 1]
    places = [NodeAffinitySchedulingStrategy(each, soft=False) for each in usable]
    return [probe.options(scheduling_strategy=place).remote(setup) for place in places]


def await_probes(probes: list[Any]) -> None:
    """Wait until every machine has looked, and raise what one cannot see. A machine that has gone is no error."""
    lost: RayError | None = None
    ready, silent = ray.wait(probes, num_returns=len(probes), timeout=_PROBE_S)
    for probe in ready:
        try:
            error = ray.get(probe)
        except RayError as gone:
            lost = gone
            silent.append(probe)
        else:
            if error is not None:
                raise error
    if len(silent) == len(probes):
        why = f" within {_PROBE_S:g} s" if lost is None else f": {first_line(lost)}"
        raise StoppedError(f"no machine of the cluster answers{why}", hint="Look at it with: ray status")


@contextmanager
def mark_folders(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Empty files in folders, by which another machine knows them; they go when the run ends."""
    markers = []
    try:
        for folder in folders:
            with suppress(FileExistsError):
                folder.mkdir(parents=True, exist_ok=True)
            marker = folder / new_temporary_name()
            try:
                marker.touch()
            except OSError:
                continue  # the write itself will say so
            markers.append(marker)
        yield tuple(map(str, markers))
    finally:
        for marker in markers:
            with suppress(OSError):
                marker.unlink()


def first_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    return str(error).strip().partition("\n")[0]
