"""Work that may crash or never end, done in processes of their own.

workers   the processes, seen from here: a few, started when they are needed, replaced when they are lost
worker    what such a process does
channel   what the two say to each other

A worker imports what its work needs and nothing else (never torch), holds no terminal, and dies with this process
however that ends. It is no sandbox: it keeps harm from a run, not a burglar from the machine.
"""

from __future__ import annotations

from glpn_cli.process_pool.workers import Workers

__all__ = ["Workers"]
