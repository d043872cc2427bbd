"""Stages with moods, for the actors of a cluster: the name of a picture is an order to its process.

kill_*    ends it
once_*    ends it, unless the file `NAME.seen` is there, which it makes
slow_*    takes half a second
told_*    as any other, and notes the process in the file `pids`
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glpn_cli.pipeline.plan import Task
from glpn_cli.pipeline.stages import Stages
from glpn_cli.prediction import Result


class MoodyStages(Stages):
    def infer(self, tasks: Sequence[Task], decoded: Sequence[Any]) -> list[Result]:
        for task in tasks:
            self._obey(Path(task.source.name).name)
        return super().infer(tasks, decoded)

    def _obey(self, name: str) -> None:
        verb = name.partition("_")[0]
        seen = Path(f"{name}.seen")
        if verb == "slow":
            with Path("pids").open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.5)
        elif verb == "kill" or (verb == "once" and not seen.exists()):
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class OnFullDisk(Stages):
    """Its files would go to a disk without room."""

    def finish(self, task: Task, result: Result) -> Any:
        from glpn_cli import atomic_write

        def no_room(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.fsync = no_room  # type: ignore[assignment]
        assert atomic_write.os.fsync is no_room
        return super().finish(task, result)
