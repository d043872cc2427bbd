"""The worker's side: answer calls, and end when the parent ends, however that ends."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from glpn_cli.errors import GlpnError


def outcome_of(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, Exception | None]:
    """(what a function returned, what it raised)."""
    try:
        return function(*arguments, **named), None
    except Exception as error:  # noqa: BLE001 - it is raised in the other process
        return None, error


def serve(memory_bytes: int | None, modules: Sequence[str]) -> None:
    """Answer calls until the parent closes the socket."""
    for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)
    lifeline, incoming, outgoing = os.dup(0), os.fdopen(os.dup(1), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # whatever a library writes is lost
        os.dup2(nowhere, number)
    _end_with(lifeline)
    _limit_memory(memory_bytes)

    def send(message: Any) -> None:
        pickle.dump(message, outgoing, protocol=5)
        outgoing.flush()

    def ask(name: str, *arguments: Any) -> Any:
        send(("ask", name, arguments))
        value, error = pickle.load(incoming)  # noqa: S301 - from our parent
        if error is not None:
            raise error
        return value

    for module in modules:
        import_module(module)
    send(("ready",))
    with suppress(EOFError, ConnectionError):
        while True:
            reply: tuple[Any, Exception | None]
            try:
                function, arguments, named, asks = pickle.load(incoming)  # noqa: S301 - from our parent
            except (AttributeError, ImportError) as error:  # a function that cannot be imported here
                reply = None, error
            else:
                reply = outcome_of(function, *arguments, **named | {name: partial(ask, name) for name in asks})
            send(("done", reply[0], None if reply[1] is None else _portable(reply[1])))
            del reply  # a picture takes no memory while the next is read


def _end_with(lifeline: int) -> None:
    """Have the system end this process when its parent ends, even inside native code that never returns.

    SIGIO ends a process on Linux. Elsewhere it ends when it next reads a call.
    """
    import fcntl

    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, 0)  # hanging up is always told
    if poll.poll(0):
        sys.exit()


def _limit_memory(memory_bytes: int | None) -> None:
    """Bound the address space, leave no core files, and be the first to go where the system's memory runs out."""
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no path of a user's
        file.write("1000")


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, and of a class that the parent reads."""
    if not isinstance(error, GlpnError | OSError | MemoryError):
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    error.add_note("in a worker process: " + "".join(traceback.format_exception(error)).rstrip())
    return error


def follow_parent() -> None:
    """Make this worker of a `multiprocessing` pool leave signals to its parent, and end when that ends or is killed."""
    from multiprocessing import parent_process

    for name in ("SIGINT", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
