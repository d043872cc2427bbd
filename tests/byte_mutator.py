"""Bytes, broken on purpose: the same seed breaks them in the same way, on every machine."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

_TELLING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
_SIZES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutate(data: bytes, seed: int | str) -> bytes:
    """`data` with one to four things wrong with it; half of them among the first bytes, where the structure is."""
    chance = random.Random(seed)
    broken = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(_WAYS)(broken, chance)
    return bytes(broken)


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(max(1, min(len(data), 200) if chance.random() < 0.5 else len(data)))


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] = chance.choice((*_TELLING, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _leave_out(data: bytearray, chance: random.Random) -> None:
    start = _place(data, chance)
    del data[start : start + chance.choice((1, 2, 4, 40, 400))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = _place(data, chance)
    piece = data[start : start + chance.choice((1, 4, 40, 400))]
    data[start:start] = piece * chance.choice((1, 1, 20))


def _overwrite(data: bytearray, chance: random.Random) -> None:
    start = _place(data, chance)
    data[start : start + chance.randrange(1, 40)] = chance.randbytes(chance.randrange(1, 40))


def _blank(data: bytearray, chance: random.Random) -> None:
    start = _place(data, chance)
    length = min(chance.choice((4, 40, 4000)), len(data) - start)
    data[start : start + length] = bytes(length)


def _resize(data: bytearray, chance: random.Random) -> None:
    """Write a telling number where a length or an offset may be."""
    start = _place(data, chance)
    form = chance.choice(("<I", ">I", "<H", ">H", "<Q"))
    number = chance.choice(_SIZES) & (256 ** struct.calcsize(form) - 1)
    data[start : start + struct.calcsize(form)] = struct.pack(form, number)


def _join(data: bytearray, chance: random.Random) -> None:
    """Swap two stretches."""
    if len(data) > 8:
        one, other = sorted(chance.sample(range(len(data)), 2))
        data[:] = data[other:] + data[one:other] + data[:one]


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _set, _set),
    *(_cut, _leave_out, _repeat, _overwrite, _blank, _resize, _resize, _join),
)
