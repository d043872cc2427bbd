"""Headers of weights files, believed only where they agree with themselves and with the size of the file."""

from __future__ import annotations

import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import raw_safetensors

from glpn_cli.checkpoint import TensorInfo, Weights
from glpn_cli.errors import ModelError


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


EIGHT = b"\0" * 8
TROUBLES = {
    "shorter than a length": (b"\x10\0\0", "no safetensors file"),
    "wrong magic": (b"\x89PNG\r\n\x1a\n" + EIGHT * 9, "no safetensors file"),
    "header of 2^60 bytes": (raw_safetensors({}, length=1 << 60), "no safetensors file: its header would have 1,152,9"),
    "header beyond the file": (raw_safetensors({}, length=64), "no safetensors file"),
    "header not UTF-8": (raw_safetensors(b'{"\xff": 1}'), "not UTF-8"),
    "header not JSON": (raw_safetensors("{nothing}"), "not JSON"),
    "header a list": (raw_safetensors("[1]"), "not an object"),
    "no tensors": (raw_safetensors({"__metadata__": {}}), "holds no tensors"),
    "metadata of numbers": (
        raw_safetensors({"__metadata__": {"a": 1}, "w": entry()}, EIGHT),
        "not an object of strings",
    ),
    "duplicate key": (raw_safetensors('{"w": 1, "w": 2}'), "has the key 'w' twice"),
    "no description": (raw_safetensors({"w": 3}), "'w' is not described by"),
    "a key too many": (raw_safetensors({"w": entry() | {"x": 1}}, EIGHT), "'w' is not described by"),
    "unknown dtype": (raw_safetensors({"w": entry("F8_E4M3")}, EIGHT), "'w' has type F8_E4M3"),
    "float64": (raw_safetensors({"w": entry("F64", [1])}, EIGHT), "'w' has type F64"),
    "int64 weight": (raw_safetensors({"w": entry("I64", [1])}, EIGHT), "'w' has type I64"),
    "dtype no string": (raw_safetensors({"w": entry(4)}, EIGHT), "type of 'w' is no string"),
    "negative side": (raw_safetensors({"w": entry(shape=[-2, -1])}, EIGHT), "impossible shape [-2, -1]"),
    "fractional side": (raw_safetensors({"w": entry(shape=[2.0])}, EIGHT), "impossible shape"),
    "boolean side": (raw_safetensors({"w": entry(shape=[True, 2])}, EIGHT), "impossible shape"),
    "nine dimensions": (raw_safetensors({"w": entry(shape=[1] * 8 + [2])}, EIGHT), "impossible shape"),
    "overflowing shape": (raw_safetensors({"w": entry(shape=[1 << 62, 1 << 62])}, EIGHT), "but its span has 8"),
    "span backwards": (raw_safetensors({"w": entry(offsets=[8, 0])}, EIGHT), "but its span has -8"),
    "span of three": (raw_safetensors({"w": entry(offsets=[0, 4, 8])}, EIGHT), "impossible span"),
    "span too short": (raw_safetensors({"w": entry(offsets=[0, 4])}, b"\0" * 4), "takes 8 bytes, but its span has 4"),
    "hole": (raw_safetensors({"a": entry(), "b": entry(offsets=[12, 20])}, b"\0" * 20), "'b' leaves a hole"),
    "hole at the start": (raw_safetensors({"a": entry(offsets=[8, 16])}, b"\0" * 16), "'a' leaves a hole"),
    "overlap": (raw_safetensors({"a": entry(), "b": entry(offsets=[4, 12])}, b"\0" * 12), "'b' overlaps"),
    "cut short": (raw_safetensors({"a": entry()}, b"\0" * 7), "is cut short: its tensors take 8 bytes"),
    "bytes after the end": (raw_safetensors({"a": entry()}, b"\0" * 9), "longer than its header says"),
    "empty file": (b"", "is empty"),
    "pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        "pointer of Git LFS",
    ),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>", "is a web page, not weights"),
}


@pytest.mark.parametrize(("data", "trouble"), TROUBLES.values(), ids=TROUBLES)
def test_a_header_that_cannot_be_true_is_refused_by_both_readers(tmp_path: Path, data: bytes, trouble: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    for read in (lambda path: Weights(path).header(), lambda path: Weights(path).read()):
        with pytest.raises(ModelError) as caught:
            read(path)
        assert trouble in caught.value.message
        assert str(path) in caught.value.message


def test_a_header_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 20_000_000) + b"{")
        file.truncate(30_000_000)  # a file with holes: no disk is used
    with pytest.raises(ModelError, match="a header of 20,000,000 bytes is beyond"):
        Weights(path).header()


def test_headers_agree_with_what_the_reference_library_writes(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.rand(2, 3),
        "b.half": torch.rand(5).half(),
        "c.bf16": torch.rand(1, 1, 7).bfloat16(),
        "d.num_batches_tracked": torch.tensor(7),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert Weights(tmp_path / "model.safetensors").header() == {
        "a.weight": TensorInfo("F32", (2, 3)),
        "b.half": TensorInfo("F16", (5,)),
        "c.bf16": TensorInfo("BF16", (1, 1, 7)),
        "d.num_batches_tracked": TensorInfo("I64", ()),
    }
    read = Weights(tmp_path / "model.safetensors").read()
    assert all(read[name].dtype == tensor.dtype and torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_header_of_any_length_is_told_from_a_pickle(tmp_path: Path) -> None:
    # A length of 128, 384, ... begins with the byte that pickles begin with.
    for padding in range(256):
        path = tmp_path / "model.safetensors"
        path.write_bytes(
            raw_safetensors(b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' + b" " * padding, EIGHT)
        )
        assert Weights(path).header() == {"w": TensorInfo("F32", (2,))}
        assert Weights(path).read()["w"].tolist() == [0.0, 0.0]  # at every alignment


def test_names_of_tensors_are_escaped_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw_safetensors({"\x1b[2Jw\n" + "x" * 5_000: entry("F64", [1])}, EIGHT))
    with pytest.raises(ModelError) as caught:
        Weights(path).header()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 120), value=st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    good = raw_safetensors({"a": entry(), "b": entry("F16", [4], [8, 16])}, EIGHT * 2)
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    path.write_bytes(good[:position] + bytes([value]) + good[position + 1 :])
    with suppress(ModelError):
        assert sum(info.items for info in Weights(path).header().values()) in (4, 6, 8)


def test_a_header_is_read_without_torch(tmp_path: Path) -> None:
    torch.save({"w": torch.rand(3)}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").write_bytes(raw_safetensors({"w": entry()}, EIGHT))
    program = (
        "import sys; from pathlib import Path; from glpn_cli.checkpoint import Weights\n"
        "print([Weights(Path(name)).header()['w'].shape for name in sys.argv[1:]], 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.safetensors"), str(tmp_path / "pytorch_model.bin")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[(2,), (3,)] False\n"
