"""The records of a run as a Parquet file: a row for each input, with the columns of `records.schema.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

_ROWS = 10_000
"""Records that are written at once."""


class ParquetReport:
    """Collects records and writes them in groups; the summary becomes metadata `glpn_summary`, as JSON.

    Unlike JSON lines it can be read only once it is closed. A path that is no UTF-8 is its JSON object as text.
    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        schema = json.loads((files("glpn_cli.pipeline") / "records.schema.json").read_text("utf-8"))
        self._types = schema["$defs"]
        rows = self._type_of(self._types["result"])
        self._schema = pa.schema(list(rows))
        self._writer = ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        """Take one record."""
        if record["type"] != "result":
            self._writer.add_key_value_metadata({"glpn_summary": json.dumps(record)})
            return
        self._rows.append({**record, **{key: _as_text(record[key]) for key in ("input", "name")}})
        for output in self._rows[-1]["outputs"]:
            output["path"] = _as_text(output["path"])
        if len(self._rows) >= _ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []

    def _type_of(self, node: dict[str, Any]) -> Any:
        """The Arrow type of a piece of the JSON schema."""
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            return pa.string() if name == "path" else self._type_of(self._types[name])
        match node.get("type"):
            case "object":
                return pa.struct([(name, self._type_of(each)) for name, each in node["properties"].items()])
            case "array":
                return pa.list_(self._type_of(node["items"]))
            case "number":
                return pa.float64()
            case "integer":
                return pa.int64()
        return pa.int64() if isinstance(node.get("const"), int) else pa.string()


def _as_text(path: str | dict[str, str]) -> str:
    return path if isinstance(path, str) else json.dumps(path)
