"""Every piece of furniture and every texture keeps the contract that the others keep."""

from __future__ import annotations

import numpy as np
import pytest

from glpn_cli.scenes.arrange import ODD, PLANS, fit_kitchen
from glpn_cli.scenes.chance import Chance
from glpn_cli.scenes.furniture import Maker
from glpn_cli.scenes.furniture.clutter import SMALL, Thing
from glpn_cli.scenes.materials import Material, Texture
from glpn_cli.scenes.noise import stripe
from glpn_cli.scenes.parts import Parts
from glpn_cli.scenes.render import bound_solids
from glpn_cli.scenes.room import KINDS
from glpn_cli.scenes.shell import build_shell
from glpn_cli.scenes.style import Style
from glpn_cli.scenes.textures import texture

MAKERS = sorted(
    {maker for along, free in PLANS.values() for _, maker in (*along, *free)} | {maker for _, maker in ODD},
    key=lambda maker: maker.__name__,
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_piece_stands_on_the_floor_about_where_it_says(make: Maker) -> None:
    for seed in range(12):
        parts = Parts()
        piece = make(Style(parts, Chance(seed)))
        assert piece.width > 0
        assert piece.depth > 0
        piece.draw()
        solids, _, materials, _ = parts.arrays()
        assert len(solids) > 0
        assert np.isfinite(solids).all()
        assert solids[:, 19].max() < len(materials)
        low, high = bound_solids(solids)
        assert -0.15 < low[:, 2].min() < 0.3
        # Chairs may stand off their table, leaves spread, people stretch out a hand.
        assert np.abs(np.concatenate([low[:, 0], high[:, 0]])).max() < 0.5 * piece.width + 0.75
        assert np.abs(np.concatenate([low[:, 1], high[:, 1]])).max() < 0.5 * piece.depth + 1.1


@pytest.mark.parametrize("thing", [thing for _, thing in SMALL], ids=lambda thing: thing.__name__)
def test_a_small_thing_is_small_and_stands(thing: Thing) -> None:
    for seed in range(12):
        parts = Parts()
        assert 0 < thing(Style(parts, Chance(seed))) < 0.4
        low, high = bound_solids(parts.arrays()[0])
        assert low[:, 2].min() > -0.1
        assert np.abs(np.concatenate([low, high])).max() < 0.9


@pytest.mark.parametrize("kind", Texture, ids=lambda kind: kind.name.lower())
def test_a_texture_gives_colours_at_any_distance(kind: Texture) -> None:
    rng = np.random.default_rng(int(kind))
    for _ in range(20):
        a, b, c = rng.uniform(0, 0.9, (3, 3)).tolist()
        numbers = rng.uniform(0.05, 1.0, 6).tolist()
        material = Material(
            kind,
            tuple(a),
            tuple(b),
            tuple(c),
            numbers[0],
            max(numbers[1], 0.2),
            max(numbers[2], 0.2),
            int(rng.integers(1000)),
            *numbers[3:],
            glow=1.0,
        )
        row = np.array(material.row())
        for foot in (1e-4, 0.01, 0.3, 5.0):
            u, v = rng.uniform(-0.5, 0.5, 2)
            colour, glow = texture(row, u, v, 0.5, 0.5, foot, 0)
            assert np.isfinite([*colour, glow]).all()
            assert min(*colour, glow) >= -1e-9
            assert max(*colour, glow) < 3.0


@pytest.mark.parametrize(
    "kind",
    [
        Texture.TILES,
        Texture.BRICKS,
        Texture.PLANKS,
        Texture.STRIPES,
        Texture.DOTS,
        Texture.CARPET,
        Texture.CELLS,
        Texture.WEAVE,
    ],
    ids=lambda kind: kind.name.lower(),
)
def test_a_texture_fades_to_its_mean_where_a_pixel_is_wider_than_its_pattern(kind: Texture) -> None:
    material = Material(kind, (0.8, 0.8, 0.8), (0.1, 0.1, 0.1), (0.3, 0.3, 0.3), 0.1, 0.4, 1.0, 3, s=0.5)
    row = np.array(material.row())
    points = np.random.default_rng(0).uniform(-2, 2, (300, 2))
    near = np.std([texture(row, u, v, 2.0, 2.0, 1e-3, 0)[0][1] for u, v in points])
    far = np.std([texture(row, u, v, 2.0, 2.0, 2.0, 0)[0][1] for u, v in points])
    assert near > 0.03
    assert far < 0.3 * near


def test_a_stripe_keeps_its_mean_at_every_width_of_pixel() -> None:
    for foot in (0.001, 0.1, 0.5, 0.9, 3.0):
        mean = np.mean([stripe(x, 0.3, foot) for x in np.linspace(0, 1, 2000, endpoint=False)])
        assert mean == pytest.approx(0.3, abs=0.03)


def test_a_fitted_kitchen_goes_round_a_corner_at_one_height_and_leaves_doors_and_windows_free() -> None:
    turns = 0
    for seed in range(30):
        parts = Parts()
        style = Style(parts, Chance(seed))
        room = build_shell(style, "kitchen")
        before = [list(wall.taken) for wall in room.walls]
        fit_kitchen(style, room)
        lines = [
            (low, high, height)
            for wall, old in zip(room.walls, before, strict=True)
            for low, high, height in wall.taken[len(old) :]
        ]
        for wall, old in zip(room.walls, before, strict=True):
            for low, high, height in wall.taken[len(old) :]:
                assert low >= wall.low - 1e-6
                assert high <= wall.high + 1e-6
                blocking = [a for a, b, sill in old if low + 0.05 < b and high - 0.05 > a and 0 <= sill < 0.8]
                assert blocking == []
                assert -height < room.height
        assert len({z for _, _, z in room.tops}) <= 1
        turns += len(lines) > 1
        boxes = room.taken[len(room.taken) - len(lines) :]
        assert all(0 <= a < c <= room.width + 1e-6 and 0 <= b < e <= room.length + 1e-6 for a, b, c, e in boxes)
    assert turns > 10


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_room_can_be_built_and_furnished(kind: str) -> None:
    assert set(KINDS) == set(PLANS)
    for seed in range(5):
        parts = Parts()
        room = build_shell(Style(parts, Chance(seed)), kind)
        _, air, materials, _ = parts.arrays()
        assert min(room.width, room.length) > 1.0
        assert 2.2 < room.height < 5.0
        assert (air[:, 3:6] > air[:, 0:3]).all()
        assert air[:, 6:].max() < len(materials)
