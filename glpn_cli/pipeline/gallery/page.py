"""The page: entries are spooled to disk as they come, and put in order when all are there."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Self

from glpn_cli._version import __version__
from glpn_cli.atomic_write import probe_writable, write_atomically
from glpn_cli.colormaps import HOLE_COLOR, read_table
from glpn_cli.depth_files import Look
from glpn_cli.errors import ErrorCode, GlpnError, StoppedError, UsageError, code_of, reason_of
from glpn_cli.pipeline.gallery.entries import Entry, plain_json

_MARK = b'<meta name="generator" content="glpn-cli'
_SLOT = "<!-- entries -->"
_HEAD_BYTES = 1024


def check_page(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse, before anything is computed, a page that cannot be written or would replace something else."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {str(path)!r} does not end in .html")
    if path.absolute() in {each.absolute() for each in inputs}:
        raise UsageError(f"--html {str(path)!r} is one of the inputs")
    probe_writable(path.parent)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"--html {str(path)!r} cannot be written: {reason_of(error)}", code=code_of(error)) from error
    if _MARK not in head:
        raise UsageError(
            f"--html {str(path)!r} is there already, and was not written by glpn",
            hint="Choose another name.",
            code=ErrorCode.EXISTS,
        )


class Gallery:
    """Collects the entries of a page, from several threads and in any order; a context, which holds the spool.

    look: how the maps are painted
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._places: dict[int, tuple[int, int]] = {}  # position -> (offset, length)
        self._failures: list[dict[str, Any]] = []
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # what could not be kept has been told
            self._spool.close()

    def __contains__(self, position: int) -> bool:
        return position in self._places

    def add(self, position: int, entry: Entry) -> None:
        """Put an entry at a position in the order of the page. Raises StoppedError where the disk takes no more."""
        data = entry.text.encode("ascii")
        try:
            with self._lock:
                offset = self._spool.seek(0, 2)
                self._spool.write(data)
                self._places[position] = (offset, len(data))
        except OSError as error:
            raise StoppedError(
                f"cannot keep what goes onto the page: {reason_of(error)}",
                hint="Make room for temporary files, or name another folder for them in TMPDIR, and run it again.",
                code=code_of(error),
            ) from error

    def fail(self, name: str, error: GlpnError) -> None:
        """List an input that has no map."""
        self._failures.append({"name": name, "code": error.code.value, "message": error.message, "hint": error.hint})

    def write(self, path: Path, *, title: str) -> None:
        """Write the page whole. Raises OutputError or StoppedError."""
        write_atomically(path, self._parts(title))

    def _parts(self, title: str) -> Iterator[bytes]:
        page = files("glpn_cli.pipeline.gallery").joinpath("page.html").read_text("utf-8")
        before, _, after = page.partition(_SLOT)
        yield before.replace("{{version}}", __version__).encode()
        about = {
            "title": title,
            "version": __version__,
            "colormap": self._look.colormap,
            "colors": base64.b64encode(read_table(self._look.colormap, invert=self._look.invert).tobytes()).decode(),
            "hole": HOLE_COLOR,
            "range": self._look.range.text,
            "failures": self._failures,
        }
        yield f'<script type="application/json" id="about">{plain_json(about)}</script>\n'.encode()
        for position in sorted(self._places):
            offset, length = self._places[position]
            self._spool.seek(offset)
            yield b'<script type="text/plain" class="entry">' + self._spool.read(length) + b"</script>\n"
        yield after.encode()
