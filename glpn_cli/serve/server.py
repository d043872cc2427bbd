"""The server as a process: its socket, its end, and who may connect."""

from __future__ import annotations

import ipaddress
import math
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from glpn_cli.errors import UsageError, code_of, reason_of
from glpn_cli.images import ReadOptions
from glpn_cli.pipeline.settings import ModelSettings
from glpn_cli.serve.app import AppSettings, make_app
from glpn_cli.serve.service import DepthService

_BACKLOG = 256
_HEADERS_S = 10.0


def check_access(host: str, *, token: str | None, no_auth: bool) -> None:
    """Raise UsageError where other machines can connect and nothing says who may."""
    if token is not None and no_auth:
        raise UsageError("--token-file and --no-auth exclude each other", hint="Leave one out.")
    if token is None and not no_auth and not is_loopback(host):
        raise UsageError(
            f"on {host!r} other machines can connect, and nothing says who may",
            hint="Give a secret with --token-file FILE, or say --no-auth.",
        )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run_server(
    model: ModelSettings,
    reading: ReadOptions,
    settings: AppSettings,
    *,
    address: tuple[str, int],
    queue: int,
    workers: int,
    announce: Callable[[], None],
) -> None:
    """Open the model and serve until a signal; what was taken is answered first.

    Raises UsageError for an address that cannot be listened on, before the model is opened; StoppedError where the
    service ended by itself.
    """
    listener = _listen(*address)
    with listener:
        service = DepthService(model, reading, queue=queue, workers=workers)
        config = uvicorn.Config(
            make_app(service, settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=math.ceil(settings.timeout_s),
        )
        server = _Server(config, service, headers_s=min(_HEADERS_S, settings.timeout_s))
        announce()
        server.run(sockets=[listener])
    if service.ended is not None and service.ended.stopped is not None:
        raise service.ended.stopped


class _Server(uvicorn.Server):
    """A server that ends where its service does, and waits for no client that sends its headers slowly.

    headers_s: how long a connection may be there without a request
    """

    def __init__(self, config: uvicorn.Config, service: DepthService, *, headers_s: float) -> None:
        super().__init__(config)
        self._service = service
        self._headers_s = headers_s
        self._waiting: dict[Any, tuple[Any, float]] = {}  # connection -> its last request, and since when

    async def on_tick(self, counter: int) -> bool:
        """Say whether to end; asked ten times a second."""
        self._close_slow()
        return await super().on_tick(counter) or self._service.ended is not None

    def _close_slow(self) -> None:
        """Close connections on which no request has begun for too long."""
        now, before = time.monotonic(), self._waiting
        self._waiting = {}
        connections: set[Any] = {*self.server_state.connections}  # of HTTP alone: there are no web sockets
        for connection in connections:
            last = connection.cycle
            if last is not None and not last.response_complete:
                continue
            known, since = before.get(connection, (last, now))
            self._waiting[connection] = (last, since if known is last else now)
            if now - self._waiting[connection][1] > self._headers_s:
                connection.transport.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{host!r} is no address of this machine: {reason_of(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        hint = "Choose another with --port or --host."
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason_of(error)}", hint=hint, code=code_of(error)
        ) from error
    return listener
