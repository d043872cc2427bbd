"""`glpn serve`: depth maps over HTTP."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from glpn_cli.cli.groups import without
from glpn_cli.cli.params import ModelParams
from glpn_cli.errors import UsageError
from glpn_cli.options import option, parse_count
from glpn_cli.pipeline.settings import limit_decoding

if TYPE_CHECKING:
    from glpn_cli.images import ReadOptions
    from glpn_cli.serve.app import AppSettings

_SHORTEST_TOKEN = 16

EXAMPLES = """
glpn serve                      # then open http://127.0.0.1:8000
glpn serve --host 0.0.0.0 --token-file token -m nyu
"""


@dataclass(frozen=True, kw_only=True)
class _ServeParams:
    """Where a server listens, who may ask it, and how much they may ask."""

    PANEL = "Server"

    host: str = option("--host ADDRESS", "127.0.0.1", "Address to listen on.")
    port: int = option("--port N", 8000, "Port to listen on.", min=1, max=65535)
    token_file: Path | None = option(
        "--token-file FILE", None, "File with the secret that clients send as Authorization: Bearer."
    )
    no_auth: bool = option("--no-auth", False, "Answer other machines without a secret.")
    allow_host: list[str] | None = option(
        "--allow-host NAME", None, "A name that clients call the server by; can be given more than once."
    )
    max_upload: int = option(
        "--max-upload BYTES", 64 * 10**6, "Refuse larger requests.", parser=parse_count, show_default="64M"
    )
    max_pixels: int = option(
        "--max-pixels N", 50 * 10**6, "Refuse pictures with more pixels.", parser=parse_count, show_default="50M"
    )
    queue: int = option("--queue N", 32, "Pictures that wait or are worked on; others get 503.", min=1, max=10_000)
    timeout: float = option(
        "--timeout SECONDS", 60.0, "Give up on a picture that takes longer to arrive, or to be done.", show_default="60"
    )
    workers: int | None = option(
        "--workers N", None, "Processes that decode.", min=1, max=256, show_default="one per core"
    )

    @property
    def processes(self) -> int:
        """The number of decoding processes."""
        from glpn_cli.devices import cores

        return self.workers or cores()

    def settings(self) -> AppSettings:
        """The limits of the application. Raises UsageError."""
        from glpn_cli.serve.app import AppSettings

        if not 0 < self.timeout < math.inf:
            raise UsageError(f"--timeout {self.timeout:g} is no time", hint="Give seconds, such as --timeout 30.")
        names = frozenset(name.lower() for name in self.allow_host or ())
        return AppSettings(self.max_upload, self.timeout, self._read_token(), names)

    def choose_reading(self) -> ReadOptions:
        """How uploads are decoded: in isolated processes, with bounds on pixels, memory and time."""
        from glpn_cli.images import ReadOptions

        workers = limit_decoding(
            self.processes,
            timeout_s=self.timeout,
            max_pixels=self.max_pixels,
            modules=("glpn_cli.pipeline.sources",),
        )
        return ReadOptions(self.max_pixels, workers=workers)

    def _read_token(self) -> str | None:
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token file {str(self.token_file)!r} cannot be read") from error
        if len(token) < _SHORTEST_TOKEN:
            hint = "Make one with: openssl rand -hex 32 > FILE"
            raise UsageError(f"the token has under {_SHORTEST_TOKEN} characters", hint=hint)
        return token


def serve(server: _ServeParams, model: Annotated[ModelParams, without("uncertainty")]) -> None:
    """Serve depth maps over HTTP, and a page to try it.

    A picture that is sent to /v1/depth comes back as the file that glpn predict writes, or as its JSON record. Pictures
    are decoded in separate processes. Only this machine can connect unless --host says otherwise, which needs
    --token-file or --no-auth. Install it by: pip install 'glpn-cli[serve]'.
    """
    from glpn_cli.cli.console import console

    try:
        from glpn_cli.serve.server import check_access, run_server
    except ImportError as error:
        hint = "Run: pip install 'glpn-cli[serve]'"
        raise UsageError(f"the server needs more than is installed: {error.name}", hint=hint) from error

    settings = server.settings()
    check_access(server.host, token=settings.token, no_auth=server.no_auth)
    reading = server.choose_reading()
    recipe = model.resolve(view=reading.view)
    where = f"http://{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}"

    def announce() -> None:
        console.note(f"{recipe.model.name} is open; serving on {where} (Ctrl-C ends it)")

    run_server(
        model.settings(recipe),
        reading,
        settings,
        address=(server.host, server.port),
        queue=server.queue,
        workers=server.processes,
        announce=announce,
    )
