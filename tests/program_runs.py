"""A run of the program as its caller sees it: exit code, records, files, and what must be true of every run."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.atomic_write import is_temporary
from glpn_cli.cli import app
from glpn_cli.depth_files import read_depth

OUT = Path("out")
RECORDS = jsonschema.Draft202012Validator(
    json.loads(files("glpn_cli.pipeline").joinpath("records.schema.json").read_text())
)
"""The documented form of records; made once, since checking the schema itself takes longer than a record."""

TORCH = ("--threads", "1", "--precision", "fp32")


@dataclass(frozen=True)
class Journey:
    """records: of inputs, by name. written: what lies below the output folder, by name whole."""

    result: Result
    records: dict[str, dict[str, Any]]
    summary: dict[str, Any]

    @property
    def exit_code(self) -> int:
        return self.result.exit_code

    @property
    def stderr(self) -> str:
        return self.result.stderr

    @property
    def codes(self) -> dict[str, str]:
        """What each input came to: an error code, or its status."""
        return {
            name: record["error"]["code"] if record["status"] == "error" else record["status"]
            for name, record in self.records.items()
        }

    def refused(self, name: str, code: str, words: str = "") -> None:
        """Check that an input is one error of this code, told once, with a hint and without a file."""
        record = self.records[name]
        assert self.codes[name] == code, record
        assert words in record["error"]["message"], record
        assert record["error"]["hint"], record
        assert record["outputs"] == []
        assert not depth_path(name).exists()

    def made(self, name: str, *warnings: str) -> np.ndarray:
        """Check that an input became depth, with these warnings alone; float32 (H, W), metres."""
        record = self.records[name]
        assert record["status"] == "ok", record
        assert sorted(record["warnings"]) == sorted(warnings), record
        values = depth_of(name)
        assert values.shape == (record["height"], record["width"])
        return values


def depth_path(name: str) -> Path:
    return OUT / f"{name}_depth.png"


def depth_of(name: str) -> np.ndarray:
    """What is on disk for an input: float32 (H, W), metres."""
    return read_depth(depth_path(name)).depth.values


def written() -> list[str]:
    return sorted(path.relative_to(OUT).as_posix() for path in OUT.rglob("*") if not path.is_dir())


def glpn(*words: object, **settings: Any) -> Result:
    """Run the program in this process; whatever happens, it says so without a traceback or a warning of Python's."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **settings)
    check_talk(result.stderr)
    check_no_temporaries()
    return result


def check_talk(stderr: str) -> None:
    assert "Traceback" not in stderr, stderr
    assert "Warning:" not in stderr, stderr
    assert "E_INTERNAL" not in stderr, stderr
    assert "\x1b" not in stderr, stderr


def check_no_temporaries(folder: Path = Path()) -> None:
    assert [name for _, _, names in os.walk(folder) for name in names if is_temporary(name)] == []


def predict(*words: object, **settings: Any) -> Journey:
    """Run `glpn predict ... -o out --json` on what is named; results keep the extensions of their pictures."""
    result = glpn("predict", *words, "-o", "out", "--name", "{name}_{map}", "--json", *TORCH, **settings)
    return as_journey(result)


def as_journey(result: Result) -> Journey:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for line in lines:
        RECORDS.validate(line)
    *records, summary = lines or [{}]
    by_name = {record["name"] if isinstance(record["name"], str) else str(record["name"]): record for record in records}
    assert len(by_name) == len(records), "an input was told twice"
    assert result.exit_code == summary.get("exit_code", result.exit_code)
    failed = [record for record in records if record["status"] == "error"]
    is_ended = not summary or (summary["stopped"] or "").startswith("E_")  # by an error that is no input's
    assert result.stderr.count("error: ") == len(failed) + is_ended, result.stderr
    return Journey(result, by_name, summary)


def predict_files(files: dict[str, bytes], *words: object, **settings: Any) -> Journey:
    """Put files into a folder and predict them all by name, in the company of a good picture that must be done."""
    folder = Path("in")
    folder.mkdir(exist_ok=True)
    for name, data in {**files, "good.png": good_png()}.items():
        (folder / name).write_bytes(data)
    journey = predict(
        *(folder / name for name in files), folder / "good.png", *words, "--existing", "overwrite", **settings
    )
    np.testing.assert_array_equal(depth_of("good.png").shape, (48, 64))
    assert journey.codes["good.png"] == "ok"
    expected = 3 if "error" in {record["status"] for record in journey.records.values()} else 0
    assert journey.exit_code == expected, journey.stderr
    return journey


@cache
def good_png() -> bytes:
    return encode(make_rgb(48, 64, seed=9), "PNG")


def encode(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


@contextmanager
def without_root() -> Iterator[None]:
    """File modes count for this thread and those that it starts, even where the tests run as root.

    Linux keeps root's power to read and write everything in two capabilities of each thread; they come back afterwards.
    """
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    system = ctypes.CDLL(None, use_errno=True)
    header = Header(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    if system.capget(ctypes.byref(header), sets) != 0:
        pytest.skip("root's power cannot be put down here")
    whole = sets[0]
    sets[0] = whole & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert system.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0] = whole
        assert system.capset(ctypes.byref(header), sets) == 0


def give_up_root() -> None:
    """For `preexec_fn`: file modes count for the process that is started, even where the tests run as root."""
    import ctypes

    for power in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, out of what a program may have: PR_CAPBSET_DROP
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)
