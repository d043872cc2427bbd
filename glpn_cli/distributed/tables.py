"""Records as tables: Arrow columns by `records.schema.json`, and the Parquet file of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

_ROWS = 10_000
"""Records that are written at once."""


def record_schema() -> Any:
    """The columns of a record, as an Arrow schema."""
    types = json.loads((files("glpn_cli.pipeline") / "records.schema.json").read_text("utf-8"))["$defs"]
    return pa.schema(list(_type_of(types["result"], types)))


def make_table(records: Iterable[Mapping[str, Any]], schema: Any) -> Any:
    """Records of inputs as a table. A path that is no UTF-8 is its JSON object as text."""
    rows = [
        {
            **record,
            "input": _as_text(record["input"]),
            "name": _as_text(record["name"]),
            "outputs": [{**output, "path": _as_text(output["path"])} for output in record["outputs"]],
        }
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema)


class ParquetReport:
    """Collects records and writes them in groups; the summary becomes metadata `glpn_summary`, as JSON.

    Unlike JSON lines it can be read only once it is closed. Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._schema = record_schema()
        self._writer = ParquetWriter(path, self._schema)
        self._records: list[Mapping[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        """Take one record."""
        if record["type"] != "result":
            self._writer.add_key_value_metadata({"glpn_summary": json.dumps(record)})
            return
        self._records.append(record)
        if len(self._records) >= _ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._records:
            self._writer.write_table(make_table(self._records, self._schema))
            self._records = []


def _type_of(node: dict[str, Any], types: dict[str, Any]) -> Any:
    """The Arrow type of a piece of a JSON schema."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return pa.string() if name == "path" else _type_of(types[name], types)
    match node.get("type"):
        case "object":
            return pa.struct([(name, _type_of(each, types)) for name, each in node["properties"].items()])
        case "array":
            return pa.list_(_type_of(node["items"], types))
        case "number":
            return pa.float64()
        case "integer":
            return pa.int64()
    return pa.int64() if isinstance(node.get("const"), int) else pa.string()


def _as_text(path: str | dict[str, str]) -> str:
    return path if isinstance(path, str) else json.dumps(path)
