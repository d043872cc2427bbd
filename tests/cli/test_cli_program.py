"""The program around its commands: help, version, usage errors, streams that are closed or full, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from glpn_cli import __version__, cli
from glpn_cli.cli import app
from glpn_cli.cli.console import console
from glpn_cli.errors import ErrorCode, InputError, StoppedError, UsageError
from glpn_cli.text import shown


def glpn(*arguments: str, **settings: Any) -> Result:
    return CliRunner().invoke(app, list(arguments), **settings)


def process(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "glpn_cli", *arguments]
    return subprocess.run(command, check=False, capture_output="stdout" not in settings, timeout=60, **settings)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Give the program one command more, `answer`, which does what the test says."""

    def teach(body: Callable[[], None]) -> None:
        home = type(sys)("glpn_cli.cli.answer")

        def run() -> None:
            """Answer."""
            body()

        home.answer = run
        home.EXAMPLES = "glpn answer"
        monkeypatch.setitem(sys.modules, "glpn_cli.cli.answer", home)
        monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, "answer"))
        monkeypatch.setattr("typer.testing._get_command", typer.main.get_command)  # built anew for each answer

    return teach


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command_with_a_sentence(flag: str) -> None:
    result = glpn(flag)
    assert result.exit_code == 0
    for name in cli.COMMANDS:
        line = next(line for line in result.stdout.splitlines() if line.strip().startswith(f"{name} "))
        assert line.rstrip().endswith("."), line
    assert "Examples:" in result.stdout
    assert result.stderr == ""


def test_help_is_at_most_80_columns_wide() -> None:
    for arguments in ([], *([name] for name in cli.COMMANDS)):
        for line in glpn(*arguments, "--help", env={"COLUMNS": "80"}).stdout.splitlines():
            assert len(line) <= 80, line
            assert ")]" not in line, "a default of two parts lost its bracket"
            assert not line.endswith("-"), "a name is broken at its hyphen"


@pytest.mark.parametrize("columns", ["20", "200", "nonsense"])
def test_help_survives_odd_terminals(columns: str) -> None:
    assert glpn("-h", env={"COLUMNS": columns, "TERM": "dumb"}).exit_code == 0


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_help_has_a_first_line_that_is_a_sentence_and_two_examples(name: str) -> None:
    text = glpn(name, "--help").stdout
    sentence = text.split("\n\n")[1].strip()
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    examples = text.partition("Examples:\n")[2].splitlines()
    assert len([line for line in examples if line.strip().startswith("glpn ")]) >= 2


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["measure"], "glpn measure [OPTIONS] FILE [X,Y]..."),
        (["convert"], "glpn convert [OPTIONS] --output PATH SOURCE"),
        (["train"], "glpn train [OPTIONS] --data DATA --output DIR"),
        (["models", "download"], "glpn models download [OPTIONS] NAME"),
    ],
)
def test_usage_names_what_must_be_there_plainly_and_brackets_the_rest(arguments: list[str], usage: str) -> None:
    first, _, _ = CliRunner().invoke(app, [*arguments, "-h"], prog_name="glpn").stdout.partition("\n\n")
    assert first == f"Usage: {usage}"


def test_help_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; sys.argv = ['glpn', '--help']\n"
        "from glpn_cli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'rich', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_version_is_one_line() -> None:
    result = glpn("--version")
    assert (result.exit_code, result.stdout) == (0, f"glpn {__version__}\n")


def test_without_a_command_help_is_talk_and_the_exit_code_2() -> None:
    result = glpn()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        (["predikt"], "no such command 'predikt'. Did you mean 'predict'?", "glpn --help"),
        (["--xyzzy"], "no such option: --xyzzy", "glpn --help"),
        (["predict", "--xyzzy"], "no such option: --xyzzy", "glpn predict --help"),
        (["evaluate", "--data"], "option '--data' requires an argument", "glpn evaluate --help"),
        (["predict", "x", "--existing", "maybe"], "'maybe' is not one of", "glpn predict --help"),
        (["predict", "x", "--precision", "int8"], "'--precision': 'int8' is not one of", "glpn predict --help"),
        (["predict", "x", "--workers", "many"], "--workers", "glpn predict --help"),
        (["predict", "x", "--workers", "0"], "--workers", "glpn predict --help"),
        (["predict", "x", "--max-pixels", "lots"], "no count", "glpn predict --help"),
        (["predict", "x", "--model"], "'--model' requires an argument", "glpn predict --help"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_in_our_own_two_lines(
    arguments: list[str], says: str, hint: str
) -> None:
    result = glpn(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert says in first
    assert first.endswith("[E_USAGE]")
    assert second == f"  hint: Run: {hint}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("predict x --colorbar", "--colorbar belongs to glpn export, not to glpn predict"),
        ("predict x --colorbar=3", "--colorbar belongs to glpn export"),
        ("measure x -f npy", "-f belongs to glpn predict and glpn export"),
        ("models list --refresh", "--refresh belongs to glpn models download"),
        ("--colorbar export x", "Run: glpn export --colorbar"),
        ("models --refresh download nyu", "Run: glpn models download --refresh"),
        ("predict x --precison fp32", "Did you mean --precision?"),
        ("predict x --overwrite", "Did you mean --existing overwrite?"),
        ("predict x --flip", "Did you mean --tta flip?"),
        ("predict --hlep", "Did you mean --help?"),
        ("predict x --colorba", "Did you mean --colorbar, which belongs to glpn export?"),
    ],
)
def test_an_option_of_another_command_and_a_misspelt_one_are_told_as_such(words: str, says: str) -> None:
    result = glpn(*words.split())
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            UsageError("this makes no sense", hint="do that"),
            2,
            "error: this makes no sense [E_USAGE]\n  hint: do that\n",
        ),
        (InputError("broken", code=ErrorCode.UNSUPPORTED), 1, "error: broken [E_UNSUPPORTED]\n"),
        (StoppedError("disk full", code=ErrorCode.NO_SPACE), 4, "error: disk full [E_NOSPACE]\n"),
        (MemoryError(), 4, "error: out of memory [E_OOM]\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "error: /x/y: permission denied [E_PERMISSION]\n"),
        (OSError(28, "No space left on device", "/x/y"), 4, "error: /x/y: no space left on device [E_NOSPACE]\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt(143), 143, "interrupted\n"),
        (ZeroDivisionError("oops"), 1, "error: this is a bug in glpn: ZeroDivisionError: oops [E_INTERNAL]\n"),
    ],
)
def test_every_error_becomes_a_line_and_an_exit_code(
    answer: Callable[..., None], error: BaseException, code: int, says: str
) -> None:
    def fail() -> None:
        raise error

    answer(fail)
    result = glpn("answer")
    assert result.exit_code == code
    assert result.stderr.startswith(says)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["answer", "--debug"], ["--debug", "answer"]])
def test_debug_shows_the_traceback_wherever_it_stands(answer: Callable[..., None], arguments: list[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("oops")

    answer(fail)
    result = glpn(*arguments)
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: oops" in result.stderr
    assert not glpn("answer").stderr.startswith("Traceback"), "the option outlived its command line"


def test_a_command_that_ends_with_a_code_of_its_own_keeps_it(answer: Callable[..., None]) -> None:
    def end() -> None:
        raise typer.Exit(3)

    answer(end)
    assert glpn("answer").exit_code == 3


def test_quiet_leaves_errors_and_results_alone(answer: Callable[..., None]) -> None:
    def talk() -> None:
        console.note("a note")
        console.warn("a warning")
        console.detail("a detail")
        console.result("result")
        raise InputError("an error")

    answer(talk)
    quiet, plain, verbose = (glpn("answer", *flags) for flags in (["-q"], [], ["-v"]))
    assert quiet.stderr == "error: an error [E_DECODE]\n  hint: Fetch or save the file again.\n"
    assert plain.stderr == "a note\nwarning: a warning\n" + quiet.stderr
    assert "a detail" in verbose.stderr
    assert {quiet.stdout, plain.stdout, verbose.stdout} == {"result\n"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("plain.jpg", "plain.jpg"),
        ("[/]bold[red].jpg", "[/]bold[red].jpg"),
        ("häß 深さ.jpg", "häß 深さ.jpg"),
        ("a\x1b[31mred\nb\tc.jpg", "a\\x1b[31mred\\nb\\tc.jpg"),
        ("rtl\u202egpj.exe", "rtl\\u202egpj.exe"),
        (os.fsdecode(b"latin\xff.jpg"), "latin\\xff.jpg"),
    ],
)
def test_names_are_shown_so_that_no_terminal_obeys_them(name: str, safe: str) -> None:
    assert shown(name) == safe


def test_results_keep_the_bytes_of_names(answer: Callable[..., None]) -> None:
    name = os.fsdecode(b"latin\xff [/] \x1b[31m.png")
    answer(lambda: console.result(name))
    assert glpn("answer").stdout_bytes == os.fsencode(name) + b"\n"


def test_json_is_utf8_whatever_the_locale() -> None:
    code = "from glpn_cli.cli.console import console; console.json({'name': '\\u6df1'}); console.note('\\u6df1')"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment, timeout=60)
    assert done.stdout == '{"name": "深"}\n'.encode()


def test_json_on_a_terminal_is_ascii_and_says_the_same(
    answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "rtl\u202e \x9b2J 深さ \x7f"
    answer(lambda: console.json({"name": name}))
    piped = glpn("answer").stdout
    monkeypatch.setattr(sys.modules["glpn_cli.cli.console"], "is_terminal", lambda stream: stream is sys.stdout)
    shown_there = glpn("answer").stdout
    assert shown_there.isascii()
    assert json.loads(shown_there) == json.loads(piped) == {"name": name}


def test_a_full_standard_output_is_told_and_is_exit_1() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        done = process("--version", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == b"error: cannot write to standard output: no space left on device [E_IO]"


def test_a_reader_who_leaves_a_listing_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        done = process("--version", stdout=nobody, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(stream: str, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m glpn_cli --version {stream}; echo $? > "{tmp_path}/code"'
    subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "code").read_text() == "0\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_the_program_with_their_code_and_one_line(number: signal.Signals, code: int) -> None:
    script = (
        "import sys, time, types\n"
        "from glpn_cli import cli\n"
        "home = types.ModuleType('glpn_cli.cli.nap')\n"
        "def nap() -> None:\n"
        "    'Sleep.'\n"
        "    print('asleep', flush=True)\n"
        "    time.sleep(30)\n"
        "home.nap, home.EXAMPLES = nap, ''\n"
        "sys.modules['glpn_cli.cli.nap'] = home\n"
        "cli.COMMANDS = ('nap',)\n"
        "sys.argv = ['glpn', 'nap']\n"
        "cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"asleep\n"
        child.send_signal(number)
        _, talk = child.communicate(timeout=20)
    assert child.returncode == code
    assert talk == b"interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_program_begins_is_told_like_any_other(number: signal.Signals) -> None:
    """Found by signals at random moments: between the handlers and the first line of the program, it escaped."""
    script = (
        "import signal, sys\n"
        "from glpn_cli import cli\n"
        f"cli.typer.main.get_command = lambda app: signal.raise_signal({int(number)})\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (128 + number, b"interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_import_ends_the_program_after_it(number: signal.Signals, tmp_path: Path) -> None:
    """Found by a test that failed once: torch, while it is imported, aborts the process or loses the interrupt."""
    (tmp_path / "deaf.py").write_text(
        "import signal, time\n"
        "try:\n"
        f"    signal.raise_signal({int(number)})\n"
        "    time.sleep(0.1)\n"
        "except BaseException:\n"
        "    print('lost')\n"
        "print('imported', flush=True)\n"
    )
    done = process_of(tmp_path, "import deaf; time.sleep(30); print('went on')")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"imported\n", b"interrupted\n")


def test_a_second_signal_during_an_import_ends_the_program_at_once(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "import signal\nfor _ in range(2):\n    signal.raise_signal(signal.SIGTERM)\nprint('imported', flush=True)\n"
    )
    done = process_of(tmp_path, "import long")
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


def test_a_signal_that_python_drops_ends_the_program_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "dropping.py").write_text(
        "import signal\nclass Dropping:\n    def __del__(self):\n        signal.raise_signal(signal.SIGTERM)\n"
    )
    done = process_of(tmp_path, "import dropping; dropping.Dropping(); time.sleep(30)")
    assert (done.returncode, done.stderr) == (143, b"interrupted\n")


def process_of(folder: Path, program: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program of one line within our signal handlers, with the modules of a folder."""
    script = (
        "import sys, time\n"
        "from glpn_cli.cli.boundary import run_process\n"
        f"sys.path.append({str(folder)!r})\n"
        f"def program() -> None:\n    {program}\n    sys.exit(0)\n"
        "run_process(program)\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
