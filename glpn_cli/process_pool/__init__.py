"""Call functions in worker processes: one that crashes, hangs or takes too much memory costs one call.

A worker imports only what its work needs (never torch), holds no terminal, leaves signals to its parent, and ends when
its parent ends, however that ends. It protects a run from broken decoders; it is no sandbox against an attacker.

Not `concurrent.futures`: there a crash breaks the whole pool, a call cannot be ended, and a worker runs `__main__`.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError, code_of, reason_of
from glpn_cli.process_pool.worker import outcome_of

_R = TypeVar("_R")

_START_S = 120.0
"""How long a process may take to start: Python and numpy from a slow disk on a busy machine."""

_TRANSFER_S = 60.0
"""How long a reply may take to arrive once it has begun."""

_END_S = 5.0
_SOCKET_BYTES = 1 << 20
_BOOT = (
    "import json, sys; sys.path[:], *rest = json.loads(sys.argv[1]); "
    "from glpn_cli.process_pool.worker import serve; serve(*rest)"
)
_PIECE_BYTES = 1 << 20
_ARRAYS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class _LostError(Exception):
    """A worker ended in the middle of a call; says how."""


class _LateError(Exception):
    """A worker did not answer in time."""


class Workers:
    """A few worker processes, each started when it is first needed.

    count:        the most that run at once; further calls wait
    timeout_s:    how long a call may take, without the start of its process; None: no limit
    memory_bytes: the address space of each; None: no limit
    modules:      what they import before their first call

    Raises UsageError on Windows.
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
            raise UsageError("Windows has no worker processes to decode in yet", hint="Run without --isolate.")
        self._asked: dict[str, Any] = {"timeout_s": timeout_s, "memory_bytes": memory_bytes, "modules": modules}
        self._count = count
        self._timeout_s = timeout_s
        self._start_options = (memory_bytes, tuple(modules))
        self._free = threading.Semaphore(count)
        self._lock = threading.Lock()  # guards the three below
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._is_closed = False

    def run(self, function: Callable[..., _R], *arguments: Any, about: str, **named: Any) -> _R:
        """Call a function in a worker: return what it returns, raise what it raises.

        function: importable; its arguments can be pickled; it returns plain values, arrays or our dataclasses
        about:    what it works on, for messages
        named:    more arguments; functions among them stay here and are called here when the worker asks

        Raises InputError: E_CRASH where the worker ended, E_TIMEOUT where it took too long and was ended.
        Raises StoppedError where no process can be started.
        """
        functions = {name: value for name, value in named.items() if callable(value)}
        plain = {name: value for name, value in named.items() if name not in functions}
        call = (function, arguments, plain, tuple(functions))
        with self._free:
            try:
                worker = self._take()
                try:
                    value, error = self._call(worker, call, functions)
                except _LostError:
                    if not worker.is_used:
                        raise
                    # An earlier file may have damaged that process: blame this one only if a fresh process dies too.
                    value, error = self._call(self._start(), call, functions)
            except _LostError as lost:
                hint = "The system may be short of memory: try fewer --workers, or a smaller --max-pixels."
                raise InputError(
                    f"{about} crashed the process that read it ({lost})",
                    hint=hint if str(lost) == "SIGKILL" else None,
                    code=ErrorCode.CRASH,
                ) from lost
            except _LateError as late:
                message = f"{about} was not read within {self._timeout_s:g} s, and was given up"
                raise InputError(message, code=ErrorCode.TIMEOUT) from late
        if error is not None:
            raise error
        result: _R = value
        return result

    def with_count(self, count: int) -> Workers:
        """As many others, with the same limits."""
        return Workers(count, **self._asked)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings alone: where they arrive, processes are started anew."""
        return partial(Workers, **self._asked), (self._count,)

    def close(self) -> None:
        """End all workers. Calls in progress end as crashes; later ones raise StoppedError."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            busy = self._alive.difference(idle)
        for worker in busy:
            worker.process.kill()  # the thread that waits for its answer does the rest
        for worker in idle:
            worker.end()
        for worker in busy:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(_END_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start()
            if worker.process.poll() is None:
                return worker
            self._end(worker)

    def _start(self) -> _Worker:
        with self._lock:
            if self._is_closed:
                raise StoppedError("the run is over", code=ErrorCode.IO)
            worker = _Worker(*self._start_options)
            self._alive.add(worker)
        return worker

    def _call(self, worker: _Worker, call: Any, functions: dict[str, Callable[..., Any]]) -> tuple[Any, Any]:
        reply = None
        try:
            reply = worker.call(call, functions, self._timeout_s)
        finally:
            with self._lock:
                is_reusable = reply is not None and not self._is_closed
                if is_reusable:
                    self._idle.append(worker)
            if not is_reusable:
                self._end(worker)
        return reply

    def _end(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)


class _Worker:
    """One process, and this end of its socket. Raises StoppedError where it cannot be started."""

    def __init__(self, memory_bytes: int | None, modules: Sequence[str]) -> None:
        self.is_used = False
        self._is_ready = False
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                self.process = subprocess.Popen(  # noqa: S603 - this very Python
                    # -P: import nothing from the current folder
                    [sys.executable, "-P", "-c", _BOOT, json.dumps([sys.path, memory_bytes, modules])],
                    stdin=subprocess.PIPE,  # carries nothing: it closes when this process ends
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    start_new_session=True,  # no terminal, and none of its signals
                )
                self._calls, self._replies = ours.makefile("wb"), ours.makefile("rb")
        except OSError as error:
            raise _start_error(reason_of(error), code_of(error)) from error

    def call(self, call: Any, functions: dict[str, Callable[..., Any]], timeout_s: float | None) -> tuple[Any, Any]:
        """(value, exception or None) of a call. Raises _LostError, _LateError."""
        self._wait_until_ready()
        expires = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._send(call)
            kind, *content = self._receive(expires)
            if kind == "done":
                self.is_used = True
                value, error = content
                return value, error
            name, arguments = content
            call = outcome_of(functions[name], *arguments)

    def end(self) -> None:
        """End the process and close its pipes. Only for the thread that it works for."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        assert self.process.stdin is not None
        for file in (self._calls, self._replies, self.process.stdin):
            with suppress(OSError):
                file.close()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._receive(time.monotonic() + _START_S)
        except _LostError as error:
            raise _start_error(str(error), ErrorCode.IO) from error
        except _LateError as error:
            raise _start_error(f"it was not ready within {_START_S:g} s", ErrorCode.IO) from error
        self._is_ready = True

    def _send(self, message: Any) -> None:
        try:
            pickle.dump(message, self._calls, protocol=5)
            self._calls.flush()
        except ConnectionError as error:
            raise _LostError(self._how_it_ended()) from error

    def _receive(self, expires: float | None) -> Any:
        """The next message, which must begin to arrive before `expires`."""
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        left_ms = None if expires is None else min(max(0.0, expires - time.monotonic()) * 1000, 2**31 - 1)
        if not poll.poll(left_ms):
            raise _LateError
        transfer = threading.Timer(_TRANSFER_S, self.process.kill)
        transfer.start()
        try:
            return _CarefulUnpickler(self._replies).load()
        except (EOFError, ConnectionError) as error:
            raise _LostError(self._how_it_ended()) from error
        except Exception as error:
            raise _LostError("its reply was garbled") from error
        finally:
            transfer.cancel()

    def _how_it_ended(self) -> str:
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipes"
        if status >= 0:
            return f"exit status {status}"
        with suppress(ValueError):
            return signal.Signals(-status).name
        return f"signal {-status}"


class _CarefulUnpickler(pickle._Unpickler):
    """Reads arrays, our dataclasses, enums and errors, and Python's errors; calls nothing else.

    A decoder may have written all over the memory of the process that sends this. Not the unpickler in C, which takes
    20 GB where a damaged reply gives a place in its memo a large number.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if module == "builtins" or (module.startswith("glpn_cli.") and module in sys.modules):
            found = super().find_class(module, name)
            if isinstance(found, type) and (issubclass(found, Exception | Enum) or is_dataclass(found)):
                return found
        raise pickle.UnpicklingError(f"a {module}.{name}")

    def load_build(self) -> None:
        """Fill in an object; arrays of plain numbers only. NumPy ends the process over the states of others."""
        made, state = self.stack[-2:]  # type: ignore[attr-defined]  # of the base class, which has no types
        kind = f"{type(made).__module__}.{type(made).__name__}"
        if kind.startswith("numpy.") and not (_is_plain_array(state) if kind == "numpy.ndarray" else _is_plain(state)):
            raise pickle.UnpicklingError(f"the state of a {kind}")
        super().load_build()  # type: ignore[misc]  # the same

    def load_bytearray8(self) -> None:
        """Read bytes piece by piece: room for all that a damaged reply promises would be filled with zeros first."""
        read: Callable[[int], bytes] = self.read  # type: ignore[attr-defined]  # of the base class
        left = int.from_bytes(read(8), "little")
        data = bytearray()
        while left > 0:
            piece = read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError
            data += piece
            left -= len(piece)
        self.append(data)  # type: ignore[attr-defined]  # the same

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _is_plain(state: object) -> bool:
    """Whether this is the state of a type of numbers."""
    return isinstance(state, tuple) and state[2:] == (None, None, None, -1, -1, 0) and state[1] in ("<", ">", "|", "=")


def _is_plain_array(state: object) -> bool:
    """Whether this is the state of an array of numbers, with as many bytes as they take."""
    if not (isinstance(state, tuple) and len(state) == 5):
        return False
    _, shape, dtype, _, data = state
    is_shape = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    is_number = getattr(dtype, "kind", "O") in "biuf" and isinstance(data, bytes)
    return is_shape and is_number and len(data) == math.prod(shape) * dtype.itemsize


def _start_error(reason: str, code: ErrorCode) -> StoppedError:
    return StoppedError(
        f"no process to decode in can be started: {reason}",
        hint="Run without --isolate and --timeout, or with fewer --workers.",
        code=code,
    )
