"""A page to look at: all maps of a run with their pictures, in one HTML file that needs nothing else.

Entries are spooled to disk as they come, and put in order when all are there. An entry is small, but has its metres:
the picture goes in as JPEG, the depths as a grey PNG of codes, from which the page paints colours, tells metres
and counts a histogram: 0 is a hole, 1 to 255 are equal steps of the logarithm between the nearest and the farthest
depth, so a room from 0.5 to 10 m comes back within 0.6 %. Where ratios mean nothing the steps are linear.
Labels go in the same way, as places in a list of those that are there. With the camera, in pixels of the picture, the
page makes a surface in space of metric depth.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glpn_cli import __version__
from glpn_cli.atomic_write import probe_writable, write_atomically
from glpn_cli.colormaps import HOLE_COLOR, read_table
from glpn_cli.colormaps.colorbar import Scale
from glpn_cli.colormaps.painting import label_palette
from glpn_cli.depth_files import ColorizeOptions
from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError, code_of, reason_of
from glpn_cli.images import ImageSource
from glpn_cli.pipeline.plan import place_of
from glpn_cli.pipeline.report import Outcome, Status
from glpn_cli.pipeline.sources import Source, StoredSource
from glpn_cli.prediction import DepthMap, LabelMap, Result

_MARK = b'<meta name="generator" content="glpn-cli'
_SLOT = "<!-- entries -->"
_HEAD_BYTES = 1024

PICTURE_SIDE = 480
DEPTH_SIDE = 384
_QUALITY = 78
_LAST = 255
_TICK_GAP = 0.16


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
        page = files("glpn_cli.pipeline").joinpath("gallery_page.html").read_text("utf-8")
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
        yield f'<script type="application/json" id="about">{_plain_json(about)}</script>\n'.encode()
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


def make_entry(
    result: Result, picture: NDArray[np.uint8] | None, look: ColorizeOptions, warnings: tuple[str, ...] = ()
) -> str:
    """One map on the page: facts as JSON, then picture and codes in base64, a line each.

    picture: uint8 (H', W', 3) of any size; None where it is not at hand, and its line is then empty
    """
    made = result.prediction
    if isinstance(made, DepthMap):
        facts, codes = _depth_facts(made, look)
    else:
        assert isinstance(made, LabelMap)
        facts, codes = _label_facts(made)
    provenance, camera = result.provenance, result.intrinsics
    facts = {
        "name": result.source.name,
        "width": made.size[1],
        "height": made.size[0],
        **facts,
        "camera": None if camera is None else asdict(camera),
        "model": provenance.model if provenance else None,
        "calibration": provenance.calibration if provenance else None,
        "warnings": list(warnings),
    }
    return "\n".join((_plain_json(facts), "" if picture is None else _encode_picture(picture), _encode_codes(codes)))


def _depth_facts(depth: DepthMap, look: ColorizeOptions) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The facts about a depth map, and its codes."""
    codes, low, high = encode_depths(_shrink(depth))
    ends = look.range.resolve(depth)
    is_log = depth.kind.has_ratios
    facts: dict[str, Any] = {
        "kind": depth.kind.value,
        "unit": depth.kind.unit,
        "log": is_log,
        "low": low,
        "high": high,
        "near": ends.near,
        "far": ends.far,
        "ticks": _ticks(ends.near, ends.far, is_log=is_log),
        "valid": round(depth.valid_values().size / depth.values.size, 4),
    }
    if (min_max := depth.min_max()) is not None:
        facts["median"] = float(np.median(depth.valid_values()))
        facts["nearest"], facts["farthest"] = min_max if ends.near < ends.far else min_max[::-1]
    return facts, codes


def _label_facts(prediction: LabelMap) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The facts about a map of labels, and its codes: places in its own list of labels, largest first."""
    counts = prediction.counts()
    present = list(counts)
    palette = label_palette(len(prediction.names))
    total = max(1, sum(counts.values()))
    listed = [(prediction.names[label], palette[label].tolist(), counts[label]) for label in present[:_LAST]]
    if len(present) > _LAST:
        rest = sum(counts[label] for label in present[_LAST - 1 :])
        listed[-1] = (f"and {len(present) - _LAST + 1} more", list(HOLE_COLOR), rest)
    codes = np.full(len(prediction.names), _LAST, np.uint8)
    codes[present[:_LAST]] = np.arange(1, len(present[:_LAST]) + 1)
    chosen = _chosen(prediction.size)
    small = codes[np.where(_at(prediction.valid, chosen), prediction.labels[chosen], present[0] if present else 0)]
    small[~_at(prediction.valid, chosen)] = 0
    facts: dict[str, Any] = {
        "kind": "labels",
        "labels": [{"name": text, "color": color, "share": round(count / total, 5)} for text, color, count in listed],
        "valid": round(total / prediction.labels.size, 4) if present else 0,
    }
    return facts, small


def encode_depths(depth: DepthMap) -> tuple[NDArray[np.uint8], float, float]:
    """Codes uint8 (H, W), and the depths of codes 1 and 255; both 1 where nothing is known."""
    min_max = depth.min_max()
    if min_max is None:
        return np.zeros(depth.size, np.uint8), 1.0, 1.0
    low, high = min_max
    step = np.log if depth.kind.has_ratios else np.asarray
    with np.errstate(all="ignore"):
        span = max(float(step(high) - step(low)), 1e-9)
        codes = np.rint(1 + (_LAST - 1) * (step(depth.values) - step(low)) / span)
        codes = np.clip(np.nan_to_num(codes, nan=1), 1, _LAST).astype(np.uint8)
    if depth.valid is not None:
        codes[~depth.valid] = 0
    return codes, low, high


def _plain_json(value: Any) -> str:
    """JSON on one line that can stand in a page: nothing in it opens or closes an element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _shrink(depth: DepthMap) -> DepthMap:
    """The map with its longest side at most `DEPTH_SIDE`: pixels are left out, so that none is made up."""
    chosen = _chosen(depth.size)
    valid = None if depth.valid is None else depth.valid[chosen]
    return DepthMap(depth.values[chosen], kind=depth.kind, valid=valid, limit=depth.limit)


def _chosen(size: tuple[int, int]) -> tuple[NDArray[np.intp], ...]:
    """Which rows and columns of a map of (H, W) stay."""
    height, width = size
    factor = max(1.0, max(height, width) / DEPTH_SIDE)
    rows = ((np.arange(max(1, round(height / factor))) + 0.5) * factor).astype(int).clip(0, height - 1)
    columns = ((np.arange(max(1, round(width / factor))) + 0.5) * factor).astype(int).clip(0, width - 1)
    return np.ix_(rows, columns)


def _at(valid: NDArray[np.bool_] | None, chosen: tuple[NDArray[np.intp], ...]) -> NDArray[np.bool_]:
    """Which of the chosen pixels are valid."""
    if valid is None:
        return np.ones((chosen[0].size, chosen[1].size), np.bool_)
    kept: NDArray[np.bool_] = valid[chosen]
    return kept


def _ticks(near: float, far: float, *, is_log: bool) -> list[tuple[float, str]]:
    """(place, label) of round values, 0 at the near end."""
    scale = Scale(min(near, far), max(near, far), is_log=is_log)
    turned = near > far
    return [
        (round(1 - tick.place if turned else tick.place, 4), tick.label)
        for tick in scale.ticks(least_gap=_TICK_GAP, margin=0.04)
    ]


def _encode_picture(picture: NDArray[np.uint8]) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    return _base64(image, "JPEG", quality=_QUALITY, optimize=True)


def _encode_codes(codes: NDArray[np.uint8]) -> str:
    return _base64(Image.fromarray(codes), "PNG", compress_level=6)


def _base64(image: Image.Image, form: str, **settings: Any) -> str:
    file = BytesIO()
    image.save(file, form, **settings)
    return base64.b64encode(file.getvalue()).decode("ascii")
