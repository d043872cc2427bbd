"""The application: its routes, the codes of its answers, and what is checked before a picture is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glpn_cli import __version__
from glpn_cli.errors import ErrorCode, GlpnError, InputError, StoppedError, UsageError, wrap_exception
from glpn_cli.pipeline.report import Outcome
from glpn_cli.serve.metrics import Metrics
from glpn_cli.serve.openapi import describe_api
from glpn_cli.serve.service import UNNAMED, DepthService
from glpn_cli.text import error_fields

STATUS_OF = {
    ErrorCode.USAGE: 400,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED: 415,
    ErrorCode.DECODE: 422,
    ErrorCode.AMBIGUOUS: 422,
    ErrorCode.CRASH: 422,
    ErrorCode.TIMEOUT: 422,
    ErrorCode.RANGE: 422,
    ErrorCode.DATA: 422,
    ErrorCode.OUT_OF_MEMORY: 422,
}
"""The status of an error about a request; all others are the server's, 500, and a stopped service's is 503."""

_RETRY_S = "1"
"""The Retry-After of a full queue, seconds."""

_READING = 64
"""Uploads that may arrive at once beyond the queue; more are refused."""

_COMMON = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_PARAMETERS = frozenset({"format", "name", "as"})
_OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
"""Paths that need no token: they tell nothing of anybody's pictures."""


@dataclass(frozen=True)
class AppSettings:
    """What the application allows.

    max_upload: bytes of a request's body
    timeout_s:  how long a body may take to arrive, and an answer to be made
    token:      what clients must send as `Authorization: Bearer`; None: nothing
    hosts:      names that the server may be called by, beside localhost and addresses
    """

    max_upload: int
    timeout_s: float
    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()


def make_app(service: DepthService, settings: AppSettings) -> Starlette:
    """The application over a service, which it closes at its own end."""
    handlers = _Handlers(service, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    routes = [
        Route("/", handlers.page),
        Route("/v1/depth", handlers.depth, methods=["POST"]),
        Route("/healthz", handlers.health),
        Route("/readyz", handlers.ready),
        Route("/metrics", handlers.metrics),
        Route("/openapi.json", handlers.openapi),
    ]
    errors: Mapping[Any, Callable[[Request, Any], Response]] = {
        GlpnError: lambda _, error: _error_response(error),
        HTTPException: lambda _, error: _plain_error(error.status_code, str(error.detail), error.headers),
        Exception: lambda _, error: _error_response(wrap_exception(error)),
    }
    guards = [Middleware(_Guard, settings=settings, metrics=handlers.counts)]
    return Starlette(routes=routes, middleware=guards, exception_handlers=dict(errors), lifespan=lifespan)


def _error_response(error: GlpnError, status: int | None = None, **headers: str) -> JSONResponse:
    """An error as JSON, with its status."""
    if status is None:
        status = 503 if isinstance(error, StoppedError) else STATUS_OF.get(error.code, 500)
    if status == 503:
        headers.setdefault("Retry-After", _RETRY_S)
    return JSONResponse(
        {"error": error_fields(error)}, status, {key.replace("_", "-"): headers[key] for key in headers}
    )


def _plain_error(status: int, message: str, headers: Mapping[str, str] | None) -> JSONResponse:
    """An error of the protocol: no such path, another method."""
    fields = {"code": ErrorCode.USAGE.value, "message": message, "hint": "See /openapi.json."}
    return JSONResponse({"error": fields}, status, headers)


class _Handlers:
    """What every path does."""

    def __init__(self, service: DepthService, settings: AppSettings) -> None:
        self._service = service
        self._settings = settings
        self._reading = 0
        self.counts = Metrics()
        self._page, self._policy = _read_page()

    async def depth(self, request: Request) -> Response:
        """Take a picture, and answer with its depth."""
        asked = request.query_params
        if unknown := set(asked) - _PARAMETERS:
            raise UsageError(f"there is no parameter {min(unknown)[:40]!r}", hint="There are format, name and as.")
        if asked.get("as", "picture") not in ("picture", "auto"):
            raise UsageError("as is picture or auto")
        kinds = request.headers.get("accept", "").lower().split(",")
        wants_json = "application/json" in (kind.partition(";")[0].strip() for kind in kinds)
        format_ = asked.get("format") or (None if wants_json else self._service.formats[0])
        if self._service.load >= self._service.queue or self._reading >= self._service.queue + _READING:
            return self._full()
        self._reading += 1
        try:
            data, name = await asyncio.wait_for(self._read(request), self._settings.timeout_s)
        except TimeoutError:
            return _late(f"the picture did not arrive within {self._settings.timeout_s:g} s", 408)
        finally:
            self._reading -= 1
        name, is_picture = asked.get("name") or name, asked.get("as") == "picture"
        started = time.perf_counter()
        answer = self._service.submit(data, name=name, format=format_, is_picture=is_picture)
        del data
        if answer is None:
            return self._full()
        outcome = await self._wait(request, asyncio.wrap_future(answer))
        if outcome is None:
            return _late(f"the picture was not done within {self._settings.timeout_s:g} s", 504)
        self.counts.time(time.perf_counter() - started)
        if outcome.error is not None:
            self.counts.fail(outcome.error.code)
            raise outcome.error
        return self._make_response(outcome, format_, wants_json=wants_json)

    async def page(self, _: Request) -> Response:
        """The page for people."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": self._policy})

    async def health(self, _: Request) -> Response:
        """Whether the process answers."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """Whether the model is open and pictures are taken."""
        return PlainTextResponse("ready\n") if self._service.is_ready else PlainTextResponse("not ready\n", 503)

    async def metrics(self, _: Request) -> Response:
        """Counts and times as Prometheus reads them."""
        text = self.counts.render(waiting=self._service.load, is_ready=self._service.is_ready)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def openapi(self, _: Request) -> Response:
        """The description of all this."""
        return JSONResponse(describe_api(self._service.formats, has_token=self._settings.token is not None))

    def _full(self) -> Response:
        message = f"the queue is full: {self._service.queue} pictures wait or are worked on"
        return _error_response(StoppedError(message, hint="Send it again in a moment."), 503)

    def _make_response(self, outcome: Outcome, format_: str | None, *, wants_json: bool) -> Response:
        if not wants_json:
            assert outcome.stdout is not None
            assert format_ is not None
            told = {"X-Warnings": ", ".join(outcome.warnings)} if outcome.warnings else None
            return Response(outcome.stdout, media_type=self._service.media_type(format_), headers=told)
        record = outcome.to_record()
        if outcome.stdout is not None:
            record["outputs"][0]["data"] = base64.b64encode(outcome.stdout).decode("ascii")
        return JSONResponse(record)

    async def _wait(self, request: Request, answer: asyncio.Future[Outcome]) -> Outcome | None:
        """The outcome; None where it took too long. Raises ClientDisconnect where the client is gone."""
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            either: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(either, timeout=self._settings.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            answer.cancel()  # where its turn has not come, it never will
            if gone.done():
                raise ClientDisconnect
            return None
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _read(self, request: Request) -> tuple[bytes, str]:
        """The picture's bytes and the name it came with: the whole body, or the one file of a form."""
        body = await self._read_body(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await _read_form(request, body)
        if not body:
            raise UsageError("the request has no body", hint="Send the bytes of a picture.")
        return body, UNNAMED

    async def _read_body(self, request: Request) -> bytes:
        most = self._settings.max_upload
        told = request.headers.get("content-length", "")
        pieces, size = [], 0
        if not (told.isascii() and told.isdigit() and int(told) > most):
            async for piece in request.stream():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    break
            else:
                return b"".join(pieces)
        raise InputError(
            f"the request has more than {most:,} bytes",
            hint="Send a smaller file, or start the server with a larger --max-upload.",
            code=ErrorCode.TOO_LARGE,
        )


async def _read_form(request: Request, body: bytes) -> tuple[bytes, str]:
    """The one file of a multipart form that has arrived. Raises UsageError."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    hint = "Send one file: curl -F file=@photo.jpg."
    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=8) as form:
            given = [each for each in form.values() if isinstance(each, UploadFile)]
            if len(given) != 1:
                raise UsageError("the form has no file", hint=hint)
            if others := [key for key, each in form.multi_items() if not isinstance(each, UploadFile)]:
                raise UsageError(
                    f"the field {others[0][:40]!r} of the form would change nothing",
                    hint="Say format, name and as in the address: /v1/depth?format=npz.",
                )
            data, name = await given[0].read(), given[0].filename or UNNAMED
    except (MultiPartException, HTTPException, ValueError, KeyError) as error:
        if isinstance(error, GlpnError):
            raise
        raise UsageError("the form cannot be read", hint=hint) from error
    if not data:
        raise UsageError("the file in the form is empty", hint=hint)
    return data, name


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _late(message: str, status: int) -> JSONResponse:
    error = InputError(message, hint="Try a smaller picture, or a larger --timeout.", code=ErrorCode.TIMEOUT)
    return _error_response(error, status, Connection="close")


class _Guard:
    """Checks of every request before its handler, headers of every answer, and its count.

    The Host must be an address or a name that the server goes by: a foreign page whose name is turned to this address
    (DNS rebinding) can then neither read nor ask. A page of another origin may not send pictures either.
    """

    def __init__(self, app: ASGIApp, *, settings: AppSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # as nginx counts clients that are gone

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name.lower() for name, _ in message["headers"]}
                more = [(key.lower().encode(), value.encode()) for key, value in _COMMON.items()]
                message["headers"] = [*message["headers"], *(each for each in more if each[0] not in names)]
            await send(message)

        request = Request(scope)
        refusal = self._refuse(request)
        try:
            with suppress(ClientDisconnect):
                await (refusal or self._app)(scope, receive, send_with_headers)
        finally:
            self._metrics.count(request.url.path if request.url.path in _PATHS else "other", status)

    def _refuse(self, request: Request) -> Response | None:
        if not is_known_host(request.headers.get("host", ""), {"localhost", *self._settings.hosts}):
            error = UsageError("the server does not go by that Host", hint="Allow it with --allow-host NAME.")
            return _error_response(error, 400)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and request.method == "POST":
            return _error_response(UsageError("another site may not send pictures"), 403)
        token = self._settings.token
        if token is not None and request.url.path not in _OPEN:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
                error = UsageError("the token is missing or wrong", hint="Send it as Authorization: Bearer TOKEN.")
                return _error_response(error, 401, **{"WWW-Authenticate": "Bearer"})
        return None


_PATHS = frozenset({"/", "/v1/depth", "/healthz", "/readyz", "/metrics", "/openapi.json"})


def is_known_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an IP address or one of some names, with or without a port."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", host)
    if match is None:
        return False
    name = match[1].strip("[]").rstrip(".").lower()
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return name in names


def _read_page() -> tuple[str, str]:
    """The page, and a policy under which it runs its own script and style and nothing else."""
    page = files("glpn_cli.serve").joinpath("page.html").read_text("utf-8").replace("{{version}}", __version__)

    def hashed(tag: str) -> str:
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert inside is not None
        return f"'sha256-{base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
