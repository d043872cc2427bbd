"""What goes wrong with a task, as an error of ours that names it, and without all that it holds on to."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from threading import Thread

from glpn_cli.errors import ErrorCode, StoppedError


def out_of_memory(error: MemoryError) -> StoppedError:
    """What to tell when there is no memory left for the run itself."""
    known = StoppedError(
        "out of memory", hint="Try a smaller --input-size, or fewer --workers.", code=ErrorCode.OUT_OF_MEMORY
    )
    known.__cause__ = error
    return known


def start_thread(work: Callable[[], object]) -> Thread:
    """A daemon that does a piece of work. Raises StoppedError where the system starts no more threads."""
    thread = Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise StoppedError(
            "the system starts no more threads",
            hint="Try fewer --workers and --threads, or run less at once.",
            code=ErrorCode.OUT_OF_MEMORY,
        ) from error
    return thread


def forget_locals(error: BaseException) -> None:
    """Let go of what the functions held that an error came through: pictures, and all that a network had computed."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
