"""The page: entries are spooled to disk as they come, and put in order when all are there."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glpn_cli._version import __version__
from glpn_cli.atomic_write import probe_writable, write_atomically
from glpn_cli.colormaps import HOLE_COLOR, read_table
from glpn_cli.depth_files import ColorizeOptions
from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError, code_of, reason_of
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.gallery.entries import PICTURE_SIDE, make_entry, plain_json
from glpn_cli.pipeline.plan import place_of
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.pipeline.sources import Source, StoredSource
from glpn_cli.prediction import Result

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


class Page:
    """Collects the results of a run, from several threads and in any order; a context, which holds the spool.

    look:    how the maps are painted
    sources: all inputs, in the order of the page
    skipped: the inputs that needed no work
    error:   why the page takes no more; results that were written before stay, and it is no error of their inputs
    """

    def __init__(self, look: ColorizeOptions, sources: Sequence[Source]) -> None:
        self._look = look
        self._sources = sources
        self._positions = {id(source): index for index, source in enumerate(sources)}
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._places: dict[int, tuple[int, int]] = {}  # position -> (offset, length)
        self._failures: list[dict[str, Any]] = []
        self._skipped: set[tuple[str, str, str]] = set()
        self._lock = Lock()
        self.error: StoppedError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # an error of the spool has been told
            self._spool.close()

    @property
    def skipped(self) -> list[Source]:
        """The inputs that needed no work, and are not on the page yet."""
        return [each for each in self._sources if (each.given, each.name, place_of(each)) in self._skipped]

    def watch(self, show: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """A `show` that also lists failures on the page; raises the page's own error once the outcome has been told."""

        def watch(outcome: Outcome) -> None:
            if (error := outcome.error) is not None:
                failure = {"code": error.code.value, "message": error.message, "hint": error.hint}
                self._failures.append({"name": outcome.place, **failure})
            if outcome.status is Status.SKIPPED:
                self._skipped.add((outcome.given, outcome.name, outcome.place))
            show(outcome)
            if self.error is not None:
                raise self.error

        return watch

    def add_result(self, result: Result, warnings: tuple[str, ...]) -> None:
        """Put a result onto the page, at the place of its source."""
        source = result.source
        picture = source.picture if isinstance(source, StoredSource) else source
        self.add(self._positions[id(source)], make_entry(result, _read_small(picture, result), self._look, warnings))

    def add(self, position: int, entry: str) -> None:
        """Put an entry at a position. An error of the disk is kept in `error`."""
        data = entry.encode("ascii")
        try:
            with self._lock:
                offset = self._spool.seek(0, 2)
                self._spool.write(data)
                self._places[position] = (offset, len(data))
        except OSError as error:
            self.error = StoppedError(
                f"cannot keep what goes onto the page: {reason_of(error)}",
                hint="Make room for temporary files, or name another folder for them in TMPDIR, and run it again.",
                code=code_of(error),
            )
            self.error.__cause__ = error

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
            "failures": sorted(self._failures, key=lambda failure: str(failure["name"])),
        }
        yield f'<script type="application/json" id="about">{plain_json(about)}</script>\n'.encode()
        for position in sorted(self._places):
            offset, length = self._places[position]
            self._spool.seek(offset)
            yield b'<script type="text/plain" class="entry">' + self._spool.read(length) + b"</script>\n"
        yield after.encode()


def _read_small(picture: Any, result: Result) -> NDArray[np.uint8] | None:
    """The picture of a result, no larger than the page needs it; None where it is not at hand."""
    if not isinstance(picture, ImageSource):
        return None
    size = result.prediction.size
    factor = min(1.0, PICTURE_SIDE / max(size))
    try:
        return picture.read(at_least=(max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))).rgb
    except InputError:
        return None
