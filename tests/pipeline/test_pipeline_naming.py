"""What results are called, and which format an output file's extension means."""

from __future__ import annotations

from pathlib import Path

import pytest

from glpn_cli.depth_files import FORMATS
from glpn_cli.errors import UsageError
from glpn_cli.pipeline.naming import Destination, NameTemplate, choose_formats


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("{stem}_{map}", "x.jpg", "x_depth"),
        ("{stem}_{map}", "a/b/x.tar.jpg", "a/b/x.tar_depth"),
        ("{stem}", "a/.hidden", "a/.hidden"),
        ("{stem}_{map}", "noextension", "noextension_depth"),
        ("{name}", "a/x.jpg", "a/x.jpg"),
        ("{map}/{stem}", "a/x.jpg", "a/depth/x"),
        ("{parent}_{stem}", "a/b/x.jpg", "b_x"),
        ("{parent}/{stem}", "x.jpg", "holiday/x"),
        ("{stem}_{model}", "x.jpg", "x_glpn-nyu"),
        ("{stem}", "{map}.jpg", "{map}"),
        ("{stem}_{format}", "x.jpg", "x_png16"),
        ("fixed", "x.jpg", "fixed"),
    ],
)
def test_templates_are_filled(template: str, name: str, expected: str) -> None:
    filled = NameTemplate(template).fill(name, parent="holiday", map="depth", format="png16", model="nyu/glpn-nyu@main")
    assert filled == expected


@pytest.mark.parametrize(
    "template", ["", "/abs/{stem}", "../{stem}", "a/../../{stem}", "{stem}/", "{nope}", "{stem", "stem}", "{}", "a\0b"]
)
def test_templates_that_lead_elsewhere_or_nowhere_are_refused(template: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        NameTemplate(template)


def test_a_destination_is_a_folder_a_file_or_standard_output(tmp_path: Path) -> None:
    assert Destination.parse("-").is_stdout
    assert Destination.parse("out") == Destination(Path("out"))
    assert Destination.parse("out.d") == Destination(Path("out.d"))
    assert Destination.parse("x.npy") == Destination(Path("x.npy"), is_file=True)
    assert Destination.parse("x.PNG").is_file
    assert not Destination.parse("x.npy/").is_file
    (tmp_path / "y.jpg").mkdir()
    assert not Destination.parse(str(tmp_path / "y.jpg")).is_file, "a folder that is there is meant"


@pytest.mark.parametrize("text", ["", "x.jpg", "x\0y"])
def test_destinations_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--output"):
        Destination.parse(text)


def test_a_folder_that_looks_like_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        Destination.parse(str(tmp_path / "x.npy"))


@pytest.mark.parametrize(
    ("asked", "output", "expected"),
    [
        (None, "out", ["png16"]),
        (None, "x.npy", ["npy"]),
        (None, "x.png", ["png16"]),
        ("npy,png16,npy", "out", ["npy", "png16"]),
        (" NPY , color", "out", ["npy", "color"]),
        ("color", "x.png", ["color"]),
    ],
)
def test_formats_come_from_the_option_the_extension_or_the_default(
    asked: str | None, output: str, expected: list[str]
) -> None:
    assert choose_formats(asked, Destination.parse(output), default="png16", allowed=list(FORMATS)) == expected


@pytest.mark.parametrize(("asked", "output"), [("png17", "out"), ("", "out"), (",", "out"), ("npy", "x.png")])
def test_formats_that_do_not_exist_or_fit_are_refused(asked: str, output: str) -> None:
    with pytest.raises(UsageError):
        choose_formats(asked, Destination.parse(output), default="png16", allowed=list(FORMATS))


def test_an_extension_that_the_command_does_not_write_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\.npy"):
        choose_formats(None, Destination.parse("x.npy"), default="color", allowed=["color", "gray"])
