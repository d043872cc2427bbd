"""Calibration by known distances: a scale, or a scale and a shift, kept in a small JSON file.

Metres are `scale * depth + shift`; for disparity, which is inverse, they are `1 / (scale * disparity + shift)`. Known
distances are along the optical axis, as all depths here are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glpn_cli.atomic_write import write_atomically
from glpn_cli.errors import ErrorCode, InputError, UsageError, code_of, reason_of
from glpn_cli.prediction import DepthKind, DepthMap, Provenance

_SCHEMA = 1
_MAX_BYTES = 1 << 20
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class KnownDistance:
    """A pixel whose distance somebody measured.

    x, y:  the pixel, from 0 at the top left
    found: the number of the map there, in its own unit
    metres: the true distance
    """

    x: int
    y: int
    found: float
    metres: float


@dataclass(frozen=True)
class Calibration:
    """The scale and shift that turn a model's depths, of one camera, into true metres.

    kind:           the meaning of the depths that it is for
    points:         the known distances that it was fitted to
    source, model, weights_sha256: the picture and the model that they are from, where that is known
    limit_m:        that model's depth at full scale, metres, which --max-depth changes, where that is known
    """

    kind: DepthKind
    scale: float
    shift: float = 0.0
    points: tuple[KnownDistance, ...] = ()
    source: str | None = None
    model: str | None = None
    weights_sha256: str | None = None
    limit_m: float | None = None

    @classmethod
    def fit(
        cls,
        kind: DepthKind,
        points: Sequence[KnownDistance],
        *,
        provenance: Provenance | None = None,
        source: str | None = None,
    ) -> Calibration:
        """Fit known distances: one gives a scale, two a scale and a shift, more the line that fits best.

        provenance: how the map was made

        Raises UsageError where they are too few for this kind of depth, or contradict it.
        """
        found = np.array([each.found for each in points], np.float64)
        wanted = np.array([each.metres for each in points], np.float64)
        if kind is DepthKind.DISPARITY:
            wanted = 1 / wanted
        if len(points) == 1:
            if kind in (DepthKind.AFFINE, DepthKind.DISPARITY, DepthKind.UNKNOWN):
                raise UsageError(
                    f"{kind.value} depth needs two known distances or more", hint="Give --calibrate twice."
                )
            scale, shift = float(wanted[0] / found[0]), 0.0
        elif np.ptp(found) <= 1e-6 * np.abs(found).max():
            raise UsageError(
                "the map has the same depth at all the known distances", hint="Choose pixels farther apart."
            )
        else:
            slope, offset = np.polyfit(found, wanted, 1)
            scale, shift = float(slope), float(offset)
        if not scale > 0:
            raise UsageError(
                "points that are farther by the known distances are nearer in the map", hint="Check pixels and metres."
            )
        _check_uncalibrated(provenance)
        return cls(
            kind,
            scale,
            shift,
            tuple(points),
            source=source,
            model=provenance.model if provenance else None,
            weights_sha256=provenance.weights_sha256 if provenance else None,
            limit_m=provenance.limit_m if provenance else None,
        )

    @property
    def text(self) -> str:
        """The same in a line, as records carry it."""
        return f"{self.kind.value} scale {self.scale:.9g} shift {self.shift:.9g}"

    def apply(self, depth: DepthMap) -> DepthMap:
        """The map in true metres; what comes out at or behind the camera becomes a hole.

        Raises InputError for depth of another kind.
        """
        if depth.kind is not self.kind:
            raise InputError(f"the calibration is for {self.kind.value} depth, and this is {depth.kind.value}")
        with np.errstate(all="ignore"):
            values = self._metres(depth.values).astype(np.float32)
        valid = np.isfinite(values) & (values > 0)
        if depth.valid is not None:
            valid &= depth.valid
        if valid.all():
            return DepthMap(values, limit=self.limit_of(depth.limit))
        return DepthMap(np.where(valid, values, np.float32(0)), valid=valid, limit=self.limit_of(depth.limit))

    def apply_to_std(self, std: NDArray[np.float32], metres: DepthMap) -> NDArray[np.float32]:
        """Uncertainty, float32 (H, W), in true metres; a shift changes nothing.

        metres: the map in true metres; for disparity a small step s of it is depth^2 * scale * s, to first order
        """
        if self.kind is not DepthKind.DISPARITY:
            return std * np.float32(self.scale)
        return metres.values**2 * np.float32(self.scale) * std

    def limit_of(self, limit_m: float | None) -> float | None:
        """The largest depth that comes out, where the largest that goes in is known."""
        return None if limit_m is None else float(self._metres(np.float64(limit_m)))

    def apply_to(self, provenance: Provenance | None) -> Provenance:
        """The provenance of calibrated depths."""
        made = provenance or Provenance(model=_UNKNOWN, weights_sha256=_UNKNOWN)
        return replace(made, limit_m=self.limit_of(made.limit_m), calibration=self.text)

    def check(self, kind: DepthKind, provenance: Provenance | None) -> None:
        """Raise UsageError for depth of another kind, model or limit, and for metres that were changed already."""
        hint = "Run: glpn measure FILE --calibrate x,y=METRES"
        _check_uncalibrated(provenance)
        if kind is not self.kind:
            raise UsageError(f"the calibration is for {self.kind.value} depth, and this is {kind.value}", hint=hint)
        known = None if provenance is None or provenance.weights_sha256 == _UNKNOWN else provenance.weights_sha256
        if None not in (known, self.weights_sha256) and known != self.weights_sha256:
            assert provenance is not None
            raise UsageError(f"the calibration is for model {self.model}, and this is {provenance.model}", hint=hint)
        limit = None if provenance is None else provenance.limit_m
        if limit is not None and self.limit_m is not None and not math.isclose(limit, self.limit_m, rel_tol=1e-5):
            raise UsageError(
                f"the calibration is for metres to {self.limit_m:g}, and these go to {limit:g}, by another --max-depth",
                hint=hint,
            )

    def to_json(self) -> dict[str, Any]:
        """The content of its file."""
        return {
            "schema": _SCHEMA,
            "type": "calibration",
            "kind": self.kind.value,
            "scale": self.scale,
            "shift": self.shift,
            "points": list(map(asdict, self.points)),
            **{
                key: value
                for key in ("source", "model", "weights_sha256", "limit_m")
                if (value := getattr(self, key)) is not None
            },
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Calibration:
        """Read `to_json` back. Raises ValueError, OverflowError, TypeError or KeyError where it makes no sense."""
        if raw.get("type") != "calibration" or raw.get("schema") != _SCHEMA:
            raise ValueError("it is no calibration, or of an unknown version")
        scale, shift = float(raw["scale"]), float(raw["shift"])
        if not (math.isfinite(scale) and scale > 0 and math.isfinite(shift)):
            raise ValueError(f"scale {scale:g} and shift {shift:g} make no metres")
        points = tuple(
            KnownDistance(int(each["x"]), int(each["y"]), float(each["found"]), float(each["metres"]))
            for each in raw.get("points", ())
        )
        named = {key: str(raw[key]) for key in ("source", "model", "weights_sha256") if key in raw}
        limit_m = float(raw["limit_m"]) if "limit_m" in raw else None
        return cls(DepthKind(raw["kind"]), scale, shift, points, **named, limit_m=limit_m)

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read one's file. Raises UsageError, since a run is not started without it."""
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_BYTES)
        except OSError as error:
            raise UsageError(f"cannot read {str(path)!r}: {reason_of(error)}", code=code_of(error)) from error
        try:
            raw = json.loads(text)
            if not isinstance(raw, dict):
                raise TypeError("it is no JSON object")  # noqa: TRY301 (told like all other nonsense)
            return cls.from_json(raw)
        except (ValueError, OverflowError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{str(path)!r} is no calibration: {error}",
                hint="Run: glpn measure FILE --calibrate x,y=METRES",
                code=ErrorCode.DATA,
            ) from error

    def write(self, path: Path) -> None:
        """Write the file, over an older calibration. Raises UsageError where the path is anything else."""
        if path.exists():
            try:
                Calibration.read(path)
            except UsageError as error:
                raise UsageError(
                    f"{str(path)!r} is in the way, and is no calibration", hint="Name another file with -o."
                ) from error
        write_atomically(path, json.dumps(self.to_json(), indent=2).encode() + b"\n")

    def _metres(self, values: Any) -> Any:
        linear = values * self.scale + self.shift
        return 1 / linear if self.kind is DepthKind.DISPARITY else linear


def _check_uncalibrated(provenance: Provenance | None) -> None:
    """Raise UsageError for calibrated depth, and for metres of the picture's own lens: a calibration replaces both."""
    if provenance is None:
        return
    if provenance.calibration is not None:
        raise UsageError(
            f"this depth is calibrated already ({provenance.calibration})",
            hint="Start from the map as the model made it.",
        )
    if provenance.metres != "trained":
        raise UsageError(
            f"this depth is in metres of its picture's own lens already ({provenance.metres}), and a calibration makes "
            "up for the lens itself",
            hint="Leave out one of the two, --metres focal or the calibration.",
        )
