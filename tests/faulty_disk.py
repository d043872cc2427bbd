"""A disk that fails on demand: the n-th operation of a kind below one folder raises what the system would raise.

Real files are written; only the last step, from Python's buffers to the operating system, is ours. A write that fails
has put half of its bytes on the disk before, as a full disk does.
"""

from __future__ import annotations

import builtins
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

OPERATIONS = ("mkdir", "open", "write", "close", "fsync", "rename", "link")


class FaultyDisk:
    """Counts the operations below `root`, and fails one of a kind, or all from there on.

    call:    which one fails, from 1; 0 for none
    number:  the errno it fails with
    lasting: whether all that come after it fail as well, as on a disk that stays full
    """

    def __init__(self, root: Path, operation: str, *, call: int = 0, number: int = 0, lasting: bool = False) -> None:
        assert operation in OPERATIONS
        self.root = os.path.realpath(root)
        self.operation = operation
        self.call = call
        self.number = number
        self.lasting = lasting
        self.counts: Counter[str] = Counter()
        self.versions: dict[str, set[bytes]] = {}  # all that was ever renamed to a name below `root`
        self._lock = threading.Lock()
        self._descriptors: set[int] = set()

    @property
    def calls(self) -> int:
        """How many operations of its kind there were."""
        return self.counts[self.operation]

    @property
    def has_failed(self) -> bool:
        return 0 < self.call <= self.calls

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the process writes to this disk."""
        opened = self._opening(io.open)
        with (
            mock.patch.object(io, "open", opened),
            mock.patch.object(builtins, "open", opened),
            mock.patch.object(os, "fsync", self._failing("fsync", os.fsync)),
            mock.patch.object(os, "replace", self._failing("rename", os.replace)),
            mock.patch.object(os, "rename", self._failing("rename", os.rename)),
            mock.patch.object(os, "link", self._failing("link", os.link)),
            mock.patch.object(os, "mkdir", self._failing("mkdir", os.mkdir)),
        ):
            yield

    def count(self, operation: str) -> None:
        """One more operation: raises where it is the one to fail."""
        with self._lock:
            self.counts[operation] += 1
            if operation != self.operation:
                return
            fails = self.call and (self.calls == self.call or (self.lasting and self.calls > self.call))
        if fails:
            raise OSError(self.number, os.strerror(self.number))

    def holds(self, place: object) -> bool:
        """Whether a path or an open file is on this disk."""
        if isinstance(place, int):
            return place in self._descriptors
        path = os.path.realpath(os.fspath(place))  # type: ignore[call-overload]
        return path == self.root or path.startswith(self.root + os.sep)

    def _failing(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **settings: Any) -> Any:
            places = [place for place in arguments[:2] if isinstance(place, int | str | bytes | os.PathLike)]
            # A folder that is there already is told as such by any disk.
            asks_nothing = operation == "mkdir" and Path(os.fspath(places[0])).is_dir()
            if not asks_nothing and any(self.holds(place) for place in places):
                self.count(operation)
            if operation in ("rename", "link"):
                self._remember(*arguments[:2])
            return function(*arguments, **settings)

        return failing

    def _remember(self, source: Any, target: Any) -> None:
        if Path(source).is_file() and self.holds(target):
            name = Path(os.path.realpath(target)).relative_to(self.root).as_posix()
            self.versions.setdefault(name, set()).add(Path(source).read_bytes())

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+") or not self.holds(file):
                return function(file, mode, *arguments, **settings)
            self.count("open")
            raw = _FaultyFile(self, file, mode.replace("b", "").replace("t", ""))
            self._descriptors.add(raw.fileno())
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            names = ("buffering", "encoding", "errors", "newline")
            asked = {**dict(zip(names, arguments, strict=False)), **settings}
            asked.pop("buffering", None)
            return io.TextIOWrapper(buffered, **asked)

        return opening

    def forget(self, descriptor: int) -> None:
        """A file was closed; its number may be given to another."""
        self._descriptors.discard(descriptor)


class _FaultyFile(io.FileIO):
    def __init__(self, disk: FaultyDisk, file: Any, mode: str) -> None:
        self._disk = disk
        super().__init__(file, mode)

    def write(self, data: Any) -> int:
        try:
            self._disk.count("write")
        except OSError:
            super().write(bytes(data)[: len(data) // 2])
            raise
        return super().write(data)

    def close(self) -> None:
        if self.closed:
            return
        self._disk.forget(self.fileno())
        super().close()
        self._disk.count("close")
