"""What one of our files says about itself: how a result was made, and what its numbers mean.

As a flat table of text it is what PNG text chunks, a TIFF's description or the fields of an npz hold:

    Software             glpn-cli 0.1.0
    glpn:format          png16
    glpn:map             depth
    glpn:kind            metric
    glpn:unit            m
    glpn:depth_scale     1000                 stored units per metre
    glpn:limit_m         10                   the largest depth the network can express
    glpn:min glpn:max    0.52 9.8             smallest and largest valid depth
    glpn:model ...       everything in `Provenance`
    glpn:source          a/x.jpg              the picture, by the name its results carry
    glpn:view            frame 3              which picture of that file, where it is not the usual one
    glpn:focal_px        518.86               focal length of the camera in pixels of the picture, where it was asked
    glpn:focal_source    exif                 option, exif, file or assumed
    glpn:range ...       everything in `Look`, for coloured and grey pictures
    glpn:axes ...        everything in `Cloud`, for points in space
    glpn:side_by_side    yes                  for painted labels: the picture is at the left
    glpn:names           ["wall", "floor"]    one a label, for labels, whose kind is `labels`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from glpn_cli.depth_files.cloud import Cloud
from glpn_cli.depth_files.differences import Difference, find_differences
from glpn_cli.depth_files.look import Look
from glpn_cli.depth_files.record_text import PREFIX, SOFTWARE, escape, is_ours, number_text, unescape
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.prediction import DepthKind, DepthMap, Provenance, Result

LABELS = "labels"
"""The kind of what is no depth."""


@dataclass(frozen=True)
class Record:
    """What one of our files says about itself.

    format, map:  what was written: "png16" and "depth", "color" and "color".
    kind:         what the depths mean; None for labels.
    source:       the picture, by the name its results carry.
    limit_m:      the largest depth that the network can express, metres.
    depth_scale:  stored units per metre, for integer formats.
    extent:       (smallest, largest) valid depth, six significant digits; for uncertainty its own.
    provenance:   how the depths were made, where that is known.
    look:         how they were painted, for pictures made of them.
    painted:      the (near, far) that the look came to, in the map's own unit.
    focal_px:     the camera's focal length in pixels of the picture, and where it comes from, as in `Intrinsics`.
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
    extent: tuple[float, float] | None = None
    provenance: Provenance | None = None
    look: Look | None = None
    painted: tuple[float, float] | None = None
    focal_px: float | None = None
    focal_source: str | None = None
    cloud: Cloud | None = None
    names: tuple[str, ...] | None = None
    side_by_side: bool = False
    software: str = SOFTWARE

    @property
    def depth_kind(self) -> DepthKind:
        """What the depths mean. Raises InputError for labels."""
        if self.kind is None:
            raise InputError("this is a map of labels, not of depth", code=ErrorCode.UNSUPPORTED)
        return self.kind

    def to_text(self) -> dict[str, str]:
        """The flat table, `Software` first so that a peek at a file's head finds it."""
        fields: dict[str, str | float | None] = {
            "format": self.format,
            "map": self.map,
            "kind": self.kind.value if self.kind else LABELS,
            "unit": self.kind.unit if self.kind else None,
            "depth_scale": self.depth_scale,
            "limit_m": self.limit_m,
            "min": self.extent[0] if self.extent else None,
            "max": self.extent[1] if self.extent else None,
            **_provenance_fields(self.provenance),
            "source": self.source,
            "side_by_side": "yes" if self.side_by_side else None,
            **(self.look.to_fields() if self.look else {}),
            "near": self.painted[0] if self.painted else None,
            "far": self.painted[1] if self.painted else None,
            "focal_px": self.focal_px,
            "focal_source": self.focal_source,
            **(self.cloud.to_fields() if self.cloud else {}),
            "names": json.dumps(self.names) if self.names else None,  # last: it may be longer than a peek
        }
        text = {"Software": escape(self.software)}
        for key, value in fields.items():
            if value is not None:
                text[PREFIX + key] = escape(value) if isinstance(value, str) else number_text(value)
        return text

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> Record | None:
        """Read the flat table back; None if it is not ours.

        Raises InputError where the table is ours and makes no sense.
        """
        if not is_ours(text):
            return None
        try:
            fields = {
                key.removeprefix(PREFIX): unescape(value) for key, value in text.items() if key.startswith(PREFIX)
            }
            return cls(
                format=fields["format"],
                map=fields["map"],
                kind=None if fields["kind"] == LABELS else DepthKind(fields["kind"]),
                source=fields.get("source", ""),
                limit_m=_number(fields, "limit_m"),
                depth_scale=_number(fields, "depth_scale"),
                extent=_pair(fields, "min", "max", may_be_zero=True),
                provenance=_read_provenance(fields),
                look=Look.from_fields(fields) if "range" in fields else None,
                painted=_pair(fields, "near", "far"),
                focal_px=_number(fields, "focal_px"),
                focal_source=fields.get("focal_source"),
                cloud=Cloud.from_fields(fields) if "axes" in fields else None,
                names=_names(fields["names"]) if "names" in fields else None,
                side_by_side="range" not in fields and fields.get("side_by_side") == "yes",
                software=unescape(text["Software"]),
            )
        except KeyError as error:
            raise InputError(f"its record has no '{PREFIX}{error.args[0]}'") from error
        except (ValueError, UsageError) as error:
            raise InputError(f"its record makes no sense: {error}") from error

    def differences(self, expected: Record) -> tuple[Difference, ...]:
        """In which settings this file's recipe differs from `expected`; empty when it can stand for it."""
        return find_differences(self.to_text(), expected.to_text())


def make_record(
    result: Result,
    depth: DepthMap,
    *,
    format: str,  # noqa: A002 - the word of the command line
    map: str,  # noqa: A002
    depth_scale: float | None = None,
    look: Look | None = None,
    painted: tuple[float, float] | None = None,
) -> Record:
    """What a file made of `result` says about itself."""
    return Record(
        format=format,
        map=map,
        kind=depth.kind,
        source=result.source.name,
        limit_m=limit_of(result.provenance, depth.kind, depth.limit),
        depth_scale=depth_scale,
        extent=round_for_people(depth.extent()),
        provenance=result.provenance,
        look=look,
        painted=painted,
        focal_px=result.intrinsics.fx if result.intrinsics else None,
        focal_source=result.intrinsics.source if result.intrinsics else None,
    )


def limit_of(provenance: Provenance | None, kind: DepthKind, limit_m: float | None = None) -> float | None:
    """The limit that a record states: the one the depths were made with, else the map's own; metric depth only."""
    if not kind.is_metric:
        return None
    return limit_m if provenance is None or provenance.limit_m is None else provenance.limit_m


def round_for_people(extent: tuple[float, float] | None) -> tuple[float, float] | None:
    """Six significant digits: what a record says of numbers that are themselves in the file."""
    return None if extent is None else (float(f"{extent[0]:.6g}"), float(f"{extent[1]:.6g}"))


def _number(fields: Mapping[str, str], key: str, *, may_be_zero: bool = False) -> float | None:
    if key not in fields:
        return None
    value = float(fields[key])
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        raise ValueError(f"{key} is {fields[key]}")
    return value


def _names(text: str) -> tuple[str, ...]:
    """The names of labels. Raises ValueError."""
    try:
        names = json.loads(text)
    except RecursionError as error:
        raise ValueError("its names are nested") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its names are no list of texts")
    return tuple(names)


def _pair(
    fields: Mapping[str, str], first: str, second: str, *, may_be_zero: bool = False
) -> tuple[float, float] | None:
    one, other = (_number(fields, key, may_be_zero=may_be_zero) for key in (first, second))
    return None if one is None or other is None else (one, other)


def _provenance_fields(provenance: Provenance | None) -> dict[str, str | float | None]:
    if provenance is None:
        return {}
    height, width = provenance.network_size or (0, 0)
    return {
        "model": provenance.model,
        "revision": provenance.revision,
        "weights_sha256": provenance.weights_sha256,
        "input_size": provenance.input_size,
        "network_size": f"{width}x{height}" if provenance.network_size else None,
        "precision_asked": provenance.precision_asked,
        "precision": provenance.precision,
        "device": provenance.device,
        "tta": provenance.tta,
        "upsample": None if provenance.upsample == "bicubic" else provenance.upsample,  # the published way is not named
        "metres": None if provenance.metres == "trained" else provenance.metres,  # nor what every network does
        "lens_factor": provenance.lens_factor,
        "trained_limit_m": provenance.trained_limit_m,
        "calibration": provenance.calibration,
        "view": provenance.view,
    }


def _read_provenance(fields: Mapping[str, str]) -> Provenance | None:
    if "model" not in fields:
        return None
    size: tuple[int, int] | None = None
    if "network_size" in fields:
        width, _, height = fields["network_size"].partition("x")
        size = (int(height), int(width))
    return Provenance(
        model=fields["model"],
        weights_sha256=fields["weights_sha256"],
        revision=fields.get("revision"),
        limit_m=_number(fields, "limit_m"),
        input_size=fields.get("input_size", "auto"),
        network_size=size,
        precision_asked=fields.get("precision_asked", "auto"),
        precision=fields.get("precision", "fp32"),
        device=fields.get("device", "cpu"),
        tta=fields.get("tta", "none"),
        upsample=fields.get("upsample", "bicubic"),
        metres=fields.get("metres", "trained"),
        lens_factor=_number(fields, "lens_factor"),
        trained_limit_m=_number(fields, "trained_limit_m"),
        calibration=fields.get("calibration"),
        view=fields.get("view"),
    )
