"""`glpn_cli.ray.Predictor` gives rows of Ray Data the bytes and records of `predict`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from glpn_cli.cli import app
from glpn_cli.errors import UsageError

if TYPE_CHECKING:
    from glpn_cli.ray import Predictor

pytestmark = pytest.mark.skipif(find_spec("pyarrow") is None, reason="tables need the extra [ray]")


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Iterator[Predictor]:
    from glpn_cli.ray import Predictor

    made = Predictor(str(tiny_model), threads=1, precision="fp32")
    yield made
    made.close()


def rows_of(predictor: Predictor, **columns: list[Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = predictor({name: np.array(each, object) for name, each in columns.items()}).to_pylist()
    return rows


def test_rows_have_the_bytes_of_predict_in_their_order(
    predictor: Predictor, tiny_model: Path, tiny_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--threads", "1", "--precision", "fp32")
    ran = CliRunner().invoke(app, ["predict", "photos", "-m", str(tiny_model), "-o", "out", *options])
    assert ran.exit_code == 0, ran.output
    names = ["a.jpg", "b.png", "gone.png", "d.png"]
    paths = [f"photos/{'sub/' if name == 'd.png' else ''}{name}" for name in names]
    rows = rows_of(predictor, path=paths, id=[1, 2, 3, 4])
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert [row["record"]["status"] for row in rows] == ["ok", "ok", "error", "ok"]
    assert rows[2]["record"]["error"]["code"] == "E_NOT_FOUND"
    assert rows[2]["data"] is None
    assert rows[0]["record"]["width"] == 64
    by_bytes = rows_of(predictor, bytes=[Path(path).read_bytes() for path in paths if "gone" not in path])
    for made, path in zip(by_bytes, [path for path in paths if "gone" not in path], strict=True):
        assert made["record"]["status"] == "ok", path
        assert made.keys() == {"record", "data"}
        assert _pixels(made["data"]) == _pixels(Path("out", path[7:]).with_name(f"{Path(path).stem}_depth.png"))


def _pixels(where: Any) -> bytes:
    from glpn_cli.depth_files import read_depth

    return read_depth(where).depth.values.tobytes()


def test_rows_that_are_no_pictures_are_refused(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="neither path nor bytes"):
        rows_of(predictor, name=["a"])


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_ray_data_maps_batches_with_it(tiny_model: Path, tiny_pictures: Path) -> None:
    import ray

    from glpn_cli.distributed.cluster import join_cluster
    from glpn_cli.ray import Predictor

    (tiny_pictures / "text.png").write_text("no picture")
    with join_cluster(None):
        assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
        rows = (
            ray.data.read_binary_files(str(tiny_pictures), include_paths=True)
            .map_batches(
                Predictor,
                fn_constructor_kwargs={"model": str(tiny_model), "threads": 1},
                batch_size=2,
                concurrency=1,
                num_cpus=0.5,
            )
            .take_all()
        )
    assert sorted(row["record"]["status"] for row in rows) == ["error", "ok", "ok", "ok", "ok"]
    assert all(row["data"].startswith(b"\x89PNG") for row in rows if row["record"]["status"] == "ok")
