"""The network sees a size near the one it was trained at, whatever the picture's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glpn_cli.errors import InputError, UsageError
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.glpn.config import GLPNConfig

CONFIG = GLPNConfig()  # trained at 480x640
sides = st.integers(1, 20_000)


def size_for(picture: tuple[int, int], asked: str = "auto") -> tuple[int, int]:
    return CONFIG.network_size(picture, InputSize.parse(asked))


@pytest.mark.parametrize(
    ("picture", "asked", "expected"),
    [
        ((480, 640), "auto", (480, 640)),
        ((500, 650), "auto", (480, 640)),
        ((3000, 4000), "auto", (480, 640)),
        ((4000, 3000), "auto", (640, 480)),
        ((31, 31), "auto", (32, 32)),
        ((1, 1), "auto", (32, 32)),
        ((33, 95), "auto", (32, 64)),
        ((3000, 4000), "original", (2976, 4000)),
        ((3000, 4000), "320", (256, 320)),
        ((3000, 4000), "640x480", (480, 640)),
    ],
)
def test_sizes_follow_the_policy(picture: tuple[int, int], asked: str, expected: tuple[int, int]) -> None:
    assert size_for(picture, asked) == expected


@given(sides, sides)
def test_auto_takes_any_picture_and_stays_near_the_training_area(height: int, width: int) -> None:
    h, w = size_for((height, width))
    assert h % 32 == 0
    assert w % 32 == 0
    assert min(h, w) >= 32
    assert h * w <= max(1.6 * 480 * 640, 32 * max(h, w))


@given(st.integers(32, 5000), st.integers(32, 5000))
def test_original_is_the_published_rule(height: int, width: int) -> None:
    assert size_for((height, width), "original") == (height // 32 * 32, width // 32 * 32)


def test_original_refuses_what_the_published_processor_cannot_do() -> None:
    with pytest.raises(InputError, match="20x400"):
        size_for((400, 20), "original")


def test_an_exact_size_that_does_not_fit_is_refused_with_one_that_does() -> None:
    with pytest.raises(UsageError, match="600x400") as caught:
        size_for((10, 10), "600x400")
    assert "608x384" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["auto", "original", "640", "640x480"])
def test_a_size_is_written_as_it_is_read(text: str) -> None:
    assert str(InputSize.parse(text)) == text


@pytest.mark.parametrize("text", ["", "0", "x", "640x", "-3", "640x0", "big", "640*480"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="input-size"):
        InputSize.parse(text)
