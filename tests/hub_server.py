"""A hub of one process: answers the few requests that downloading a model takes, truthfully or not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tiny_checkpoints import COMMIT, blob_name


class HubServer(ThreadingHTTPServer):
    """repositories: OWNER/NAME -> file -> bytes. behaviour: hub, portal, broken, corrupt, closing, short, gated,
    page for weights, broken weights. delay_s: before every answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.commit = COMMIT
        self.behaviour = "hub"
        self.delay_s = 0.0
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[HubServer]:
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        time.sleep(self.server.delay_s)
        if self.server.behaviour == "portal":
            self._send(200, b"<!DOCTYPE html><html>Please log in</html>", {"Content-Type": "text/html"})
        elif self.server.behaviour == "broken":
            self._send(500, b"out of order", {})
        elif path.startswith("/api/models/") and "/tree/" in path:
            self._send_tree(path.removeprefix("/api/models/").split("/tree/")[0])
        elif path.startswith("/api/models/"):
            self._send_info(path.removeprefix("/api/models/").split("/revision/")[0])
        else:
            repository, _, rest = path.strip("/").partition("/resolve/")
            self._send_file(repository, rest.partition("/")[2])

    def _send_info(self, repository: str) -> None:
        files = self.server.repositories.get(repository)
        if files is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        if self.server.behaviour == "gated":
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return
        info = {
            "id": repository,
            "sha": self.server.commit,
            "siblings": [{"rfilename": name, "size": len(data)} for name, data in files.items()],
            "cardData": {"license": "apache-2.0"},
            "tags": ["license:apache-2.0"],
        }
        self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _send_tree(self, repository: str) -> None:
        files = self.server.repositories.get(repository, {})
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": blob_name(name, data)}
            for name, data in files.items()
        ]
        self._send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})

    def _send_file(self, repository: str, name: str) -> None:
        data = self.server.repositories.get(repository, {}).get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{blob_name(name, data)}"', "X-Repo-Commit": self.server.commit}
        if name.endswith(".safetensors") and self.server.behaviour == "corrupt":
            data = bytes([data[-1] ^ 1]).join([data[:-1], b""])
        is_weights = name.endswith(".safetensors")
        if is_weights and self.server.behaviour == "broken weights":
            self._send(503, b"come back later", {})
            return
        if is_weights and self.server.behaviour == "page for weights":
            data = b"<!DOCTYPE html><html>Please log in</html>".ljust(len(data))
        self._send(200, data, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        is_cut = self.server.behaviour in ("closing", "short")
        if is_cut and "/resolve/" in self.path and ".safetensors" in self.path:
            self.wfile.write(body[: len(body) // 2 if self.server.behaviour == "closing" else -1])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)
