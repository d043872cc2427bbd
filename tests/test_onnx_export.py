"""ONNX files: the answers of torch at sizes that the export did not see, and metadata enough to use them by."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import random_weights
import random_weights_depth_anything
import random_weights_dpt
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli import DepthEstimator, onnx_export
from glpn_cli.benchmark.synthetic import make_random_model
from glpn_cli.benchmark.synthetic import read_config as read_known_config
from glpn_cli.cli import app
from glpn_cli.errors import ModelError
from glpn_cli.models.config_base import read_config
from glpn_cli.models.resolve import resolve_model
from glpn_cli.onnx_export import TOLERANCE, export_onnx, read_normalisation, read_onnx_metadata, verify_onnx

PAGE = (Path(__file__).parents[1] / "docs/howto/onnx.md").read_text("utf-8")


THREE_STAGES = {
    "num_encoder_blocks": 3,
    "depths": [1, 1, 1],
    "hidden_sizes": [8, 16, 24],
    "num_attention_heads": [1, 1, 2],
    "sr_ratios": [4, 1, 1],
    "patch_sizes": [7, 3, 3],
    "strides": [4, 2, 2],
    "mlp_ratios": [2, 2, 2],
    "decoder_hidden_size": 8,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the smallest GLPN that torch exports in half a minute.

    It learned at the size of the pictures here, so that nothing is resized.
    """
    folder = tmp_path_factory.mktemp("models") / "small"
    random_weights.randomized_model(**THREE_STAGES).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "glpn_cli": {"training_size": [480, 640]}}))
    return folder


def run_docs(command: str, folder: Path, model: Path) -> Result:
    """Run the line of the page that begins with a command, in a folder, with a small model for the page's."""
    (line,) = re.findall(rf"^\$ glpn ({command} .*)$", PAGE, re.MULTILINE)
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        result = CliRunner().invoke(app, [str(model) if word == "lite" else word for word in shlex.split(line)])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def exported(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    assert "of the range" in run_docs("convert", folder, small).stderr
    return folder / "lite.onnx"


def test_its_metadata_are_enough_to_get_the_metres_of_predict(exported: Path, small: Path, tmp_path: Path) -> None:
    """A program that knows nothing but ONNX Runtime and the metadata."""
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    session = onnxruntime.InferenceSession(str(exported))
    facts = session.get_modelmeta().custom_metadata_map
    columns, rows = map(int, facts["glpn:steps"].split("x"))
    assert (picture.shape[0] % rows, picture.shape[1] % columns) == (0, 0)
    (depth,) = session.run(None, {"image": picture[None]})
    limit = float(facts["glpn:limit_m"])
    expected = DepthEstimator.from_pretrained(str(small), precision="fp32", input_size="original").predict(picture)
    assert facts["glpn:unit"] == "m"
    np.testing.assert_allclose(np.clip(depth[0], limit / 10_000, limit), expected.values, atol=1e-4 * limit)


def program_of_docs(language: str) -> str:
    (program,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(program)


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_programs_of_the_docs_give_the_metres_of_predict(
    language: str, exported: Path, small: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(80, axis=0).repeat(80, axis=1)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    script = tmp_path / {"python": "depth.py", "js": "depth.mjs"}[language]
    script.write_text(program_of_docs(language))
    start = [sys.executable]
    if language == "js":
        node = shutil.which("node")
        modules = [folder / "node_modules" for folder in Path(__file__).parents]
        found = next((folder for folder in modules if (folder / "onnxruntime-node").is_dir()), None)
        if node is None or found is None:
            pytest.skip("needs node, and npm install onnxruntime-node pngjs in the repository or above it")
        (tmp_path / "node_modules").symlink_to(found)
        start = [node]
    words = [*start, str(script), str(exported), str(tmp_path / "picture.png"), "37,11"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    metres, unit = done.stdout.split()
    assert unit == "m"
    expected = DepthEstimator.from_pretrained(str(small), precision="fp32").predict(pixels)
    assert expected.limit is not None
    assert float(metres) == pytest.approx(float(expected.values[11, 37]), abs=1e-4 * expected.limit)


def test_it_tells_nothing_of_the_machine_that_made_it(exported: Path) -> None:
    raw = exported.read_bytes()
    assert b"site-packages" not in raw
    assert str(Path(onnx_export.__file__).parent).encode() not in raw
    onnx.checker.check_model(str(exported), full_check=True)


def test_inspect_tells_what_it_is(exported: Path, small: Path) -> None:
    shown = run_docs("inspect", exported.parent, small)
    assert "metric" in shown.stdout
    assert "16*h" in shown.stdout
    record = json.loads(CliRunner().invoke(app, ["inspect", str(exported), "--json"]).stdout)
    assert record["limit_m"] == "10"
    assert record["opset"] == "18"


def test_answers_that_differ_are_found_and_nothing_is_written(
    exported: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx.load(str(exported))
    biases = [each for each in graph.graph.initializer if each.name.endswith("head.output.bias")]
    assert biases
    for bias in biases:
        values = onnx.numpy_helper.to_array(bias)
        bias.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(0.01), bias.name))
    broken = graph.SerializeToString()
    with pytest.raises(ModelError, match="apart from torch"):
        verify_onnx(broken, resolve_model(str(small)))
    monkeypatch.setattr(onnx_export, "export_onnx", lambda *_, **__: broken)
    result = CliRunner().invoke(app, ["convert", str(small), "-o", str(tmp_path / "x.onnx"), "--verify"])
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_runtime_cannot_compute_is_told(exported: Path, small: Path) -> None:
    """Of a kind that torch's exporter makes of a network of two stages."""
    graph = onnx.load(str(exported))
    added = {name for node in graph.graph.node if node.op_type == "Add" for name in node.input}
    each = next(each for each in graph.graph.initializer if each.name in added and each.dims and each.dims[-1] > 1)
    bias = onnx.numpy_helper.to_array(each).ravel()
    each.CopyFrom(onnx.numpy_helper.from_array(np.resize(bias, len(bias) + 1), each.name))
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot"):
        verify_onnx(graph.SerializeToString(), resolve_model(str(small)))


def test_a_file_that_is_there_stays(exported: Path, small: Path) -> None:
    before = exported.read_bytes()
    result = CliRunner().invoke(app, ["convert", str(small), "-o", str(exported)])
    assert result.exit_code == 2
    assert "--existing overwrite" in result.stderr
    assert exported.read_bytes() == before


def test_options_of_the_other_kind_of_output_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    for output, option in (("folder", "--verify"), ("folder", "--with-preprocessing"), ("x.onnx", "--config=c.json")):
        result = CliRunner().invoke(app, ["convert", str(tiny_model), "-o", str(tmp_path / output), option])
        assert result.exit_code == 2
        assert option.partition("=")[0] in result.stderr


def test_what_is_missing_is_named_with_what_to_install(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(onnx_export, "import_module", refuse)
    result = CliRunner().invoke(app, ["convert", str(tiny_model), "-o", "x.onnx"])
    assert result.exit_code == 2
    assert "glpn-cli[onnx]" in result.stderr


def test_a_file_that_is_no_onnx_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\x08\xff nothing")
    with pytest.raises(ModelError, match="no ONNX file"):
        read_onnx_metadata(tmp_path / "x.onnx")


@pytest.mark.parametrize("model_type", ["glpn", "dpt"])
def test_levels_are_normalised_as_the_processor_does_it(model_type: str) -> None:
    config = read_config({"model_type": model_type})
    offset, scale = read_normalisation(config)
    size = config.steps
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    prepared = config.prepare(picture, size)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(picture * scale + offset, prepared, atol=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize("family", ["dpt", "hybrid", "labels", "da"])
def test_every_small_network_takes_any_batch_and_size(family: str, tmp_path: Path) -> None:
    """Once `len` of a batch fixed it at that of the example. The GLPN above is asked the same."""
    make = {
        "dpt": lambda: random_weights_dpt.randomized_estimator(**random_weights_dpt.SMALL),
        "hybrid": lambda: random_weights_dpt.randomized_estimator(**random_weights_dpt.HYBRID),
        "labels": random_weights_dpt.randomized_segmenter,
        "da": random_weights_depth_anything.randomized_model,
    }[family]
    make().save_pretrained(tmp_path)
    model = resolve_model(str(tmp_path))
    assert verify_onnx(export_onnx(model), model) <= TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("name", ["mini", "lite", "b0", "b4", "dpt-large", "dpt-hybrid", "dpt-large-ade", "da2-small"])
def test_every_family_answers_as_torch_does(name: str, tmp_path: Path) -> None:
    if name not in ("mini", "lite"):
        name = str(make_random_model(tmp_path / "model", read_known_config(name)))
    model = resolve_model(name)
    assert verify_onnx(export_onnx(model), model) <= TOLERANCE
