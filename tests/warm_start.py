"""Runs of the real command that need not wait for `import torch`: each is forked from a process that has imported it.

A forked process calls what the installed command calls, with a command line, an environment and signal handlers of its
own; it can be killed like any other. Use it where a test starts the program hundreds of times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

_IMPORTS = (
    "glpn_cli.pipeline.run",
    "glpn_cli.pipeline.gallery",
    "glpn_cli.models.settings",
    "glpn_cli.cli.outcomes",
    "glpn_cli.cli.predict",
    "glpn_cli.models.glpn.network",
    "glpn_cli.models.hf_compat_base",
    "glpn_cli.predictor",
)


class WarmStart:
    """A process that has everything imported, and forks one run at a time. A context."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:  # torch takes its time to leave a machine that is busy
            self._server.kill()
            self._server.wait()
        assert self._server.stdout is not None
        self._server.stdout.close()

    def start(self, *words: object, talk: Path) -> int:
        """Start `glpn WORDS` in the current folder, its output in `talk`; returns the process's number."""
        assert self._server.stdin is not None
        order = {"words": [str(word) for word in words], "folder": str(Path.cwd()), "talk": str(talk.absolute())}
        print(json.dumps(order), file=self._server.stdin, flush=True)
        return int(self._read())

    def wait(self) -> int:
        """The exit status of the run, negative for a signal that killed it; it is gone then, and no zombie."""
        return int(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


def serve() -> None:
    """Fork a run for every order on standard input."""
    import importlib

    for name in _IMPORTS:
        importlib.import_module(name)
    _say("ready")
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            _become(json.loads(line))
        _say(number)
        _, status = os.waitpid(number, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    """Be a run of the program, and nothing else."""
    from glpn_cli.cli import main

    os.chdir(str(order["folder"]))
    talk = os.open(str(order["talk"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((nothing, talk, talk)):
        os.dup2(stream, number)
    sys.argv = ["glpn", *order["words"]]  # type: ignore[misc]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    finally:
        os._exit(70)


if __name__ == "__main__":
    serve()
