"""The one way bytes reach a disk or standard output: a reader sees the old file or the new one, never a part.

A file is written beside its destination as `.glpn-HOST-PID-RANDOM.tmp`, flushed to the disk, and renamed over it
(`files`). Whatever breaks on the way, the temporary is removed and what was there before is untouched; only a process
that is killed outright leaves one, and the next run sweeps it (`temporaries`).
"""

from __future__ import annotations

from glpn_cli.atomic_write.files import Data, publish, publish_together
from glpn_cli.atomic_write.probing import probe_writable
from glpn_cli.atomic_write.stdout import publish_stdout
from glpn_cli.atomic_write.temporaries import is_temporary, remove_unfinished, sweep

__all__ = [
    "Data",
    "is_temporary",
    "probe_writable",
    "publish",
    "publish_stdout",
    "publish_together",
    "remove_unfinished",
    "sweep",
]
