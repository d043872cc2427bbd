# mypy: warn-return-any=False
"""Places, directions and linear colours: three numbers each, which the kernels hand about as one."""

from __future__ import annotations

import math

import numpy as np

from glpn_cli.scenes.compiled import Floats, compiled_small

Vector = tuple[float, float, float]


@compiled_small
def three(row: Floats, at: int) -> Vector:
    """Three numbers of a row, from column `at` on; float64, so that kernels are compiled for one kind of number."""
    return np.float64(row[at]), np.float64(row[at + 1]), np.float64(row[at + 2])


@compiled_small
def times(a: Vector, factor: float) -> Vector:
    """A vector so many times as long, a colour so many times as bright."""
    return a[0] * factor, a[1] * factor, a[2] * factor


@compiled_small
def along(a: Vector, t: float, way: Vector) -> Vector:
    """Where a ray from `a` is after `t` lengths of its direction."""
    return a[0] + t * way[0], a[1] + t * way[1], a[2] + t * way[2]


@compiled_small
def minus(a: Vector, b: Vector) -> Vector:
    """The way from `b` to `a`."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@compiled_small
def blend(a: Vector, b: Vector, share: float) -> Vector:
    """From `a` to `b`, a share of the way."""
    return along(a, share, minus(b, a))


@compiled_small
def dot(a: Vector, b: Vector) -> float:
    """The product of the lengths and of the cosine between."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled_small
def length(a: Vector) -> float:
    """How long it is."""
    return math.sqrt(dot(a, a))


@compiled_small
def put(row: Floats, at: int, a: Vector) -> None:
    """Make a vector the numbers of a row, from column `at` on."""
    row[at], row[at + 1], row[at + 2] = a
