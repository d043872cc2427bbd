"""Headless Chromium, driven through its own pipe: what a page does, says in its console, and looks like."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DRIVER_NOTE = "GL Driver Message (OpenGL, Performance"


def find_chromium() -> str:
    """The browser's program; the tests that ask for it fail where there is none, they are never skipped."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, f"these tests need one of {', '.join(NAMES)} on the PATH"
    return found


class Page:
    """One tab. `said` collects errors and warnings of the console, `asked` every address that was asked for."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.said: list[str] = []
        self.asked: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Ask the browser for something, and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = self._next(deadline)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer["error"]
                return answer["result"]
        raise TimeoutError(method)

    def open(self, path: Path, *, ready: str) -> float:
        """Open a file and wait until an expression is true; the seconds that this took."""
        started = time.monotonic()
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for(ready)
        return time.monotonic() - started

    def wait_for(self, expression: str, *, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < deadline, f"{expression} never came true; console: {self.said}"
            time.sleep(0.02)

    def run(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float, *, times: int = 1) -> None:
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def drag(self, x: float, y: float, right: float, down: float) -> None:
        """Press the mouse at a place, move it, and let go."""
        for kind, share in (("mousePressed", 0), ("mouseMoved", 0.5), ("mouseMoved", 1), ("mouseReleased", 1)):
            place = {"x": x + share * right, "y": y + share * down}
            self.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)

    def wheel(self, x: float, y: float, down: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=down)

    def press(self, key: str) -> None:
        codes = {"Escape": 27}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes.get(key, 0))

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._reader], [], [], max(0, deadline - time.monotonic()))[0], "no answer"
            data = os.read(self._reader, 1 << 20)
            assert data, "the browser is gone"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.said.append(json.dumps(message["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if message["params"]["type"] in ("error", "warning", "assert"):
                self.said.append(json.dumps(message["params"]["args"]))
            case "Log.entryAdded" if _DRIVER_NOTE in message["params"]["entry"]["text"]:
                pass  # a screenshot of a canvas is slow without a graphics card
            case "Log.entryAdded" if message["params"]["entry"]["level"] in ("error", "warning"):
                self.said.append(message["params"]["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"][:100])
        return message


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A browser with a fresh profile, and no network but this machine's own."""
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    command = (
        f'exec "$0" --headless=new --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage '
        f"--enable-unsafe-swiftshader "
        f"--host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --force-device-scale-factor=1 --hide-scrollbars "
        f"--user-data-dir='{profile}' --window-size={width},{height} --remote-debugging-pipe "
        f"3<&{to_browser} 4>&{from_browser}"
    )
    process = subprocess.Popen(
        ["/bin/bash", "-c", command, find_chromium()],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(to_us, from_us)
    finally:
        process.terminate()
        process.wait(20)
        os.close(to_us)
        os.close(from_us)
