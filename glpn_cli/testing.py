"""The contract of model families, for the tests of those who write one: packages with an entry point "glpn.families".

Subclass `FamilyContract` in a test module; pytest collects its methods. Nothing here needs pytest itself.
"""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.checkpoint.write import EncodedFolder
from glpn_cli.models.config_base import InputSize, ModelConfig, read_config
from glpn_cli.models.inspect import ModelReport
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.models.state_dict import file_state, load_network
from glpn_cli.prediction import DepthMap, LabelMap, Prediction
from glpn_cli.predictor import DepthEstimator

_SIZE = (64, 96)
_PICTURES = ((1, 1), (31, 31), (33, 97), (120, 64), (64, 300))


class FamilyContract:
    """What every family of networks promises; each promise is one test.

        from glpn_cli.testing import FamilyContract

        class TestMyDepth(FamilyContract):
            raw_config = {"model_type": "my_depth", "width": 8}

    raw_config: the object of a config.json of a small network of the family
    settings:   the object of its preprocessor_config.json, where the config reads one
    """

    raw_config: ClassVar[Mapping[str, Any]]
    settings: ClassVar[Mapping[str, Any] | None] = None

    def make_config(self) -> ModelConfig:
        """The config to be tested."""
        return read_config(self.raw_config)

    def make_network(self, config: ModelConfig) -> nn.Module:
        """A network whose answer depends on all its weights, here random ones that keep variance.

        Override it where such weights end in a ReLU that leaves nothing.
        """
        network = config.build().eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                if parameter.ndim > 1:
                    parameter.copy_(noise * math.sqrt(2 / parameter[0].numel()))
                else:
                    parameter.add_(0.1 * noise)
        return network

    def test_it_is_read_from_config_json_and_written_back(self) -> None:
        """Nothing that the config says is lost, also on its way to another process."""
        config = self.make_config()
        written = config.to_dict()
        assert written["model_type"] == self.raw_config["model_type"]
        assert read_config(written).to_dict() == written
        assert pickle.loads(pickle.dumps(config)).to_dict() == written  # noqa: S301 - our own bytes

    def test_shapes_are_told_without_the_network(self) -> None:
        """`shapes` are those of the network's state dict."""
        config = self.make_config()
        network = self.make_network(config)
        assert config.shapes() == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

    def test_every_tensor_has_names_of_its_own(self) -> None:
        """No two tensors have one name, here, in transformers' files or in the author's."""
        config = self.make_config()
        rows = list(config.weight_rows())
        assert {row.name: row.shape for row in rows} == config.shapes()
        assert len({row.transformers for row in rows}) == len(rows)
        authors = [(row.author, row.author_slice) for row in rows if row.author]
        assert len(set(authors)) == len(authors)

    def test_parts_add_up_to_the_parameters(self) -> None:
        """`parts` counts each parameter once."""
        config = self.make_config()
        assert sum(config.parts().values()) == sum(each.numel() for each in self.make_network(config).parameters())

    @torch.no_grad()
    def test_any_picture_comes_back_at_its_own_size_within_the_range(self) -> None:
        """From one pixel to a strip; depth is above 0 and at most the limit, labels have names."""
        config = self.make_config()
        network = self.make_network(config)
        for size in _PICTURES:
            network_size = config.network_size(size, InputSize())
            pixels = config.prepare(picture(size), network_size)
            assert pixels.shape == (1, 3, *network_size)
            assert pixels.dtype == torch.float32
            _check_prediction(config, config.decode(network(pixels)[0], size), size)

    @torch.no_grad()
    def test_a_batch_of_two_equals_two_of_one(self) -> None:
        """No picture depends on its neighbours."""
        config = self.make_config()
        network = self.make_network(config)
        pixels = torch.cat([_prepare(config, seed=seed) for seed in (0, 1)])
        single = torch.cat([network(one[None]) for one in pixels])
        torch.testing.assert_close(network(pixels), single, rtol=0, atol=1e-4)

    @torch.no_grad()
    def test_what_is_saved_loads_and_answers_the_same(self, tmp_path: Path) -> None:
        """Also without the tensors that a file need not have."""
        config = self.make_config()
        network = self.make_network(config)
        state, pixels = network.state_dict(), _prepare(config)
        every = list(config.weight_rows())
        needed = [row for row in every if not (row.is_idle or row.is_counter)]
        for place, rows in (("every", every), ("needed", needed)):
            self.write(tmp_path / place, config, {row.name: state[row.name] for row in rows})
            again = load_network(Checkpoint.open(tmp_path / place))
            torch.testing.assert_close(again(pixels), network(pixels), rtol=1e-4, atol=1e-4)

    def test_a_folder_is_inspected_and_predicts(self, tmp_path: Path) -> None:
        """As `glpn inspect` and `DepthEstimator` do it."""
        config = self.make_config()
        self.write(tmp_path / "model", config, self.make_network(config).state_dict())
        model = resolve_model(str(tmp_path / "model"))
        report = ModelReport.of(model)
        assert report.is_sound, report.checks
        assert report.config.model_type == config.model_type
        estimator = DepthEstimator(InferenceSettings(model, precision="fp32"), device="cpu")
        if config.kind is None:
            _check_prediction(config, estimator.label(picture((30, 50))), (30, 50))
        else:
            _check_prediction(config, estimator.predict(picture((30, 50))), (30, 50))

    def test_gradients_reach_every_parameter(self) -> None:
        """Of the family's own loss; a family that another library runs has none."""
        config = self.make_config()
        if config.runs_through is not None:
            return
        network = self.make_network(config)
        predicted = network(_prepare(config))
        if config.kind is None:
            target = torch.arange(math.prod(_SIZE)).view(1, *_SIZE) % predicted.shape[1]
        else:
            target = (predicted.detach() + 1) * torch.linspace(0.5, 2, predicted.numel()).view_as(predicted)
        config.loss()(predicted, target).backward()  # type: ignore[no-untyped-call]
        idle = {row.name for row in config.weight_rows() if row.is_idle}
        for name, parameter in network.named_parameters():
            if name in idle:
                assert parameter.grad is None, name
                continue
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            # A shift before softmax over keys changes nothing, so keys' biases rightly get (nearly) none.
            assert parameter.grad.abs().max() > 0 or name.endswith("key.bias"), name

    @torch.no_grad()
    def test_the_form_made_ready_to_predict_answers_in_fp32_and_stays_close(self) -> None:
        """In fp32 to 1e-5 of the largest number, in bf16 to 0.05, where the family computes in it."""
        config = self.make_config()
        tolerances = {"fp32": 1e-5} if config.runs_through is not None else {"fp32": 1e-5, "bf16": 0.05}
        for precision, tolerance in tolerances.items():
            network, pixels = self.make_network(config), _prepare(config)
            exact = network(pixels)
            quick = config.cast(network, precision)(pixels)
            assert quick.dtype == torch.float32
            assert float((quick - exact).abs().max() / exact.abs().max()) < tolerance, precision

    def test_another_limit_scales_every_depth(self) -> None:
        """Where there is one."""
        config = self.make_config()
        if config.limit_m is not None:
            assert config.with_limit(8 * config.limit_m).limit_m == 8 * config.limit_m

    def test_cost_grows_with_the_picture(self) -> None:
        """Four times the pixels are about four times the work, with the same weights."""
        config = self.make_config()
        small, large = (config.cost(config.scaled(size, 1.0)) for size in (_SIZE, (128, 192)))
        assert 3.5 * small.macs < large.macs
        assert small.weight_bytes == large.weight_bytes < large.memory_bytes

    def test_planning_does_not_import_torch(self) -> None:
        """Listing, planning and inspecting stay quick; a family that another library runs needs that library."""
        if self.make_config().runs_through is not None:
            return
        code = (
            "import sys; from glpn_cli.models.config_base import InputSize, read_config;"
            f"config = read_config({dict(self.raw_config)!r});"
            "config.shapes(); config.parts(); config.cost(config.scaled((64, 96), 1.0));"
            "config.network_size((3000, 4000), InputSize()); config.limit_m; config.kind;"
            "list(config.weight_rows());"
            "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - our own words
        assert ended.returncode == 0, "import torch inside build, prepare, decode, cast and loss alone"

    def write(self, folder: Path, config: ModelConfig, state: Mapping[str, Tensor]) -> None:
        """A model folder with tensors under the network's own names."""
        tensors = file_state(state, config.weight_rows())
        EncodedFolder.of(config=config.to_dict(), state=tensors, preprocessor=self.settings).write(folder)


def picture(size: tuple[int, int], *, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _prepare(config: ModelConfig, *, seed: int = 0) -> Tensor:
    """Pixels (1, 3, h, w) of a picture of about 64x96."""
    return config.prepare(picture(_SIZE, seed=seed), config.scaled(_SIZE, 1.0))


def _check_prediction(config: ModelConfig, prediction: Prediction, size: tuple[int, int]) -> None:
    """Labels with names, or depth of the config's kind within its limit; of (H, W)."""
    assert prediction.size == size
    if isinstance(prediction, LabelMap):
        assert config.kind is None
        assert prediction.labels.max() < len(prediction.names)
        return
    assert isinstance(prediction, DepthMap)
    assert prediction.kind == config.kind
    assert prediction.limit == config.limit_m
    min_max = prediction.min_max()
    assert min_max is not None
    assert min_max[0] > 0
    assert prediction.limit is None or min_max[1] <= prediction.limit
