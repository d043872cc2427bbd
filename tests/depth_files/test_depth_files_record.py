"""A record survives as text, and says in which settings two files differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from depth_samples import PROVENANCE, make_depth, make_result
from hypothesis import given
from hypothesis import strategies as st

from glpn_cli.colormaps import RangePolicy
from glpn_cli.depth_files import ColorizeOptions, Record
from glpn_cli.depth_files.record import CHECKSUM, escape, number_text, unescape
from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.prediction import DepthKind

FULL = Record(
    format="color",
    map="color",
    kind=DepthKind.METRIC,
    source="räume/[/] %41\n\udcff.jpg",
    limit_m=10.0,
    depth_scale=0.1,
    min_max=(0.3, 9.9),
    provenance=PROVENANCE,
    look=ColorizeOptions(
        range=RangePolicy.parse("0.5:8"),
        colormap="turbo",
        invert=True,
        colorbar=True,
        side_by_side=True,
        contours_m=0.5,
    ),
    painted=(0.5, 8.0),
)
BARE = Record(format="npz", map="depth", kind=DepthKind.DISPARITY, source="")


@pytest.mark.parametrize("record", [FULL, BARE], ids=["full", "bare"])
def test_a_record_comes_back_from_its_text(record: Record) -> None:
    assert Record.from_text(record.to_text()) == record


def test_the_text_is_printable_ascii_and_begins_with_the_program() -> None:
    text = FULL.to_text()
    assert next(iter(text)) == "Software"
    assert all(value.isascii() and value.isprintable() for pair in text.items() for value in pair)
    assert text["glpn:source"] == "r%C3%A4ume/[/] %2541%0A%FF.jpg"
    assert text["glpn:unit"] == "m"
    assert text["glpn:network_size"] == "640x480"


def test_disparity_has_no_unit_and_no_limit() -> None:
    depth = make_depth(kind=DepthKind.DISPARITY)
    text = Record.of_result(make_result(depth), depth, format="tiff", map="depth").to_text()
    assert text["glpn:kind"] == "disparity"
    assert "glpn:unit" not in text
    assert "glpn:limit_m" not in text


# What a file name can be: any text, and single bytes that are no UTF-8.
names = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))


@given(names.map(lambda name: name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")))
def test_any_file_name_survives(name: str) -> None:
    assert unescape(escape(name)) == name


@given(st.text(st.characters()))
def test_escaping_never_fails_and_gives_ascii(name: str) -> None:
    assert escape(name).isascii()
    assert "\n" not in escape(name)


@pytest.mark.parametrize(("value", "text"), [(1000.0, "1000"), (0.3, "0.3"), (65.535, "65.535"), (256, "256")])
def test_numbers_are_written_short_and_exact(value: float, text: str) -> None:
    assert number_text(value) == text
    assert float(text) == value


def test_equal_recipes_do_not_differ_whatever_was_learned_since() -> None:
    planned = replace(
        FULL,
        min_max=None,
        painted=None,
        limit_m=None,
        provenance=replace(PROVENANCE, network_size=None, precision="fp32", device="cuda:0", model="./nyu"),
    )
    assert FULL.differences(planned) == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"provenance": replace(PROVENANCE, weights_sha256="cd" * 32)}, "the checksum of the weights is"),
        ({"provenance": replace(PROVENANCE, tta="none")}, "--tta is flip, not none"),
        ({"provenance": None}, "--input-size is 640x480, not unset"),
        ({"limit_m": 80.0}, "the model's limit in metres is 10, not 80"),
        ({"depth_scale": 1000.0}, "--depth-scale is 0.1, not 1000"),
        ({"source": "b/x.jpg"}, "not b/x.jpg"),
        ({"look": ColorizeOptions()}, "range is 0.5:8, not image"),
        ({"painted": (0.5, 9.0)}, "far is 8, not 9"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_difference_is_named_with_both_values(changed: dict[str, object], said: str) -> None:
    differences = FULL.differences(replace(FULL, **changed))  # type: ignore[arg-type]
    assert any(said in str(difference) for difference in differences)


SIGNED = replace(FULL, focal_px=123.5, focal_source="exif", size=(48, 64), pixels_crc32="0" * 8)


@pytest.mark.parametrize("key", [key for key in SIGNED.to_text() if key not in ("Software", CHECKSUM)])
def test_a_letter_that_changed_anywhere_in_a_record_is_told(key: str) -> None:
    text = SIGNED.to_text()
    for at, letter in enumerate(text[key]):
        changed = text | {key: f"{text[key][:at]}{'1' if letter != '1' else '2'}{text[key][at + 1 :]}"}
        with pytest.raises(InputError, match="its record"):
            Record.from_text(changed)
    text[f"{key}x"] = text.pop(key)
    if key != "glpn:format":
        with pytest.raises(InputError, match="record"):
            Record.from_text(text)


def test_a_record_that_makes_sense_and_was_changed_is_told_with_a_way_out() -> None:
    with pytest.raises(InputError, match="checksum does not match") as caught:
        Record.from_text(SIGNED.to_text() | {"glpn:depth_scale": "0.2"})
    assert caught.value.code is ErrorCode.DATA
    assert "make it again" in str(caught.value.hint)


def test_records_of_earlier_versions_have_no_checksum_and_are_read() -> None:
    text = FULL.to_text()
    del text[CHECKSUM]
    assert Record.from_text(text) == FULL


def test_the_order_of_a_records_texts_and_others_beside_it_change_nothing() -> None:
    text = FULL.to_text()
    assert Record.from_text({"Comment": "mine", **dict(reversed(text.items()))}) == FULL


def test_text_of_others_is_no_record() -> None:
    assert Record.from_text({}) is None
    assert Record.from_text({"Software": "GIMP", "glpn:format": "png16"}) is None
    assert Record.from_text({"Software": "glpn-cli 0.1.0"}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("glpn:kind", "metres"),
        ("glpn:depth_scale", "nan"),
        ("glpn:depth_scale", "0"),
        ("glpn:limit_m", "-1"),
        ("glpn:min", "much"),
        ("glpn:network_size", "640"),
        ("glpn:range", "everything"),
        ("glpn:colormap", "jet"),
        ("glpn:contours_m", "inf"),
        ("glpn:near", "9" * 5000),
        ("glpn:source", "\ud800"),  # as damaged JSON has it
    ],
)
def test_a_record_that_makes_no_sense_is_an_input_error(key: str, value: str) -> None:
    with pytest.raises(InputError, match="record"):
        Record.from_text(FULL.to_text() | {key: value})


@pytest.mark.parametrize("key", ["glpn:map", "glpn:kind", "glpn:weights_sha256"])
def test_a_record_without_what_it_needs_says_what_is_missing(key: str) -> None:
    text = FULL.to_text()
    del text[key]
    with pytest.raises(InputError, match=f"no '{key}'"):
        Record.from_text(text)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("source_bytes", text) for text in ("nan", "-5", "1e300", "12.5", "x" * 5000, "9" * 4000, "\u0663")),
        *(("depth_scale", text) for text in ("nan", "-5", "x" * 5000, "9" * 4000)),
    ],
)
def test_a_number_that_makes_no_sense_is_damage_that_is_told_in_few_words(key: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        Record.from_text(FULL.to_text() | {f"glpn:{key}": text})
    assert len(caught.value.message) < 300
