"""`glpn serve` as a process: its end, clients that go, many at once, and its page in a browser."""

from __future__ import annotations

import http.client
import io
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import chromium
from conftest import make_rgb
from PIL import Image

pytest.importorskip("starlette", reason="the server needs the extra [serve]")


def png(height: int = 48, width: int = 64) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(make_rgb(height, width)).save(stream, "PNG")
    return stream.getvalue()


PNG = png()


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def ask(self, path: str = "/v1/depth?format=png16", body: bytes | None = PNG, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def begin(self, head: str, body: bytes) -> socket.socket:
        """A request that is sent only so far."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.sendall(f"POST /v1/depth HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n".encode() + body)
        return client

    @property
    def memory_mb(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "glpn_cli", "serve", "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving on" in line:
                break
        else:
            raise AssertionError("the server did not start")
        yield Server(process, port)
    finally:
        process.kill()
        process.wait(20)
        process.stderr.close()


def test_clients_that_go_or_stall_hurt_no_other_and_sigterm_answers_what_was_taken(tiny_model: Path) -> None:
    with serving("-m", str(tiny_model), "--timeout", "6") as server:
        length = f"Content-Length: {len(PNG)}"
        server.begin(length, PNG).close()  # gone before its answer
        server.begin(length, PNG[:100]).close()  # gone while it sends
        slow = server.begin(length, PNG[:100])
        silent = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        silent.sendall(b"POST /v1/depth HTTP/1.1\r\nHost: 127")
        assert server.ask()[0] == 200
        assert b" 408 " in slow.recv(1000).partition(b"\r\n")[0]
        slow.close()
        assert silent.recv(1000) == b""  # its headers never end
        silent.close()
        large = png(300, 300)
        answers: list[tuple[int, bytes]] = []
        threads = [threading.Thread(target=lambda: answers.append(server.ask(body=large))) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while b"glpn_queue_length 0" in server.ask("/metrics", None)[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert {status for status, _ in answers} <= {200}
        assert server.process.wait(30) == 143


@pytest.mark.soak
def test_64_clients_for_a_minute_take_flat_memory_and_beyond_the_queue_503_at_once(
    tiny_model: Path, tmp_path: Path
) -> None:
    with serving("-m", str(tiny_model), "--queue", "32", "--device", "cpu") as server:
        statuses: Counter[int] = Counter()
        refusals: list[float] = []
        bodies = set()
        end = time.monotonic() + 60

        def ask() -> None:
            while time.monotonic() < end:
                started = time.monotonic()
                status, body = server.ask()
                statuses[status] += 1
                if status == 503:
                    refusals.append(time.monotonic() - started)
                    time.sleep(0.05)
                else:
                    bodies.add(body)

        threads = [threading.Thread(target=ask) for _ in range(64)]
        for thread in threads:
            thread.start()
        time.sleep(15)
        early = server.memory_mb
        for thread in threads:
            thread.join(60)
        late = server.memory_mb
        found = f"{dict(statuses)}, median 503 {statistics.median(refusals):.3f} s, {early:.0f} -> {late:.0f} MB"
        (tmp_path / "found.txt").write_text(found)
        assert set(statuses) == {200, 503}
        assert len(bodies) == 1
        assert late < early + 30


SEND = """(async () => {
  const canvas = document.createElement("canvas"); canvas.width = 320; canvas.height = 240;
  const pen = canvas.getContext("2d"), sky = pen.createLinearGradient(0, 0, 320, 240);
  sky.addColorStop(0, "#e07030"); sky.addColorStop(1, "#204060"); pen.fillStyle = sky; pen.fillRect(0, 0, 320, 240);
  pen.fillStyle = "#eee"; pen.fillRect(90, 80, 70, 120);
  const painted = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const blob = NAME.endsWith(".png") ? painted : new Blob(["no picture"]);
  const data = new DataTransfer(); data.items.add(new File([blob], NAME));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  return true;
})()"""


@pytest.mark.browser
def test_the_page_takes_a_dropped_picture_reads_metres_and_tells_errors(tmp_path: Path) -> None:
    shots = Path(os.environ.get("GLPN_SCREENSHOTS", tmp_path))
    with serving() as server, chromium(tmp_path / "profile") as page:
        page.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.readyState === 'complete' && document.querySelectorAll('#format option').length > 3")
        page.run(SEND.replace("NAME", '"room.png"'))
        page.wait_for("!document.getElementById('result').hidden")
        metres = "document.getElementById('metres').textContent"
        assert re.fullmatch(r"\d+\.\d\d m at 160, 120", page.run(metres))
        assert page.run("document.activeElement.id") == "depth"
        page.press("ArrowRight")
        page.press("ArrowDown")
        assert page.run(metres).endswith("at 161, 121")
        x, y = page.run("(() => { const b = depth.getBoundingClientRect(); return [b.left + 20, b.top + 20]; })()")
        page.move(x, y)
        page.wait_for(f"!{metres}.endsWith('at 161, 121')")
        page.screenshot(shots / "light.png")
        page.run("HTMLAnchorElement.prototype.click = function () { window.saved = this.download; }; save.click()")
        page.wait_for("window.saved === 'room_depth.png'")
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
        page.screenshot(shots / "dark.png")
        assert page.said == []
        page.run(SEND.replace("NAME", '"notes.txt"'))
        page.wait_for("document.getElementById('error').textContent.length > 10")
        assert page.run("document.getElementById('result').hidden")
        page.screenshot(shots / "error.png")
        here = (f"http://127.0.0.1:{server.port}/", "blob:", "data:")
        assert all(address.startswith(here) for address in page.asked), page.asked
