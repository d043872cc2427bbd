"""Frames are coded in a thread of their own, while the next ones are worked on."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from numpy.typing import NDArray

from glpn_cli.video.depth_clip import DepthClipWriter
from glpn_cli.video.frame import Frame
from glpn_cli.video.painted_clip import PaintedClipWriter

_MOST_WAITING = 3


class CodingThread:
    """Passes frames to a writer in another thread, which alone touches its file; a few frames wait.

    Raises the errors of the writer, up to so many frames later.
    """

    def __init__(self, writer: DepthClipWriter | PaintedClipWriter) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, "coding")
        self._waiting: deque[Future[None]] = deque()

    def write(self, frame: Frame, content: NDArray[Any]) -> None:
        """Add the numbers or the colours of one frame."""
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._writer.write, frame, content))

    def close(self, *, within_s: float | None = None) -> None:
        """Code what waits, and finish the file, also behind a frame that failed.

        within_s: how long a reader of a pipe may take; None: as long as it likes
        """
        self._waiting.append(self._pool.submit(self._writer.close))
        self._pool.shutdown(wait=False)
        finished, _ = wait(self._waiting, within_s)
        for done in [each for each in self._waiting if each in finished]:
            done.result()
