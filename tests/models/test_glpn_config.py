"""A config says everything about a network's shape, and nonsense in it is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from random_weights import SMALL, picture
from transformers import GLPNConfig as TheirConfig

from glpn_cli.errors import ModelError
from glpn_cli.models.glpn.config import GLPNConfig
from glpn_cli.models.glpn.hf_compat import GLPNModel
from glpn_cli.models.glpn.network import GLPN

HUB = {
    "architectures": ["GLPNForDepthEstimation"],
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.1,
    "decoder_hidden_size": 64,
    "depths": [3, 8, 27, 3],
    "downsampling_rates": [1, 4, 8, 16],
    "drop_path_rate": 0.1,
    "head_in_index": -1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_sizes": [64, 128, 320, 512],
    "image_size": 224,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-06,
    "max_depth": 10,
    "mlp_ratios": [4, 4, 4, 4],
    "model_type": "glpn",
    "num_attention_heads": [1, 2, 5, 8],
    "num_channels": 3,
    "num_encoder_blocks": 4,
    "patch_sizes": [7, 3, 3, 3],
    "sr_ratios": [8, 4, 2, 1],
    "strides": [4, 2, 2, 2],
    "torch_dtype": "float32",
    "transformers_version": "4.16.0.dev0",
}


def test_defaults_are_those_documented() -> None:
    theirs, ours = TheirConfig().to_dict(), GLPNConfig()
    for name, value in HUB.items():
        if hasattr(ours, name):
            expected = theirs[name]
            assert getattr(ours, name) == (list(expected) if isinstance(expected, tuple) else expected), (name, value)


def test_a_config_of_the_hub_is_read_and_its_legacy_keys_survive() -> None:
    config = GLPNConfig.from_dict(HUB)
    assert config.depths == [3, 8, 27, 3]
    assert config.unknown["classifier_dropout_prob"] == 0.1
    assert config.to_dict()["image_size"] == 224


def test_a_config_round_trips_through_json_and_through_transformers() -> None:
    config = GLPNConfig(**SMALL, max_depth=80, training_size=(352, 1216), training_focal_px=721.5, source="me/mine")
    text = json.dumps(config.to_dict())
    assert GLPNConfig.from_dict(json.loads(text)) == config
    theirs = TheirConfig(**json.loads(text))
    assert theirs.max_depth == 80
    assert GLPNConfig.from_dict(theirs.to_dict()).training_size == (352, 1216)


def test_a_depth_that_transformers_cannot_hold_is_exact_in_ours() -> None:
    raw = GLPNConfig(max_depth=12.5).to_dict()
    assert isinstance(raw["max_depth"], int)
    assert GLPNConfig.from_dict(raw).max_depth == 12.5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_sizes", [64, 128, 320]),
        ("hidden_sizes", [64, 128, 320, 10**9]),
        ("hidden_sizes", [64, 128, 321, 512]),
        ("depths", [2, 2, 2, 10**6]),
        ("depths", [2, 2, 0, 2]),
        ("depths", "2222"),
        ("depths", [2, 2, 2, True]),
        ("strides", [4, 2, 2, -2]),
        ("max_depth", 0),
        ("max_depth", float("nan")),
        ("max_depth", "10"),
        ("hidden_act", "tanhh"),
        ("hidden_act", 3),
        ("head_in_index", 4),
        ("drop_path_rate", 1.0),
        ("layer_norm_eps", 0),
        ("num_encoder_blocks", 10**6),
        ("layer_norm_eps_mode", "other"),
        ("training_size", [0, 4]),
    ],
)
def test_nonsense_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ModelError, match=field):
        GLPNConfig(**{field: value})  # type: ignore[arg-type]


def train_once(**fields: object) -> torch.Tensor:
    torch.manual_seed(0)
    network = GLPN(GLPNConfig(**SMALL | {"initializer_range": 0.3} | fields)).train()  # type: ignore[arg-type]
    return network(picture((64, 96), batch=2))


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_dropout_prob": 0.5},
        {"attention_probs_dropout_prob": 0.5},
        {"drop_path_rate": 0.9},
        {"hidden_act": "relu"},
        pytest.param({"hidden_act": torch.tanh}, id="a function"),
        {"initializer_range": 0.1},
        {"max_depth": 20},
        {"layer_norm_eps": 1e-2, "layer_norm_eps_mode": "author"},
    ],
    ids=str,
)
def test_every_such_field_has_an_effect(fields: dict[str, object]) -> None:
    assert not torch.equal(train_once(), train_once(**fields))


def test_regularisation_rests_outside_training() -> None:
    network = GLPN(GLPNConfig(**SMALL, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)).eval()
    with torch.no_grad():
        assert torch.equal(network(picture((64, 96))), network(picture((64, 96))))


def test_other_channels_are_taken() -> None:
    network = GLPN(GLPNConfig(**SMALL, num_channels=1)).eval()
    with torch.no_grad():
        assert network(picture((64, 96))[:, :1]).shape == (1, 64, 96)


def test_sides_that_do_not_fit_are_named() -> None:
    network = GLPN(GLPNConfig(**SMALL))
    with pytest.raises(ModelError, match="100x64"):
        network(torch.zeros(1, 3, 64, 100))


@pytest.mark.parametrize("shape", [(3, 64, 96), (64, 96), (1, 1, 3, 64, 96)])
def test_pixels_that_are_no_batch_of_pictures_are_refused(shape: tuple[int, ...]) -> None:
    for model in (GLPN(GLPNConfig(**SMALL)), GLPNModel(GLPNConfig(**SMALL))):
        with pytest.raises(ModelError, match=r"must be \(B, C, h, w\)"):
            model(torch.zeros(shape))


def test_even_patches_whose_grids_the_decoder_cannot_climb_are_refused() -> None:
    with pytest.raises(ModelError, match="patch_sizes"):
        GLPN(GLPNConfig(patch_sizes=[4, 3, 3, 3]))


def test_strides_that_the_decoder_cannot_climb_are_refused() -> None:
    with pytest.raises(ModelError, match="strides"):
        GLPN(GLPNConfig(strides=[4, 2, 4, 2]))


def test_a_function_cannot_be_written_to_a_file() -> None:
    with pytest.raises(ModelError, match="hidden_act"):
        GLPNConfig(hidden_act=torch.tanh).to_dict()
