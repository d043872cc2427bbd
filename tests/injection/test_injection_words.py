"""Command lines made by chance of real options, with good values and bad: a documented exit code, and no surprise."""

from __future__ import annotations

import io
import math
import os
import random
import shutil
import time
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from conftest import write_tiny_model
from faulty_calls import ending_within
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.atomic_write import is_temporary
from glpn_cli.cli import app

EXIT_CODES = {0, 1, 2, 3, 4, 141}
COMMANDS = (
    *("predict", "export", "measure", "inspect", "convert") * 4,
    "evaluate",
    "train",
    "models",
    "models",
    "doctor",
)
"""Not bench and scenes, whose shortest run is too long for this."""

INPUTS = ("photos", "photos/a.jpg", "photos/sub", "maps", "maps/a_depth.png", "maps/a_depth.npy", "-", "nothere.jpg")
INPUTS += ("photos/*.png", "nothing*.jpg", "", "a\nb", "[/]", "broken.jpg", "model", "photos/sub/d.png", "pairs.csv")
FILES = ("out/f", "out/f.json", "out/f.html", "photos", "nothere/f", "", "pairs.csv", "-", "/dev/null", "broken.jpg")
MODELS = (
    "model",
    "model",
    "model",
    "./model",
    "mini",
    "model/model.safetensors",
    "nothere",
    "",
    "a/b/c",
    "../x",
    "kitti",
)
MODELS += ("http://x/y", "owner/name@../../x", "photos", "broken.jpg", "\0")

VALUES: dict[str, tuple[str, ...]] = {
    "--output": (
        "out",
        "out",
        "out",
        "out/sub",
        "out/x.png",
        "out/x.npy",
        "-",
        "/dev/null",
        "",
        "model",
        "photos/a.jpg",
    ),
    "--model": MODELS,
    "--calibration": ("calibration.json", "nothere.json", "broken.jpg", ""),
    "--config": ("model/config.json", "nothere.json", "b7", "broken.jpg"),
    "--data": ("pairs.csv", "nothere.csv", "broken.jpg", "nyu:photos", "kitti:", "scenes:x", "photos", ""),
    "--val": ("pairs.csv", "nothere.csv", ""),
    "--predictions": ("maps", "photos", "nothere"),
    "--report": ("out/report.jsonl", "out/sub/r", "photos", ""),
    "--html": ("out/page.html", "out/page.txt", "photos/a.jpg", ""),
    "--files-from": ("list.txt", "-", "nothere.txt", "broken.jpg", ""),
    "--files0-from": ("list.txt", "-", "nothere.txt", ""),
    "--root": (".", "photos", "/", "nothere", ""),
    "--name": ("{stem}_{map}", "{name}", "../{stem}", "/{stem}", "{", "{nonsense}", "", "a", "{stem}\0", "." * 300),
    "--format": (
        "png16",
        "npy,color",
        "ply",
        "tiff,npz,pfm,exr",
        "nonsense",
        "",
        "color",
        "png16,png16",
        "gray,gray16",
    ),
    "--input-size": ("auto", "original", "64", "64x32", "0", "x", "1x1", "-5", "64x", "99999999", ""),
    "--max-depth": ("10", "0", "-1", "nan", "inf", "1e-30", "1e30", "x", "80"),
    "--depth-scale": ("1000", "256", "0", "-1", "nan", "inf", "1e30", "1e-30"),
    "--start": ("0", "1s", "0:01", "-1", "nan", "soon", "9" * 30, ""),
    "--end": ("1s", "500ms", "0", "x"),
    "--at": ("1s", "0", "x", ""),
    "--fps": ("5", "0", "-1", "nan", "inf", "x"),
    "--range": ("image", "batch", "model", "running", "1:5", "5:1", "p5:p95", "p95:p5", "0:0", "nan:1", "x", ""),
    "--metres": ("trained", "focal", "x", ""),
    "--focal": ("auto", "500px", "28mm", "65deg", "0px", "-5mm", "180deg", "nanpx", "x", ""),
    "--shard": ("1/1", "0/2", "1/2", "3/2", "x", "1/0", "-1/2"),
    "--batch-size": ("auto", "1", "3", "0", "-1", "x", "4096", "5000"),
    "--workers": ("1", "2", "8", "0", "-1", "x", "1000000"),
    "--threads": ("1", "2", "0", "-1", "x", "1000000000000"),
    "--allow-failed": ("0", "3", "50%", "101%", "-1", "x", "nan%"),
    "--max-pixels": ("1000", "250000000", "0", "-1", "x", "1" * 40),
    "--frame": ("0", "1", "-1", "999999999999", "x"),
    "--timeout": ("60", "0", "-1", "nan", "x"),
    "--device": ("auto", "cpu", "cuda", "cuda:99", "cuda:-1", "mps", "nonsense", ""),
    "--box": ("0,0,5,5", "5,5,0,0", "x", "-1,-1,9999,9999", "0,0,0,0"),
    "--calibrate": ("3,4=2", "3,4=0", "3,4=-1", "3,4=nan", "9999,9999=1", "x", "3,4=1e300"),
    "--contours": ("0.5", "0", "-1", "nan", "1e-9", "x"),
    "--steps": ("1", "2", "0", "-1", "x"),
    "--epochs": ("0.01", "0", "-1", "nan", "x"),
    "--every": ("1", "0", "5", "x"),
    "--learning-rate": ("1e-4", "0", "-1", "nan", "1e30", "x"),
    "--val-count": ("1", "0", "x"),
    "--seed": ("0", "5", "-1", "9" * 30, "x"),
}
ALWAYS = {
    "train": ("--data", "pairs.csv", "-m", "model", "-o", "out/run", "--steps", "1", "--batch-size", "1"),
    "evaluate": ("--data", "pairs.csv", "-m", "model"),
    "convert": ("-o", "out/converted"),
    "predict": ("-m", "model", "-o", "out"),
    "export": ("-m", "model", "-o", "out"),
    "measure": ("-m", "model", "-o", "out/c.json"),
}
NEVER = {"--install-completion", "--show-completion", "--help", "--debug"}  # the last shows tracebacks


def parameters_of(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "option" and not NEVER & set(each.opts)]


def make_words(chance: random.Random, program: Any) -> list[str]:
    """A command line by chance."""
    name = chance.choice(COMMANDS)
    command = program.commands[name]
    words = [name]
    if hasattr(command, "commands"):
        sub = chance.choice(["list", "path", "verify", "download", "nonsense"])
        words.append(sub)
        command = command.commands.get(sub)
        if command is None:
            return words
    words += [_pick(INPUTS, chance) for _ in range(chance.choice((0, 1, 1, 1, 1, 2) if name != "train" else (0,)))]
    if name == "measure":
        pixels = ("3,4", "0,0", "5,6", "-1,5", "9999,1", "x", "1,2,3", "nan,1")
        words += [_pick(pixels, chance) for _ in range(chance.choice((0, 1, 2)))]
    words += ALWAYS.get(name, ())
    options = parameters_of(command)
    for option in chance.sample(options, min(len(options), chance.choice((0, 1, 1, 2, 3, 5)))):
        words += _say(option, chance)
    if chance.random() < 0.1:
        words.append(chance.choice(("--nonsense", "--", "-", "-Z", "--model", "-o")))
    return words


def _say(option: Any, chance: random.Random) -> list[str]:
    word = chance.choice([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return [word]
    known = next((VALUES[each] for each in option.opts if each in VALUES), None)
    choices = option.type_descriptor.annotation
    if known is None and isinstance(choices, type) and issubclass(choices, Enum):
        known = (*(str(each.value) for each in choices), "nonsense", "")
    return [word, _pick(known or ("1", "0", "out/x", "", "-1", "x", "nan"), chance)]


def _pick(values: tuple[str, ...], chance: random.Random) -> str:
    """One of them, more often one of the first, which are the good ones."""
    return values[int(len(values) * chance.random() ** 2)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parts[0] != "out"}


@pytest.fixture
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untouched_pictures: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    torch.set_num_threads(1)
    shutil.copytree(untouched_pictures, "photos")
    write_tiny_model(Path("model"))
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    Path("list.txt").write_text("photos/a.jpg\nphotos/b.png\nnothere.jpg\n")
    Image.new("I;16", (97, 65), 2000).save("true.png")
    Path("pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphotos/b.png,true.png,1000\n")
    made = CliRunner().invoke(app, ["predict", "photos/a.jpg", "-m", "model", "-f", "png16,npy", "-o", "maps"])
    assert made.exit_code == 0, made.output
    calibrated = ["measure", "maps/a_depth.png", "--calibrate", "3,4=2", "-o", "calibration.json"]
    assert CliRunner().invoke(app, calibrated).exit_code == 0


def run(words: list[str], chance: random.Random) -> Result:
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    given = chance.choice((b"", b"photos/a.jpg\n", picture.getvalue(), bytes(64 * 48 * 3), b"\xff\0\n"))
    with ending_within(120):
        return CliRunner().invoke(app, words, input=given, catch_exceptions=False)


def try_words(seed: int, *, seconds: float = math.inf, tries: float = math.inf) -> int:
    """Run random command lines for a time or so many times; returns how many."""
    program = typer.main.get_command(app)
    before = contents(Path())
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + seconds and count < tries:
        chance = random.Random(f"{seed} {count}")
        words = make_words(chance, program)
        try:
            result = run(words, chance)
            said = result.stderr
            assert result.exit_code in EXIT_CODES, said
            assert "Traceback" not in said, said
            assert "bug in glpn" not in said, said
            assert result.exit_code in (0, 141) or result.output.strip(), "a failure without a word"
            assert contents(Path()) == before, "something outside of the output folder was changed"
            assert not [name for _, _, names in os.walk("out") for name in names if is_temporary(name)]
        except BaseException as error:
            raise AssertionError(f"try {count} of seed {seed}: {words}: {error!r}") from error
        if chance.random() < 0.3:
            shutil.rmtree("out", ignore_errors=True)
        count += 1
    return count


@pytest.mark.usefixtures("_place")
def test_some_command_lines_by_chance_end_as_documented() -> None:
    try_words(1, tries=40)


@pytest.mark.soak
@pytest.mark.usefixtures("_place")
def test_command_lines_by_chance_for_minutes_end_as_documented() -> None:
    count = try_words(time.time_ns(), seconds=300)
    print(f"{count} command lines")  # noqa: T201 - pytest -rP shows it


@pytest.mark.usefixtures("_place")
@pytest.mark.parametrize(
    "words",
    [
        ("predict", "photos", "--threads", "1000000000000"),  # was a ValueError of torch's
        ("predict", "photos", "--workers", "1000000"),  # began as many threads
        ("train", "--data", "pairs.csv", "-m", "model", "--steps", "1", "--workers", "1000000"),  # as many processes
    ],
)
def test_what_chance_found_is_refused(words: tuple[str, ...]) -> None:
    result = run([*words, "-o", "out"], random.Random(0))
    assert result.exit_code == 2, result.stderr
    assert words[-2] in result.stderr
    assert not Path("out").exists()


@pytest.mark.usefixtures("_place")
def test_a_seed_may_be_any_number() -> None:  # more than 63 bits were a ValueError of torch's
    words = ["train", "--data", "pairs.csv", "-m", "model", "--steps", "1", "--input-size", "32x32", "-o", "out"]
    result = run([*words, "--seed", str(2**70)], random.Random(0))
    assert result.exit_code == 0, result.stderr
