"""The record of a file: how a result was made, and what its numbers mean.

It is a flat table of printable ASCII, which any format can carry: PNG text, a TIFF's description, a member of an npz.

    Software             glpn-cli 0.1.0
    glpn:format          png16
    glpn:map             depth
    glpn:kind            metric
    glpn:unit            m
    glpn:depth_scale     1000                 stored units per metre
    glpn:source          a/x.jpg              the picture, by the name its results carry

`_FIELDS` lists every key: the object that holds it, how it is spelled, and whether two files must agree on it.

A wrong digit in a record is a wrong metre, and few formats have checksums of their texts. So a record ends in a
checksum of itself, and tells the size and a checksum of the pixels: programs that scale, turn or lighten a file pass
its texts on. Files of earlier versions have neither, and are read.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal, Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from glpn_cli import __version__
from glpn_cli.colormaps import ColorizeOptions, RangePolicy
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.geometry import Axes, FocalChoice, PointCloudOptions, make_camera
from glpn_cli.options import MAX_FACES
from glpn_cli.prediction import DepthKind, DepthMap, Intrinsics, Provenance, Result
from glpn_cli.text import size_text

PROGRAM = "glpn-cli"
SOFTWARE = f"{PROGRAM} {__version__}"
PREFIX = "glpn:"
LABELS, UNCERTAINTY = "labels", "uncertainty"
"""The maps of files that hold labels, or the standard deviation of depth, instead of depth."""
CHECKSUM = f"{PREFIX}record_crc32"
"""The key of the checksum of all the others."""

# Beyond what --focal takes for any picture, and far from what float32 cannot hold.
_SHORTEST_PX, _LONGEST_PX = 1e-4, 1e9
_MOST_QUOTED = 200
"""Characters of a reason that are told: it may quote a whole damaged record."""

_AS_WRITTEN = (
    "Take the file that glpn wrote. If its numbers are depth all the same, save them without its texts, and say "
    "--as depth --depth-scale 1000."
)

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


_IN_WORDS = {
    "precision_asked": "--precision",
    "weights_sha256": "the checksum of the weights",
    "source": "the input",
    "source_bytes": "the input's length in bytes",
    "source_blake2b": "the input's checksum",
    "limit_m": "the model's limit in metres",
    "trained_limit_m": "the limit in metres that the model was trained with",
    "contours_m": "the distance of contours in metres",
    "voxel_m": "--voxel in metres",
}
"""The keys of a record that are no words for people; of the others the words are the key's."""

_OPTIONS = frozenset(
    "depth_scale input_size tta upsample metres calibration side_by_side range colormap invert colorbar focal axes"
    " edge_cull stride max_faces".split()
)
"""The keys that are options of the command line; they are told as such."""


@dataclass(frozen=True)
class _Difference:
    """A setting in which a file differs from the one that would be written now; None where a side does not say."""

    key: str
    found: str | None
    wanted: str | None

    def __str__(self) -> str:
        words = f"--{self.key.replace('_', '-')}" if self.key in _OPTIONS else self.key.replace("_", " ")
        words = _IN_WORDS.get(self.key, words)
        return f"{words} is {self.found or 'not recorded'}, not {self.wanted or 'unset'}"


@dataclass(frozen=True)
class Record:
    """The record of one of our files.

    format, map:  what was written: "png16" and "depth", "color" and "color".
    kind:         the meaning of the depths; None for labels.
    source:       the picture, by the name its results carry.
    limit_m:      the largest depth that the network can express, metres.
    depth_scale:  stored units per metre, for integer formats.
    min_max:      (smallest, largest) valid value, six significant digits.
    size:         (H, W) of the map; None where it is not told.
    pixels_crc32: the checksum of the pixels that go with it, as `pixels_checksum` gives it; None where it is not told.
    provenance:   how the depths were made, where that is known.
    look:         how they were painted, for pictures made of them.
    painted:      the (near, far) that was painted, in the map's own unit.
    focal_px:     the camera's focal length in pixels of the picture, and where it comes from, as in `Intrinsics`.
    intrinsics:   the camera, where its pixels are not square or its axis does not meet the middle of the picture.
    cloud:        how points in space were made of them.
    names:        one a label, for labels.
    side_by_side: for painted labels: whether their picture stands beside them.
    """

    format: str
    map: str
    kind: DepthKind | None
    source: str
    limit_m: float | None = None
    depth_scale: float | None = None
    min_max: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    pixels_crc32: str | None = None
    provenance: Provenance | None = None
    look: ColorizeOptions | None = None
    painted: tuple[float, float] | None = None
    focal_px: float | None = None
    focal_source: str | None = None
    intrinsics: Intrinsics | None = None
    cloud: PointCloudOptions | None = None
    names: tuple[str, ...] | None = None
    side_by_side: bool = False
    software: str = SOFTWARE

    @property
    def depth_kind(self) -> DepthKind:
        """The meaning of the depths. Raises InputError for labels."""
        if self.kind is None:
            raise InputError("this is a map of labels, not of depth", code=ErrorCode.UNSUPPORTED)
        return self.kind

    @property
    def unit(self) -> str | None:
        """The unit of the depths."""
        return self.kind.unit if self.kind else None

    def to_text(self) -> dict[str, str]:
        """The flat table: `Software` first, so that a file's first bytes tell that it is ours, its checksum last."""
        text = {"Software": escape(self.software)}
        for field in _FIELDS:
            owner = self if field.owner == "record" else getattr(self, field.owner)
            value: Any = None if owner is None else getattr(owner, field.attribute or field.keys[0])
            if owner is None or (value == field.unwritten and field.keys != ("kind",)):
                continue
            values = value if len(field.keys) > 1 else (value,)
            text |= {PREFIX + key: escape(field.type.write(each)) for key, each in zip(field.keys, values, strict=True)}
        return text | {CHECKSUM: _checksum_of(text)}

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> Record | None:
        """Read the flat table back; None where it is not ours. Raises InputError where it is ours and damaged."""
        if not is_ours(text):
            return None
        record = cls._parse(text)
        if text.get(CHECKSUM, checksum := _checksum_of(text)) != checksum:
            raise InputError(
                "its record is not as it was written: its checksum does not match",
                hint="Take the file that glpn wrote, or make it again.",
                code=ErrorCode.DATA,
            )
        return record

    @classmethod
    def _parse(cls, text: Mapping[str, str]) -> Record:
        try:
            stored = {
                key.removeprefix(PREFIX): unescape(value) for key, value in text.items() if key.startswith(PREFIX)
            }
            return cls(**_read_fields(stored), software=unescape(text["Software"]))
        except KeyError as error:
            raise InputError(f"its record has no '{PREFIX}{error.args[0]}'") from error
        except (ValueError, UsageError) as error:
            raise InputError(f"its record makes no sense: {str(error)[:_MOST_QUOTED]}") from error

    def with_pixels(self, pixels: NDArray[Any]) -> Self:
        """The same, for a file of these pixels, (H, W)."""
        return replace(self, size=pixels.shape, pixels_crc32=pixels_checksum(pixels))

    def check_size(self, size: tuple[int, int], *, hint: str = _AS_WRITTEN) -> None:
        """Raise InputError for pixels of another size, (H, W), than the file was written with."""
        if self.size not in (None, size):
            assert self.size is not None
            raise InputError(
                f"its record is of {size_text(self.size)} pixels, and it has {size_text(size)}: another "
                "program changed them, and its metres hold no more",
                hint=hint,
                code=ErrorCode.DATA,
            )

    def check_pixels(self, pixels: NDArray[Any]) -> None:
        """Raise InputError for other pixels than the file was written with."""
        if pixels.ndim == 2:
            self.check_size(pixels.shape)
        if self.pixels_crc32 is not None and self.pixels_crc32 != pixels_checksum(pixels):
            raise InputError(
                "its pixels are not those that its record is of: another program changed them, and its metres hold no "
                "more",
                hint=_AS_WRITTEN,
                code=ErrorCode.DATA,
            )

    def differences(self, expected: Record) -> tuple[_Difference, ...]:
        """The settings in which this file differs from `expected`; empty where it can stand for that one.

        Compared as text, as files hold it: names that have several spellings in memory have one there.
        """
        found, wanted = self.to_text(), expected.to_text()
        compared = [(key, field.compared) for field in _FIELDS for key in field.keys if field.compared]
        compared.sort(key=lambda each: each[1] == "if expected")  # the others move these
        differences = (
            (_Difference(key, found.get(PREFIX + key), wanted.get(PREFIX + key)), how) for key, how in compared
        )
        return tuple(
            difference
            for difference, how in differences
            if difference.found != difference.wanted
            and not (difference.wanted is None and how != "always")
            and not (difference.found is None and how == "if both say")
        )

    def camera_difference(self, choice: FocalChoice) -> tuple[_Difference, ...]:
        """The camera of a map, where it is another than the one that was asked for.

        Raises InputError for intrinsics whose axis is outside of the map.
        """
        if choice.text == "auto" or self.map != "depth" or self.size is None or self.focal_px is None:
            return ()
        wanted = choice.camera(self.size)
        found = self.intrinsics or make_camera(self.focal_px, self.size, source="file")
        pairs = zip(astuple(found)[:4], astuple(wanted)[:4], strict=True)
        if all(math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6) for one, other in pairs):
            return ()
        return (_Difference("focal", f"{found.fx:.6g}px", choice.text),)

    @classmethod
    def of_result(
        cls,
        result: Result,
        depth: DepthMap,
        *,
        format: str,  # noqa: A002 - the word of the command line
        map: str,  # noqa: A002
        depth_scale: float | None = None,
        look: ColorizeOptions | None = None,
        painted: tuple[float, float] | None = None,
    ) -> Record:
        """The record of a file made of `result`."""
        camera = result.intrinsics
        is_plain = camera is None or camera == make_camera(camera.fx, depth.size, source=camera.source)
        return cls(
            format=format,
            map=map,
            kind=depth.kind,
            source=result.source.name,
            limit_m=limit_of(result.provenance, depth.kind, depth.limit),
            depth_scale=depth_scale,
            min_max=round_for_people(depth.min_max()),
            provenance=result.provenance,
            look=look,
            painted=painted,
            focal_px=result.intrinsics.fx if result.intrinsics else None,
            focal_source=result.intrinsics.source if result.intrinsics else None,
            intrinsics=None if is_plain else result.intrinsics,
        )


def limit_of(provenance: Provenance | None, kind: DepthKind, limit_m: float | None = None) -> float | None:
    """The limit that a record states: the one the depths were made with, else the map's own; metric depth only."""
    if not kind.is_metric:
        return None
    return limit_m if provenance is None or provenance.limit_m is None else provenance.limit_m


def round_for_people(min_max: tuple[float, float] | None) -> tuple[float, float] | None:
    """Six significant digits: what a record says of numbers that are themselves in the file."""
    return None if min_max is None else (float(f"{min_max[0]:.6g}"), float(f"{min_max[1]:.6g}"))


def pixels_checksum(pixels: NDArray[Any]) -> str:
    """The CRC-32 of stored numbers and of their shape, as eight hexadecimal digits."""
    stored = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return f"{zlib.crc32(stored.data, zlib.crc32(repr(stored.shape).encode())):08x}"


def _checksum_of(text: Mapping[str, str]) -> str:
    """The CRC-32 of a record's text, whatever the order of its keys, and of none of the texts beside it."""
    kept = (key for key in text if key == "Software" or (key.startswith(PREFIX) and key != CHECKSUM))
    own = sorted((key, text[key]) for key in kept)
    return f"{zlib.crc32(json.dumps(own).encode('ascii')):08x}"


def is_ours(text: Mapping[str, str]) -> bool:
    """Whether a file that carries this text was written by this program."""
    return text.get("Software", "").split(" ")[0] == PROGRAM and PREFIX + "format" in text


def text_to_json(text: Mapping[str, str]) -> bytes:
    """A record's text as one JSON object, ASCII, for formats that carry a single text."""
    return json.dumps(dict(text)).encode("ascii")


def text_from_json(raw: bytes | str) -> dict[str, str]:
    """A record's text from one JSON object of strings, NUL-padded or not; empty where it is anything else."""
    try:
        text = json.loads(raw.rstrip(b"\0") if isinstance(raw, bytes) else raw.rstrip("\0"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(text, dict):
        return {}
    return {key: value for key, value in text.items() if isinstance(value, str)}


def escape(value: str) -> str:
    """Printable ASCII that stands for any string: the rest, and `%`, as the percent-escaped bytes of its UTF-8 form."""
    raw = b"".join(_bytes_of(character) for character in value)
    return quote_from_bytes(raw, safe=_PRINTABLE)


def unescape(text: str) -> str:
    """The string that `escape` was given; bytes that are no UTF-8 come back as Python names files (surrogates)."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number: 1000, 0.3, 65.535."""
    return repr(float(value)).removesuffix(".0")


def _bytes_of(character: str) -> bytes:
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which only a script can have put into a name
        return character.encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class _Type:
    """How values are spelled. `read` raises ValueError or UsageError where the text makes no sense."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


@dataclass(frozen=True)
class _Field:
    """A value of a record.

    owner:     the object that holds it: the record itself, or one of its attributes
    keys:      its name in files; two for a pair
    compared:  whether files must agree on it to stand for each other; "if expected": only where it is known beforehand;
               "if both say": only where the file tells it too, which older ones do not
    attribute: its name in memory, where that is another
    unwritten: the value that files leave out
    """

    owner: Literal["record", "provenance", "look", "cloud"]
    keys: tuple[str, ...]
    type: _Type
    compared: Literal["always", "if expected", "if both say"] | None = None
    attribute: str | None = None
    unwritten: object = None


def _read_number(text: str, *, may_be_zero: bool = False) -> float:
    value = float(text)
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        raise ValueError(f"{text[:40]} is no number above 0")
    return value


def _read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{text[:40]} is no count")
    return int(text)


def _read_size(text: str) -> tuple[int, int]:
    width, height = (int(side) for side in text.split("x"))
    return height, width


def _read_names(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except RecursionError as error:
        raise ValueError("its names are nested") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its names are no list of texts")
    return tuple(names)


def _read_focal(text: str) -> float:
    """A focal length in pixels that leaves points in space finite."""
    value = float(text)
    if not _SHORTEST_PX <= value <= _LONGEST_PX:
        raise ValueError(f"{text[:40]} is no focal length")
    return value


def _read_camera(text: str) -> Intrinsics:
    fx, fy, cx, cy = text.split(" ")
    center = float(cx), float(cy)
    if not all(abs(each) <= _LONGEST_PX for each in center):
        raise ValueError(f"{text[:80]} is no camera")
    return Intrinsics(_read_focal(fx), _read_focal(fy), *center, "file")


_TEXT = _Type(str, str)
_NUMBER = _Type(number_text, _read_number)
_COUNT = _Type(str, _read_count)
_FOCAL_PX = _Type(number_text, _read_focal)
_NUMBER_FROM_0 = _Type(number_text, lambda text: _read_number(text, may_be_zero=True))
_FLAG = _Type(lambda flag: "yes" if flag else "no", lambda text: text == "yes")
_SIZE = _Type(size_text, _read_size)
_KIND = _Type(lambda kind: kind.value if kind else LABELS, lambda text: None if text == LABELS else DepthKind(text))
_RANGE = _Type(lambda policy: str(policy.text), RangePolicy.parse)
_FOCAL = _Type(lambda focal: str(focal.text), FocalChoice)
_CAMERA = _Type(lambda camera: " ".join(map(repr, (camera.fx, camera.fy, camera.cx, camera.cy))), _read_camera)
_NAMES = _Type(json.dumps, _read_names)

# In the order of files. Not compared is what is only known after the network ran (device, precision used, batch, range
# of values), nor the name that the model went by. "if expected" are those that are known beforehand only sometimes: a
# painted range where it was given in metres or settled over a batch, a limit where neither a stored map is silent about
# it nor a picture has yet to tell its lens.
_FIELDS = (
    _Field("record", ("format",), _TEXT, "always"),
    _Field("record", ("map",), _TEXT, "always"),
    _Field("record", ("kind",), _KIND, "always"),
    _Field("record", ("unit",), _TEXT),
    _Field("record", ("depth_scale",), _NUMBER, "always"),
    _Field("record", ("limit_m",), _NUMBER, "if expected"),
    _Field("record", ("min", "max"), _NUMBER_FROM_0, attribute="min_max"),
    _Field("record", ("size",), _SIZE),
    _Field("record", ("pixels_crc32",), _TEXT),
    _Field("provenance", ("model",), _TEXT),
    _Field("provenance", ("revision",), _TEXT),
    _Field("provenance", ("weights_sha256",), _TEXT, "always"),
    _Field("provenance", ("input_size",), _TEXT, "always"),
    _Field("provenance", ("network_size",), _SIZE),
    _Field("provenance", ("precision_asked",), _TEXT, "always"),
    _Field("provenance", ("precision",), _TEXT),
    _Field("provenance", ("device",), _TEXT),
    _Field("provenance", ("batch_size",), _COUNT, unwritten=1),
    _Field("provenance", ("tta",), _TEXT, "always"),
    _Field("provenance", ("upsample",), _TEXT, "always", unwritten="bicubic"),
    _Field("provenance", ("metres",), _TEXT, "always", unwritten="trained"),
    _Field("provenance", ("lens_factor",), _NUMBER),
    _Field("provenance", ("trained_limit_m",), _NUMBER, "always"),
    _Field("provenance", ("calibration",), _TEXT, "always"),
    _Field("provenance", ("view",), _TEXT, "always"),
    _Field("provenance", ("source_bytes",), _COUNT, "if both say"),
    _Field("provenance", ("source_blake2b",), _TEXT, "if both say"),
    _Field("record", ("source",), _TEXT, "always"),
    _Field("record", ("side_by_side",), _FLAG, unwritten=False),
    _Field("look", ("side_by_side",), _FLAG, "always"),
    _Field("look", ("range",), _RANGE, "always"),
    _Field("look", ("colormap",), _TEXT, "always"),
    _Field("look", ("invert",), _FLAG, "always"),
    _Field("look", ("colorbar",), _FLAG, "always"),
    _Field("look", ("contours_m",), _NUMBER, "always"),
    _Field("record", ("near", "far"), _NUMBER, "if expected", attribute="painted"),
    _Field("record", ("focal_px",), _FOCAL_PX),
    _Field("record", ("focal_source",), _TEXT),
    _Field("record", ("intrinsics",), _CAMERA),
    _Field("cloud", ("focal",), _FOCAL, "always"),
    _Field("cloud", ("axes",), _Type(str, Axes), "always"),
    _Field("cloud", ("edge_cull",), _FLAG, "always"),
    _Field("cloud", ("stride",), _COUNT, "always", unwritten=1),
    _Field("cloud", ("voxel_m",), _NUMBER, "always"),
    _Field("cloud", ("max_faces",), _COUNT, "always", unwritten=MAX_FACES),
    _Field("cloud", ("camera",), _CAMERA),
    _Field("record", ("names",), _NAMES),  # last: it may be longer than the bytes that are peeked at
)
_REQUIRED = ("format", "map", "kind")


def _read_fields(stored: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a record. Raises KeyError for what is missing, ValueError or UsageError for nonsense."""
    for key in (*_REQUIRED, *(("weights_sha256",) if "model" in stored else ())):
        if key not in stored:
            raise KeyError(key)
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for field in _FIELDS:
        texts = [stored[key] for key in field.keys if key in stored]
        if len(texts) == len(field.keys):
            parsed = tuple(field.type.read(text) for text in texts)
            values[field.owner][field.attribute or field.keys[0]] = parsed if len(parsed) > 1 else parsed[0]
    record = {"source": "", **values["record"]}
    record.pop("unit", None)
    if "model" in stored:
        record["provenance"] = Provenance(**values["provenance"], limit_m=record.get("limit_m"))
    if "range" in stored:
        record["look"] = ColorizeOptions(**values["look"])
        record.pop("side_by_side", None)
    if "axes" in stored:
        record["cloud"] = PointCloudOptions(**values["cloud"])
    return record
