"""Counts, exit codes, and what JSON says of outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from program_runs import RECORDS

from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError
from glpn_cli.images import ImageSource, PictureWarning
from glpn_cli.pipeline.report import Outcome, Output, RunEnd, Status, Tally, result_facts, warning_text
from glpn_cli.pipeline.settings import Allowance
from glpn_cli.prediction import DepthMap, Intrinsics, Provenance, Result


def outcome(status: Status, *, error: InputError | None = None) -> Outcome:
    return Outcome(status, "x.jpg", "x.jpg", "x.jpg", error=error)


def tally(*, ok: int = 0, skipped: int = 0, failed: int = 0, left: int = 0, allow: str | None = None) -> Tally:
    counted = Tally(ok + skipped + failed + left, Allowance.parse(allow) if allow else None)
    for _ in range(ok):
        counted.add(outcome(Status.OK))
    for _ in range(skipped):
        counted.add(outcome(Status.SKIPPED))
    for _ in range(failed):
        counted.add(outcome(Status.ERROR, error=InputError("bad", code=ErrorCode.DECODE)))
    return counted


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"ok": 3}, 0),
        ({"skipped": 3}, 0),
        ({}, 0),
        ({"ok": 2, "failed": 1}, 3),
        ({"skipped": 2, "failed": 1}, 3),
        ({"failed": 1}, 1),
        ({"ok": 9, "failed": 1, "allow": "1"}, 0),
        ({"ok": 8, "failed": 2, "allow": "1"}, 3),
        ({"ok": 9, "failed": 1, "allow": "10%"}, 0),
        ({"ok": 8, "failed": 2, "allow": "10%"}, 3),
        ({"failed": 2, "allow": "100%"}, 0),
        ({"ok": 1, "failed": 1, "left": 2, "allow": "1"}, 3),
        ({"failed": 1, "left": 2, "allow": "1"}, 1),
    ],
)
def test_exit_codes_tell_the_truth(counts: dict[str, int], code: int) -> None:
    assert tally(**counts).exit_code == code


def test_what_stopped_a_run_comes_first() -> None:
    full = tally(ok=1, failed=1, left=3)
    full.ended = RunEnd(stopped=StoppedError("full", code=ErrorCode.NO_SPACE))
    assert (full.exit_code, full.stopped, full.left) == (4, "E_NOSPACE", 3)
    broken = tally(ok=1)
    broken.ended = RunEnd(interrupt=KeyboardInterrupt())
    assert (broken.exit_code, broken.stopped) == (130, "SIGINT")
    ended = tally(ok=1)
    ended.ended = RunEnd(interrupt=KeyboardInterrupt(143))
    assert (ended.exit_code, ended.stopped) == (143, "SIGTERM")


@pytest.mark.parametrize(("is_enough", "code"), [(True, 3), (False, 0)])
def test_what_nobody_counted_is_not_all_done_where_a_failure_ended_it(is_enough: bool, code: int) -> None:
    streamed = Tally(None, Allowance.parse("1"), ended=RunEnd(is_enough=is_enough))
    streamed.add(outcome(Status.OK))
    streamed.add(outcome(Status.ERROR, error=InputError("bad", code=ErrorCode.DECODE)))
    assert streamed.exit_code == code


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "%", "five", "1e3", "٣"])
def test_allowances_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--allow-failed"):
        Allowance.parse(text)


def test_a_full_record_fits_the_schema() -> None:
    made = Provenance("tiny", "0" * 64, revision="1" * 40, limit_m=10, network_size=(480, 640), precision="bf16")
    values = np.full((1080, 1920), 0.123456789, np.float32)
    values[0, 0] = 9.87654321
    picture = ImageSource(Path("a.jpg"), "a.jpg", "a.jpg")
    result = Result(DepthMap(values, limit=10.0), picture, made, Intrinsics(518, 518, 320, 240, "exif"))
    facts = result_facts(result)
    outputs = (
        Output("a\udcff.png", "png16", "depth", "m", 1000.0),
        Output("b.png", "color", "color", range=(0.5, 8.0)),
    )
    full = Outcome(Status.OK, "a\udcff.jpg", "a\udcff.jpg", "a", outputs, facts, ("W_TINY",), 1.23456789)
    record = full.to_record()
    RECORDS.validate(record)
    assert json.loads(json.dumps(record)) == record
    assert record["input"] == {"bytes": "Yf8uanBn"}
    assert record["min"] == 0.123457
    assert (record["width"], record["height"]) == (1920, 1080)
    assert (record["network_width"], record["network_height"]) == (640, 480)


@pytest.mark.parametrize("status", list(Status))
def test_bare_records_and_summaries_fit_the_schema_too(status: Status) -> None:
    error = InputError("bad \udcff", hint="do", code=ErrorCode.DECODE) if status is Status.ERROR else None
    RECORDS.validate(outcome(status, error=error).to_record())
    RECORDS.validate(tally(ok=1, failed=2).summary())


def test_a_record_with_a_word_too_many_does_not_fit() -> None:
    record = outcome(Status.OK).to_record()
    with pytest.raises(jsonschema.ValidationError):
        RECORDS.validate({**record, "surprise": 1})


def test_every_warning_has_words() -> None:
    for code in [*PictureWarning, "W_FLAT"]:
        assert warning_text(code)
