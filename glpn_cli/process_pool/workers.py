"""Worker processes: called like functions, from any thread; one that crashes or is late costs one call."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError, code_of, reason_of
from glpn_cli.process_pool.channel import Call, Channel, GarbledError, LateError, Question, Reply

if sys.platform != "win32":
    import fcntl

R = TypeVar("R")

_START_S = 120.0
"""How long a process may take to start: Python and numpy from a slow disk on a busy machine."""

_FAREWELL_S = 5.0

_PIPE_BYTES = 1 << 20
"""Of replies: a picture then takes dozens of turns to come through, not hundreds."""

_BOOT = (
    "import json, sys; sys.path[:], *rest = json.loads(sys.argv[1]); "
    "from glpn_cli.process_pool.worker import serve; serve(*rest)"
)


class _LostError(Exception):
    """A worker ended in the middle of its work; says how, in words."""

    def __init__(self, how: str, *, was_killed: bool = False) -> None:
        super().__init__(how)
        self.was_killed = was_killed


class Workers:
    """A few worker processes, started when they are first needed.

    count:        how many there may be; who wants one more waits
    timeout_s:    how long a call may take, starting not counted; None is for ever
    memory_bytes: the largest address space of each; None is as much as there is
    modules:      what they import before their first call

    Raises UsageError where the system cannot have them.
    """

    def __init__(
        self,
        count: int,
        *,
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        if sys.platform == "win32":
            raise UsageError("processes to decode in are not there on Windows yet", hint="Run without --isolate.")
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._modules = tuple(modules)
        self._free = threading.Semaphore(count)
        self._changed = threading.Condition()  # guards the two below
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._closed = threading.Event()

    def run(self, function: Callable[..., R], *arguments: Any, about: str, **named: Any) -> R:
        """What a function returns, called in a worker. What it raises, it raises here.

        function: one that can be imported; its arguments and what it returns can be pickled, and what it returns is
                  plain or of our own types
        about:    what it works on, as messages call it
        named:    more arguments; those that are functions are called here, whenever the worker wants to

        Raises InputError: E_CRASH where the worker ended meanwhile, E_TIMEOUT where it took too long and was ended.
        Raises StoppedError where no process can be started.
        """
        functions = {name: value for name, value in named.items() if callable(value)}
        plain = {name: value for name, value in named.items() if name not in functions}
        call = Call(function, arguments, plain, tuple(functions))
        with self._free:
            try:
                reply = self._answer(call, functions)
            except _LostError as error:
                raise _crash(about, error) from error
            except LateError as error:
                message = f"{about} was not read within {self._timeout_s:g} s, and was given up"
                raise InputError(message, code=ErrorCode.TIMEOUT) from error
        value: R = reply.get()
        return value

    def close(self) -> None:
        """End all workers. Calls that are being answered end as crashes, and no new ones are taken."""
        with self._changed:
            self._closed.set()
            while self._idle:
                self._end(self._idle.pop())
            for worker in self._alive:
                worker.kill()  # whoever waits for its answer sees to the rest
            self._changed.wait_for(lambda: not self._alive, _FAREWELL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self, call: Call, functions: dict[str, Callable[..., Any]]) -> Reply:
        worker = self._take()
        try:
            return self._give(worker, call, functions)
        except _LostError:
            if not worker.is_used:
                raise
            # What it did before may have broken it, so this is no one's fault until a fresh one breaks, too.
            return self._give(self._start(), call, functions)

    def _take(self) -> _Worker:
        """A worker that has nothing to do, or a new one."""
        with self._changed:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._end(worker)
        return self._start()

    def _start(self) -> _Worker:
        if self._closed.is_set():
            raise StoppedError("the run is over", code=ErrorCode.IO)
        worker = _Worker(self._memory_bytes, self._modules)
        with self._changed:
            self._alive.add(worker)
            if self._closed.is_set():
                worker.kill()  # which its user will notice
        return worker

    def _give(self, worker: _Worker, call: Call, functions: dict[str, Callable[..., Any]]) -> Reply:
        """Have a worker answer a call; one that does not is ended."""
        reply = None
        try:
            reply = worker.ask(call, functions, self._timeout_s)
        finally:
            with self._changed:
                if reply is None or self._closed.is_set():
                    self._end(worker)
                else:
                    self._idle.append(worker)
        return reply

    def _end(self, worker: _Worker) -> None:
        worker.end()
        self._alive.discard(worker)
        self._changed.notify_all()


class _Worker:
    """One process. Raises StoppedError where it cannot be started."""

    def __init__(self, memory_bytes: int | None, modules: Sequence[str]) -> None:
        try:
            hears, self._lifeline = os.pipe()
        except OSError as error:
            raise _no_start(reason_of(error), code_of(error)) from error
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very Python
                [
                    sys.executable,
                    "-P",  # nothing of the current folder is imported, not even before `_BOOT` has set the path
                    "-c",
                    _BOOT,
                    json.dumps([sys.path, hears, memory_bytes, modules]),
                ],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # it multiplies no matrices
                pass_fds=(hears,),
                start_new_session=True,  # no terminal, and none of the signals that one sends
            )
        except OSError as error:
            os.close(self._lifeline)
            raise _no_start(reason_of(error), code_of(error)) from error
        finally:
            os.close(hears)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls, self._replies = self._process.stdin, self._process.stdout
        self._channel = Channel(self._replies.fileno(), self._calls.fileno(), most_bytes=memory_bytes)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # beyond what one user may have
                fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._is_ready = False
        self.is_used = False

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def ask(self, call: Call, functions: dict[str, Callable[..., Any]], timeout_s: float | None) -> Reply:
        """What comes of a call. Raises _LostError, LateError."""
        self._wait_until_ready()
        expires = math.inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._channel.send(call)
            while isinstance(message := self._channel.receive(expires=expires), Question):
                self._channel.send(Reply.of(functions[message.name], *message.arguments))
        except (EOFError, BrokenPipeError) as error:
            raise self._lost() from error
        except GarbledError as error:
            raise _LostError("its reply was garbled") from error
        if not isinstance(message, Reply):
            raise _LostError("its reply was garbled")
        self.is_used = True
        return message

    def kill(self) -> None:
        """End the process, whatever it does, while somebody else may be waiting for its answer."""
        self._process.kill()

    def end(self) -> None:
        """End the process, and forget it. Only for whom it works, or worked last."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_S)
        self._calls.close()
        self._replies.close()
        os.close(self._lifeline)

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._channel.receive(expires=time.monotonic() + _START_S)
        except (EOFError, GarbledError) as error:
            raise _no_start(str(self._lost()), ErrorCode.IO) from error
        except LateError as error:
            raise _no_start(f"it was not ready within {_START_S:g} s", ErrorCode.IO) from error
        self._is_ready = True

    def _lost(self) -> _LostError:
        """How the process ended."""
        try:
            status = self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            return _LostError("it closed its pipes")
        if status >= 0:
            return _LostError(f"exit status {status}")
        with suppress(ValueError):
            return _LostError(signal.Signals(-status).name, was_killed=-status == signal.SIGKILL)
        return _LostError(f"signal {-status}")


def _crash(about: str, error: _LostError) -> InputError:
    hint = None
    if error.was_killed:
        hint = "The system may be short of memory: try fewer --workers, or a smaller --max-pixels."
    return InputError(f"{about} crashed the process that read it ({error})", hint=hint, code=ErrorCode.CRASH)


def _no_start(reason: str, code: ErrorCode) -> StoppedError:
    return StoppedError(
        f"no process to decode in can be started: {reason}",
        hint="Run without --isolate and --timeout, or with fewer --workers.",
        code=code,
    )
