"""How a process of a pool behaves towards the one that started it."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process
from threading import Thread


def follow_parent() -> None:
    """Leave signals to the parent, and end when it ends, even when it is killed.

    Ctrl-C and a closed terminal reach every process; the parent hears them, too, and tells its workers. A parent that
    is killed tells nobody, and a pool's workers would wait for it for good.
    """
    for name in ("SIGINT", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
