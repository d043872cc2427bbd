"""The process of a worker: waits for work, does it, tells what came of it.

Whatever a library writes goes nowhere, and the terminal's signals are its parent's business: it ends when its parent
ends or wants it to.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from glpn_cli.errors import GlpnError
from glpn_cli.process_pool.channel import Call, Channel, GarbledError, Question, Reply

if sys.platform != "win32":
    import fcntl
    import resource


def serve(lifeline: int, memory_bytes: int | None, modules: Sequence[str]) -> None:
    """Be a worker until the parent closes the pipes.

    lifeline:     a pipe that the parent holds open and never writes to
    memory_bytes: the largest address space
    modules:      what to import before the first call
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(*_take_standard_streams(), trusts=True)
    _end_with(lifeline)
    _bound(memory_bytes)
    for module in modules:
        import_module(module)
    with suppress(EOFError, BrokenPipeError):
        channel.send(Reply("ready"))
        while True:
            channel.send(_answer(channel))


def _answer(channel: Channel) -> Reply:
    """Wait for a call, and see what comes of it."""
    try:
        call: Call = channel.receive()
    except GarbledError as error:  # of a function that cannot be imported here
        return Reply(error=_portable(error))
    named = call.named | {name: partial(_ask, channel, name) for name in call.asks}
    reply = Reply.of(call.function, *call.arguments, **named)
    return reply if reply.error is None else Reply(error=_portable(reply.error))


def _take_standard_streams() -> tuple[int, int]:
    """(where calls come from, where replies go): nobody else reads or writes these from now on."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return incoming, outgoing


def _end_with(lifeline: int) -> None:
    """Have the system end this process when its parent does, even within a decoder that never returns to Python."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    # SIGIO ends a process on Linux; on systems that ignore it, the end of the pipe of calls does, after the next reply.
    poll = select.poll()
    poll.register(lifeline, 0)  # hanging up is always told
    if poll.poll(0):
        sys.exit()


def _bound(memory_bytes: int | None) -> None:
    """No core files; no more memory than this; and where all memory runs out, this process goes before its parent."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no path of anybody's
        file.write("1000")


def _ask(channel: Channel, name: str, *arguments: Any) -> Any:
    channel.send(Question(name, arguments))
    reply: Reply = channel.receive()
    return reply.get()


def _portable(error: Exception) -> Exception:
    """The error as the other side can have it: its traceback becomes a note."""
    if not isinstance(error, GlpnError | OSError | MemoryError):
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    error.add_note("in a worker process: " + "".join(traceback.format_exception(error)).rstrip())
    return error
