"""A Ray cluster: one that runs, or one that is started here and ends with the run."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray

from glpn_cli.devices import cores
from glpn_cli.errors import ErrorCode, StoppedError, UsageError, reason_of

_OBJECT_STORE_BYTES = 100 << 20
"""Shared memory of a cluster started here. Only names and records go through it."""


_ANSWER_S = 10.0


@dataclass(frozen=True)
class _Share:
    """How a cluster is divided: so many actors, each with so many CPUs and GPUs."""

    actors: int
    cpus: int
    gpus: float


@contextmanager
def join_cluster(address: str | None) -> Iterator[None]:
    """Be a driver of the cluster at an address, or of one that is started here, and leave or end it.

    Our signal handlers stay, an interrupt has the code that they give it, and Ray prints nothing: standard output
    carries results. A cluster that is started here listens to this machine alone, lets in only who has its token, has
    no dashboard, and reports no usage.

    Raises UsageError where there is no cluster at the address, StoppedError where none can be started.
    """
    if address is not None:
        _check_reachable(address)
        with _own_signals(), _connect(address, {}):
            yield
        return
    options = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    with _own_signals(), _on_this_machine_alone(), _connect(None, options):
        yield


def _check_reachable(address: str) -> None:
    """Raise UsageError for an address where nothing listens, which Ray would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address!r} is neither auto nor HOST:PORT", hint="Write for example head:6379.")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        hint = "Start one with: ray start --head"
        raise UsageError(f"there is no Ray cluster at {address!r}: {reason}", hint=hint) from error


@contextmanager
def _connect(address: str | None, options: dict[str, Any]) -> Iterator[None]:
    ray._private.worker._worker_logs_enabled = False  # or deaths of actors are told on standard output
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # Ray raises a bare one where a node takes more than 30 s to start
        reason = str(error).partition("\n")[0].rstrip(".")
        if address is None:
            raise StoppedError(f"no Ray cluster can be started here: {reason}", code=ErrorCode.IO) from error
        hint = "Start one with: ray start --head"
        raise UsageError(f"there is no Ray cluster at {address!r}: {reason}", hint=hint) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep Ray from handling SIGTERM, which it answers with exit code 15, and keep the code of an interrupt.

    While Ray waits it takes the KeyboardInterrupt of our handler, and raises one of its own without our exit code.
    """
    known = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in known.items() if callable(handler)}
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, hear)
    names = ray._private.utils
    set_by_ray, names.set_sigterm_handler = names.set_sigterm_handler, lambda _: None
    try:
        yield
    except KeyboardInterrupt as error:
        if heard and not error.args:
            raise KeyboardInterrupt(128 + heard[0]) from error
        raise
    finally:
        names.set_sigterm_handler = set_by_ray
        for number, handler in handlers.items():
            if signal.getsignal(number) is hear:  # else the first interrupt has set another
                signal.signal(number, handler)


@contextmanager
def _on_this_machine_alone() -> Iterator[None]:
    """Inside, a cluster that is started listens to 127.0.0.1 alone, and lets in only who has this run's token."""
    constants = ray._private.ray_constants
    spans_machines, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    settings = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # not 15, which beside other work takes twice as long as `predict`
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ |= settings
    _read_environment_again()
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = spans_machines
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
        _read_environment_again()


def _read_environment_again() -> None:
    """Make Ray forget what it read of authentication when it was imported."""
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


def divide(
    nodes: Sequence[Mapping[str, Any]],
    *,
    actors: int | None = None,
    gpus: float | None = None,
    threads: int | None,
    device: str,
) -> _Share:
    """How many actors, and how much of a node each of them takes.

    actors, gpus: as of `ClusterEngine`

    Without numbers an actor takes a node's CPUs, or with GPUs one of them and its share of the CPUs: it computes and
    decodes on all of them, as `predict` does on one machine, and has the model in memory once.

    Raises UsageError where the cluster has no room for one.
    """
    sizes = [(int(each["Resources"].get("CPU", 0)), each["Resources"].get("GPU", 0.0)) for each in nodes]
    if gpus is None:
        gpus = 1.0 if device not in ("cpu", "mps") and any(has for _, has in sizes) else 0.0
    usable = [(cpus, int(has / gpus) if gpus else 1) for cpus, has in sizes if cpus >= 1 and has >= gpus]
    cpus = threads or min((max(1, cpus // places) for cpus, places in usable), default=1)
    room = sum(min(has // cpus, places) if gpus else has // cpus for has, places in usable)
    if room == 0:
        asked = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise UsageError(
            f"no node of the cluster has {asked} for an actor", hint="Ask for less with --threads or --gpus-per-actor."
        )
    return _Share(actors or room, cpus, gpus)
