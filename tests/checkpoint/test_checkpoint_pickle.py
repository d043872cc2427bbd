"""Files of torch.save: inspected without running them, loaded as tensors and nothing else."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import raw_safetensors

from glpn_cli.checkpoint import TensorInfo, Weights
from glpn_cli.errors import ModelError

READERS = (lambda path: Weights(path).header(), lambda path: Weights(path).read())


def state() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.rand(3, 4), "a.bias": torch.rand(3).half(), "n.num_batches_tracked": torch.tensor(5)}


def save(path: Path, value: object, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


SHAPES_OF_A_FILE: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "bare": lambda state: state,
    "ordered": OrderedDict,
    "under state_dict": lambda state: {"epoch": 3, "optimizer": {"lr": 0.1, "steps": [1, 2]}, "state_dict": state},
    "under model": lambda state: {"model": OrderedDict(state), "best": None},
    "data parallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "parameters": lambda state: {
        name: torch.nn.Parameter(tensor, requires_grad=tensor.is_floating_point()) for name, tensor in state.items()
    },
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("arrange", SHAPES_OF_A_FILE.values(), ids=SHAPES_OF_A_FILE)
def test_a_state_dict_is_read_however_it_was_wrapped(
    tmp_path: Path, arrange: Callable[[dict[str, torch.Tensor]], object], legacy: bool
) -> None:
    given = state()
    path = save(tmp_path / "pytorch_model.bin", arrange(given), legacy=legacy)
    assert Weights(path).header() == {
        "a.weight": TensorInfo("F32", (3, 4)),
        "a.bias": TensorInfo("F16", (3,)),
        "n.num_batches_tracked": TensorInfo("I64", ()),
    }
    read = Weights(path).read()
    assert list(read) == list(given)
    assert all(torch.equal(read[name], given[name]) and not read[name].requires_grad for name in given)


def test_a_module_state_dict_with_its_notes_is_read(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    path = save(tmp_path / "a.ckpt", module.state_dict())  # carries `_metadata`
    assert {name: info.shape for name, info in Weights(path).header().items()} == {
        name: tuple(tensor.shape) for name, tensor in module.state_dict().items()
    }


def test_tensors_that_are_views_of_one_storage_are_read(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    path = save(tmp_path / "a.pt", {"t": whole.T, "row": whole[1]})
    assert torch.equal(Weights(path).read()["t"], whole.T)
    assert Weights(path).header()["t"].shape == (4, 3)


class Bomb:
    """Pickles as a call of os.system."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.target}",)


def bombs(tmp_path: Path) -> dict[str, bytes]:
    mark = tmp_path / "executed"
    archive = io.BytesIO()
    torch.save({"w": Bomb(mark)}, archive)
    bare = pickle.dumps({"w": Bomb(mark)})
    legacy = io.BytesIO()
    torch.save({"w": Bomb(mark)}, legacy, _use_new_zipfile_serialization=False)
    return {
        "zip": archive.getvalue(),
        "legacy": legacy.getvalue(),
        "bare pickle": bare,
        "protocol 5": pickle.dumps({"w": Bomb(mark)}, protocol=5),
        "eval": b"\x80\x02c__builtin__\neval\nX\x02\x00\x00\x00()\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\n.",
    }


@pytest.mark.parametrize("name", ["pytorch_model.bin", "author.ckpt", "model.safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare pickle", "protocol 5", "eval", "getattr"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bombs(tmp_path)[kind])
    for read in READERS:
        with pytest.raises(ModelError) as caught:
            read(path)
        told = "which could run code; nothing was executed" if path.suffix != ".safetensors" else "was not opened"
        assert told in caught.value.message
        assert "weights_only=False" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_what_a_pickle_asks_for_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bombs(tmp_path)["zip"])
    with pytest.raises(ModelError, match=r"asks for '(posix|nt)\.system'"):
        Weights(path).header()


def test_other_opcodes_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x80\x02(c__builtin__\nset\no.")
    with pytest.raises(ModelError, match=r"asks for '__builtin__\.set'"):
        Weights(path).header()
    path.write_bytes(b"\x80\x02(X\x01\x00\x00\x00aX\x01\x00\x00\x00bi__builtin__\nset\n.")
    with pytest.raises(ModelError, match="needs the instruction INST"):
        Weights(path).header()


@pytest.mark.parametrize(
    ("value", "trouble"),
    [
        ({"w": torch.rand(2), "epoch": 3}, "holds more than tensors: 'epoch'"),
        ({"w": torch.rand(2), "lr": 0.1, "note": "x"}, "holds more than tensors: 'lr', 'note'"),
        ({1: torch.rand(2)}, "holds more than tensors: '1'"),
        ({}, "holds no tensors by name"),
        ([torch.rand(2)], "holds no tensors by name"),
        (torch.rand(2), "holds no tensors by name"),
        ({"w": torch.rand(2).double()}, "'w' has type F64"),
        ({"w": torch.arange(2)}, "'w' has type I64"),
        ({"w": torch.tensor([True])}, "'w' has type BOOL"),
        ({"w": torch.rand(1).expand(10**12)}, "only 1 numbers are stored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_dictionary_of_weights_is_refused(tmp_path: Path, value: object, trouble: str) -> None:
    path = save(tmp_path / "pytorch_model.bin", value)
    for read in READERS:
        with pytest.raises(ModelError) as caught:
            read(path)
        assert trouble in caught.value.message


def test_the_two_formats_under_each_others_names_are_told(tmp_path: Path) -> None:
    pickled = save(tmp_path / "model.safetensors", state())
    with pytest.raises(ModelError, match="is a pickle with the name of a safetensors file; it was not opened"):
        Weights(pickled).read()
    plain = tmp_path / "pytorch_model.bin"
    plain.write_bytes(raw_safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4))
    with pytest.raises(ModelError, match="is a safetensors file with the name of a pickle") as caught:
        Weights(plain).read()
    assert caught.value.hint == "Rename it to model.safetensors."


def test_a_zip_that_torch_did_not_write_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"not one that torch\.save wrote"):
        Weights(tmp_path / "a.pt").header()


def test_a_damaged_archive_is_told_in_one_line_that_ends(tmp_path: Path) -> None:
    """Found by breaking bytes: Python's zipfile quotes as much of the file as a damaged length of a name says."""
    path = save(tmp_path / "a.pt", {"w": torch.rand(10_000)})
    data = bytearray(path.read_bytes())
    data[26:28] = b"\xff\xff"  # the length of the first name
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        Weights(path).header()
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, keep: float, legacy: bool) -> None:
    path = save(tmp_path / "pytorch_model.bin", {"w": torch.rand(1000)}, legacy=legacy)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ModelError):
        Weights(path).read()


def test_numbers_that_were_lost_from_an_archive_are_missed(tmp_path: Path) -> None:
    path = save(tmp_path / "whole.pt", {"w": torch.rand(100)})
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.pt", "w") as less:
        for item in whole.infolist():
            less.writestr(item, whole.read(item)[: 200 if "/data/" in item.filename else None])
    with pytest.raises(ModelError, match="the numbers of tensor 'w' are not all there"):
        Weights(tmp_path / "less.pt").header()


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_one_changed_byte_of_a_pickle_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    legacy = position % 2 == 0
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(4), "b": torch.ones(2, 2)}, buffer, _use_new_zipfile_serialization=not legacy)
    data = buffer.getvalue()
    at = position % len(data)
    path = tmp_path_factory.getbasetemp() / "mutated.bin"
    path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
    for read in READERS:
        with suppress(ModelError):
            read(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_program_ends_in_an_answer_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, program: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(b"\x80\x02" + program)
    with pytest.raises(ModelError):
        Weights(path).header()


def test_an_odd_escape_in_an_old_text_is_a_damaged_pickle_and_no_warning(tmp_path: Path) -> None:
    """Found by breaking bytes: it came out as a DeprecationWarning of Python's."""
    path = tmp_path / "odd.bin"
    path.write_bytes(b"\x80\x02S'\\H'\n.")
    with pytest.raises(ModelError):
        Weights(path).header()


def long_number(bits: int) -> bytes:
    """The instruction that pushes it."""
    digits = pickle.encode_long(1 << bits)
    return b"\x8b" + len(digits).to_bytes(4, "little") + digits


BYTES_OF_4_GB = b"c__builtin__\nbytearray\n" + b"\x8a\x05\0\0\0\0\x01\x85R"
"""What torch's own `weights_only` unpickler carries out: a bytearray of 2**32 bytes."""

DEEP = b")" + b"\x85" * 200_000
DOUBLED = b")" + b"q\x00h\x00\x86" * 100
STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
TENSOR = b"}U\x01wctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00"
TRAPS = {
    "a deep key": b"}" + DEEP + b"K\x01s",
    "a doubled key": b"}" + DOUBLED + b"K\x01s",
    "a deep key among others": b"}(K\x01K\x02" + DEEP + b"K\x01u",
    "a deep key of an OrderedDict": b"ccollections\nOrderedDict\n(" + DEEP + b"K\x01\x86tR",
    "a deep function": DEEP + b")R",
    "a doubled function": DOUBLED + b")R",
    "a deep name": b"U\x01a" + DEEP + b"\x93",
    "a deep storage": b"(U\x07storagectorch\nFloatStorage\n" + DEEP + b"U\x03cpuK\x04tQ",
    "a deep side": TENSOR + DEEP + b"\x85)tRs",
    "a long side": TENSOR + long_number(50_000) + b"\x85)tRs",
    "a long key": b"}" + long_number(50_000) + b"K\x01s",
    "a million dimensions": TENSOR + b"(" + b"J\xff\xff\xff\x7f" * 100_000 + b"t)tRs",
    "a million groups": b"N" * 100_000 + b"(t" * 300_000,
    "a group without a beginning": b"t",
    "four gigabytes": BYTES_OF_4_GB,
    "a memo of gigabytes": b"Nr\xff\xff\xff\xff",
    "a list used again and again": b"]q\0(" + b"N" * 100_000 + b"e" + b"h\0\x85" * 1000 + b"}" + b"h\0K\x01s",
    "a shape used again and again": TENSOR + b"(" + b"K\x01" * 100_000 + b"tq\x01" + b"h\x01)tRs" * 100,
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("program", [b"N" * 4_000_000, b"N" * 100_000 + b"(t" * 2_000_000, b"(" * 4_000_000])
def test_a_small_archive_with_a_large_program_is_refused_at_once(
    tmp_path: Path, program: bytes, compression: int
) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + program + b".")
    started = time.process_time()
    with pytest.raises(ModelError):
        Weights(path).header()
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        *((unit, 500_000) for unit in (b"(", b"}", b"Nq\0", b"((tt", b"}]\x86")),
        pytest.param(b"(", 1_990_000, marks=pytest.mark.soak),
    ],
)
def test_the_largest_program_that_is_read_takes_seconds_and_no_hours(tmp_path: Path, unit: bytes, length: int) -> None:
    """A quarter of the length shows as well how time grows: as its square it would be minutes."""
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + unit * (length // len(unit)) + b".")
    started = time.process_time()
    with pytest.raises(ModelError):
        Weights(path).header()
    assert time.process_time() - started < 60, "2 to 8 where time grows as the length; hours where as its square"


READ_EACH = """
import sys
from pathlib import Path
from glpn_cli.checkpoint import Weights
from glpn_cli.errors import ModelError
for path in sys.argv[1:]:
    try:
        Weights(Path(path)).header()
    except ModelError:
        print(Path(path).stem, flush=True)
"""


def test_a_program_that_would_end_the_process_or_never_end_is_refused(tmp_path: Path) -> None:
    """In a process of their own, because the deep ones overflowed its stack."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    paths = [tmp_path / f"{trap}.bin" for trap in TRAPS]
    for path, program in zip(paths, TRAPS.values(), strict=True):
        path.write_bytes(magic + b"\x80\x02" + program + b".")
    command = [sys.executable, "-c", READ_EACH, *paths]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == list(TRAPS)
