"""The fields of a config: what values each may have, and one checker for all of them. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from glpn_cli.errors import ModelError

_T = TypeVar("_T")

ACTIVATIONS = ("gelu", "relu", "selu", "gelu_new")
"""Names that `hidden_act` may have."""

_MOST_SIDE = 65_536


@dataclass(frozen=True)
class _Bounds:
    """The values that a config field may have.

    is_valid:    whether a value, or each item of a list, is allowed
    text:        completes the message "FIELD = VALUE is ..."
    fewest:      least length of a list; None where the field is no list
    is_optional: whether None is allowed
    read:        brings a value to the field's own type, such as a JSON list to a tuple
    """

    is_valid: Callable[[Any], bool]
    text: str
    fewest: int | None = None
    is_optional: bool = False
    read: Callable[[Any], Any] = lambda value: value


def bounded(default: _T, bounds: _Bounds) -> _T:
    """A dataclass field with a default and the bounds that `check_fields` holds it to."""
    if isinstance(default, list):
        return cast(_T, field(default_factory=lambda: list(default), metadata={"bounds": bounds}))
    return field(default=default, metadata={"bounds": bounds})


def is_whole(value: object) -> bool:
    """Whether it is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int, most: int) -> _Bounds:
    """A whole number from `least` to `most`."""
    return _Bounds(lambda value: is_whole(value) and least <= value <= most, f"no whole number from {least} to {most}")


def real(least: float, most: float) -> _Bounds:
    """A finite number from `least` to `most`."""
    return _Bounds(lambda value: _is_real(value) and least <= value <= most, f"no number from {least:g} to {most:g}")


def positive(most: float) -> _Bounds:
    """A finite number above 0, up to `most`."""
    return _Bounds(lambda value: _is_real(value) and 0 < value <= most, f"no number above 0, up to {most:g}")


def probability() -> _Bounds:
    """A rate of dropout: from 0, below 1."""
    return _Bounds(lambda value: _is_real(value) and 0 <= value < 1, "no number from 0 to below 1")


def flag() -> _Bounds:
    """True or false."""
    return _Bounds(lambda value: isinstance(value, bool), "neither true nor false")


def text() -> _Bounds:
    """Text."""
    return _Bounds(lambda value: isinstance(value, str), "no text")


def choice(*names: str) -> _Bounds:
    """One of `names`."""
    return _Bounds(lambda value: isinstance(value, str) and value in names, f"none of {', '.join(names)}")


def function(*names: str) -> _Bounds:
    """One of `names`, or a function."""
    return _Bounds(
        lambda value: value in names if isinstance(value, str) else callable(value),
        f"none of {', '.join(names)}, and no function",
    )


def height_width() -> _Bounds:
    """(height, width) of a picture."""
    return _Bounds(
        lambda value: (
            isinstance(value, tuple) and len(value) == 2 and all(is_whole(v) and 1 <= v <= _MOST_SIDE for v in value)
        ),
        "no (height, width)",
        read=lambda value: tuple(value) if isinstance(value, list) else value,
    )


def sides(most: int) -> _Bounds:
    """A side, or (height, width)."""

    def is_valid(value: Any) -> bool:
        sides = (value, value) if is_whole(value) else value
        return (
            isinstance(sides, list | tuple)
            and len(sides) == 2
            and all(is_whole(side) and 1 <= side <= most for side in sides)
        )

    return _Bounds(is_valid, f"neither a side nor (height, width), each from 1 to {most}")


def factor() -> _Bounds:
    """How many times larger a grid is made: a whole number, or one over a whole number."""

    def is_valid(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and 1 / 64 <= value <= 64
        return is_number and float(value if value >= 1 else 1 / value).is_integer()

    return _Bounds(is_valid, "neither a whole number nor a part of 1")


def each(bounds: _Bounds, *, fewest: int = 1) -> _Bounds:
    """A list, each of whose items is within `bounds`."""
    return replace(bounds, fewest=fewest, read=as_list)


def optional(bounds: _Bounds) -> _Bounds:
    """The same, or None."""
    return replace(bounds, is_optional=True)


def as_sides(value: Any) -> tuple[int, int]:
    """(height, width) of what `sides` allows."""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def as_list(value: Any) -> Any:
    """Turn a tuple into a list; anything else stays as it is."""
    return list(value) if isinstance(value, tuple) else value


def read_fields(config: Any) -> None:
    """Bring every bounded field of a dataclass to its own type."""
    for each_field in fields(config):
        if (bounds := each_field.metadata.get("bounds")) is not None:
            setattr(config, each_field.name, bounds.read(getattr(config, each_field.name)))


def check_fields(config: Any) -> None:
    """Raise ModelError, naming the field and its value, unless every field of a dataclass is within its bounds."""
    for each_field in fields(config):
        bounds, value = each_field.metadata.get("bounds"), getattr(config, each_field.name)
        if bounds is None or (value is None and bounds.is_optional):
            continue
        items = {each_field.name: value}
        if bounds.fewest is not None:
            if not isinstance(value, list) or len(value) < bounds.fewest:
                raise ModelError(f"{each_field.name} = {value!r} is no list of {bounds.fewest} or more")
            items = {f"{each_field.name}[{place}]": item for place, item in enumerate(value)}
        for name, item in items.items():
            if not bounds.is_valid(item):
                raise ModelError(f"{name} = {item!r} is {bounds.text}")
