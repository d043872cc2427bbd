"""The vocabulary of errors: closed, explained in the documentation, and one style of advice."""

from __future__ import annotations

import ast
import errno
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import glpn_cli
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, InputError, wrap_exception
from glpn_cli.images import formats

PACKAGE = Path(glpn_cli.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "errors.md"

# Whole sentences; or, at the end, a command to copy, which a full stop would spoil.
GOOD_HINT = re.compile(r"(?=['{A-Z]).*([.?)]|(Run|Use|with|network|needs): .+|.+: glpn .+)", re.DOTALL)


def test_the_documentation_lists_every_code_as_the_program_explains_it() -> None:
    rows = re.findall(r"^\| `(E_\w+)` \| (.+) \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert rows == [(code.value, code.meaning, code.hint) for code in ErrorCode]


def test_the_documentation_lists_every_warning() -> None:
    codes = {
        code
        for path in PACKAGE.rglob("*.py")
        for code in re.findall(r'"(W_[A-Z_]+)"|\[(W_[A-Z_]+)\]', path.read_text())
    }
    given = {one or other for one, other in codes}
    assert {"W_ICC", "W_FRAMES", "W_UNIT"} <= given
    assert given == set(re.findall(r"^\| `(W_[A-Z_]+)`", DOCUMENT.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_advice(code: ErrorCode) -> None:
    assert InputError("broken", code=code).hint == code.hint
    assert GOOD_HINT.fullmatch(code.hint)
    assert code.meaning
    assert code.meaning[0].islower()


def test_what_is_known_more_exactly_comes_before_the_advice_of_the_code() -> None:
    assert GlpnError("broken", hint="Do that.").hint == "Do that."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), ErrorCode.OUT_OF_MEMORY),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), ErrorCode.OUT_OF_MEMORY),
        (ImportError("libgomp.so.1: cannot allocate memory in static TLS block"), ErrorCode.OUT_OF_MEMORY),
        (OSError("libtorch_global_deps.so: failed to map segment from shared object"), ErrorCode.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "full"), ErrorCode.NO_SPACE),
        (ImportError("No module named 'glpn_cli.nothing'"), ErrorCode.INTERNAL),
        (KeyError("x"), ErrorCode.INTERNAL),
    ],
)
def test_an_exception_of_others_is_told_for_what_it_is(error: Exception, code: ErrorCode) -> None:
    known = wrap_exception(error)
    assert known.code is code
    assert known.__cause__ is error


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
def test_a_library_that_finds_no_memory_is_no_bug(tmp_path: Path) -> None:
    picture = tmp_path / "x.ppm"
    picture.write_bytes(b"P6 8 8 255 " + bytes(192))
    limit = 600_000_000  # enough for Python, too little for libtorch
    done = subprocess.run(
        [sys.executable, "-m", "glpn_cli", "predict", str(picture), "-o", str(tmp_path / "out"), "--threads", "1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == ExitCode.STOPPED, done.stderr
    assert "[E_OOM]" in done.stderr
    assert "bug" not in done.stderr


def hints_in(path: Path) -> Iterator[tuple[int, str]]:
    """Every text given as `hint=`, or to a name that ends so; what is filled in becomes {}."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.keyword):
            names = [node.arg or ""]
        elif isinstance(node, ast.Assign):
            names = [ast.unparse(target) for target in node.targets]
        else:
            continue
        if not any(name.endswith("hint") for name in names):
            continue
        given = node.value
        for value in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value
            elif isinstance(value, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in value.values]
                yield value.lineno, "".join(map(str, parts))


def test_every_hint_is_whole_sentences_or_a_command_to_run() -> None:
    found = [(path, line, hint) for path in sorted(PACKAGE.rglob("*.py")) for line, hint in hints_in(path)]
    assert len(found) > 100
    bad = [f"{path.relative_to(PACKAGE)}:{line}: {hint}" for path, line, hint in found if not GOOD_HINT.fullmatch(hint)]
    assert not bad, "\n".join(bad)


def test_hints_about_foreign_files_are_in_the_same_style() -> None:
    hints = [foreign.hint for _, foreign in formats._FOREIGN if foreign.hint] + [formats.CAMERA_RAW.hint or ""]
    assert len(hints) > 10
    assert not [hint for hint in hints if not GOOD_HINT.fullmatch(hint)]


@pytest.mark.parametrize("bad", ["do that", "Do that", "glpn --help", "--allow-empty does it.", "do that."])
def test_the_style_can_be_missed(bad: str) -> None:
    assert not GOOD_HINT.fullmatch(bad)
