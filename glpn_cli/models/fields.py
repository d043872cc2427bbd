"""What the fields of a config may be, checked by name. No torch."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from glpn_cli.errors import ModelError

_MOST_SIDE = 65_536


def is_whole(value: object) -> bool:
    """Whether it is an integer, which True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_whole(config: object, name: str, least: int, most: int) -> None:
    """Raise ModelError unless the field is a whole number from `least` to `most`."""
    value = getattr(config, name)
    if not (is_whole(value) and least <= value <= most):
        raise ModelError(f"{name} = {value!r} is no whole number from {least} to {most}")


def check_wholes(config: object, name: str, least: int, most: int) -> None:
    """Raise ModelError unless the field is a list of whole numbers from `least` to `most`, not empty."""
    values = getattr(config, name)
    if not (isinstance(values, list) and values):
        raise ModelError(f"{name} = {values!r} is no list of numbers")
    for place, value in enumerate(values):
        if not (is_whole(value) and least <= value <= most):
            raise ModelError(f"{name}[{place}] = {value!r} is no whole number from {least} to {most}")


def check_real(
    config: object, name: str, least: float, most: float, *, lowest_too: bool = True, highest_too: bool = True
) -> None:
    """Raise ModelError unless the field is a finite number between `least` and `most`."""
    value = getattr(config, name)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (value >= least if lowest_too else value > least)
    if not (fits and (value <= most if highest_too else value < most)):
        raise ModelError(f"{name} = {value!r} is no number between {least:g} and {most:g}")


def check_flag(config: object, name: str) -> None:
    """Raise ModelError unless the field is true or false."""
    value = getattr(config, name)
    if not isinstance(value, bool):
        raise ModelError(f"{name} = {value!r} is neither true nor false")


def check_choice(config: object, name: str, choices: Collection[Any]) -> None:
    """Raise ModelError unless the field is one of `choices`."""
    value = getattr(config, name)
    if not isinstance(value, str | None) or value not in choices:
        raise ModelError(f"{name} = {value!r} is none of {', '.join(map(str, choices))}")


def check_function(config: object, name: str, names: Collection[str]) -> None:
    """Raise ModelError unless the field is one of `names` or a function."""
    value = getattr(config, name)
    if isinstance(value, str) and value not in names:
        raise ModelError(f"{name} = {value!r} is none of {', '.join(names)}")
    if not (isinstance(value, str) or callable(value)):
        raise ModelError(f"{name} = {value!r} is neither a name nor a function")


def check_size(config: object, name: str) -> None:
    """Raise ModelError unless the field is (height, width) of a picture."""
    value = getattr(config, name)
    if not (isinstance(value, tuple) and len(value) == 2 and all(is_whole(v) and 1 <= v <= _MOST_SIDE for v in value)):
        raise ModelError(f"{name} = {value!r} is no (height, width)")


def check_text(config: object, name: str) -> None:
    """Raise ModelError unless the field is text, or None."""
    value = getattr(config, name)
    if not isinstance(value, str | None):
        raise ModelError(f"{name} = {value!r} is no text")


def as_list(value: Any) -> Any:
    """Tuples are taken for lists; anything else is left for the checks."""
    return list(value) if isinstance(value, tuple) else value


def as_tuple(value: Any) -> Any:
    """The same the other way, for JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value
