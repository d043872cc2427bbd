from __future__ import annotations

from glpn_cli.data.samples import index_at


def test_a_finite_source_is_seen_once_a_pass_in_another_order_every_pass() -> None:
    passes = [[index_at(p, length=10, seed=3) for p in range(start, start + 10)] for start in (0, 10, 20)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_the_order_depends_on_position_alone() -> None:
    forwards = [index_at(p, length=7, seed=5) for p in range(21)]
    backwards = [index_at(p, length=7, seed=5) for p in reversed(range(21))]
    assert forwards == backwards[::-1]


def test_an_endless_source_is_read_in_its_own_order() -> None:
    assert [index_at(p, length=None, seed=1) for p in (0, 5, 1_000_000)] == [0, 5, 1_000_000]
