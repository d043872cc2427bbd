"""`glpn serve`: depth maps over HTTP."""

from __future__ import annotations

from typing import Annotated

from glpn_cli.cli.params import ModelParams, ServeParams, without

EXAMPLES = """
glpn serve                      # then open http://127.0.0.1:8000
glpn serve --host 0.0.0.0 --token-file token -m nyu
"""


def serve(server: ServeParams, model: Annotated[ModelParams, without("uncertainty")]) -> None:
    """Serve depth maps over HTTP, and a page to try it.

    A picture that is sent to /v1/depth comes back as the file that glpn predict writes, or as its JSON record. Pictures
    are decoded in separate processes. Only this machine can connect unless --host says otherwise, which needs
    --token-file or --no-auth. It needs the extra: pip install 'glpn-cli[serve]'.
    """
    from glpn_cli.cli.console import console
    from glpn_cli.errors import UsageError

    try:
        from glpn_cli.serve.server import check_access, run_server
    except ImportError as error:
        hint = "Run: pip install 'glpn-cli[serve]'"
        raise UsageError(f"the server needs more than is installed: {error.name}", hint=hint) from error

    settings = server.settings()
    check_access(server.host, token=settings.token, no_auth=server.no_auth)
    reading = server.reading()
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
