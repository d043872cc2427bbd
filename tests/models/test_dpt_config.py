"""Configs are read from other people's files, complete themselves as documented, and refuse nonsense by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from random_weights_dpt import BACKBONE, HYBRID, LABELS, SMALL
from transformers import BitConfig
from transformers import DPTConfig as TheirConfig

from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.dpt.backbone_config import BiTConfig
from glpn_cli.models.dpt.config import DPTConfig
from glpn_cli.prediction import DepthKind

DOCUMENTED = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range layer_norm_eps image_size patch_size num_channels is_hybrid "
    "qkv_bias backbone_out_indices readout_type reassemble_factors neck_hidden_sizes fusion_hidden_size head_in_index "
    "use_batch_norm_in_fusion_residual use_bias_in_fusion_residual add_projection use_auxiliary_head "
    "auxiliary_loss_weight semantic_loss_ignore_index semantic_classifier_dropout backbone_featmap_shape "
    "neck_ignore_stages pooler_output_size pooler_act num_labels"
).split()


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("fields", [{}, SMALL, {"is_hybrid": True}, HYBRID, {"num_labels": 7}], ids=str)
def test_every_documented_field_is_completed_as_transformers_does(fields: dict[str, Any]) -> None:
    theirs, ours = TheirConfig(**fields), DPTConfig(**fields)
    for name in DOCUMENTED:
        assert plain(getattr(ours, name)) == plain(getattr(theirs, name)), name


def test_the_hybrids_backbone_is_that_of_transformers() -> None:
    for backbone in (None, BACKBONE, {"depths": [2, 2, 2], "out_indices": [1, 2, 3]}):
        theirs = TheirConfig(is_hybrid=True, backbone_config=backbone).backbone_config
        ours = BiTConfig.from_dict(backbone) if backbone else DPTConfig(is_hybrid=True).backbone
        assert ours is not None
        assert [ours.stage_names[place] for place in ours.outputs] == theirs.out_features
        for name in ("layer_type", "global_padding", "depths", "hidden_sizes", "num_groups", "output_stride"):
            assert getattr(ours, name) == getattr(theirs, name), name
        again = BitConfig(**ours.to_dict())
        assert again.out_features == theirs.out_features


@pytest.mark.parametrize("fields", [SMALL, HYBRID, SMALL | {"id2label": LABELS}], ids=["plain", "hybrid", "labels"])
def test_files_travel_both_ways(fields: dict[str, Any]) -> None:
    ours = DPTConfig(**fields)
    raw = json.loads(json.dumps(ours.to_dict()))
    assert DPTConfig.from_dict(raw) == ours
    theirs = TheirConfig.from_dict(raw)
    for name in DOCUMENTED:
        assert plain(getattr(theirs, name)) == plain(getattr(ours, name)), name
    again = DPTConfig.from_dict(json.loads(theirs.to_json_string(use_diff=False)))
    for name in DOCUMENTED:
        assert getattr(again, name) == getattr(ours, name), name


def test_unknown_and_own_keys_are_kept() -> None:
    raw = {
        "model_type": "dpt",
        "transformers_version": "4.21",
        "glpn_cli": {"training_size": [480, 640], "source": "Intel/dpt-large", "note": 1},
    }
    config = DPTConfig.from_dict(raw)
    assert config.training_size == (480, 640)
    written = config.to_dict()
    assert written["transformers_version"] == "4.21"
    assert written["glpn_cli"] == raw["glpn_cli"]


def test_an_architecture_decides_what_is_predicted() -> None:
    depth, labels = (
        DPTConfig.from_dict({"model_type": "dpt", "architectures": [f"DPTFor{what}"]})
        for what in ("DepthEstimation", "SemanticSegmentation")
    )
    assert depth.kind is DepthKind.DISPARITY
    assert labels.kind is None
    assert depth.limit_m is labels.limit_m is None
    assert labels.label_names == ("LABEL_0", "LABEL_1")
    with pytest.raises(ModelError, match="no metres"):
        depth.with_limit(10)


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"hidden_size": 0}, "hidden_size = 0"),
    ({"hidden_size": 10**9}, "hidden_size"),
    ({"num_attention_heads": 7}, "num_attention_heads = 7"),
    ({"hidden_act": "swish9"}, "swish9"),
    ({"pooler_act": 5}, "pooler_act = 5"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
    ({"layer_norm_eps": 0}, "layer_norm_eps"),
    ({"is_hybrid": "yes"}, "is_hybrid = 'yes'"),
    ({"readout_type": "sum"}, "readout_type = 'sum'"),
    ({"readout_type": ["add"]}, "readout_type"),
    ({"image_size": [384]}, "image_size"),
    ({"patch_size": 500}, "patch_size"),
    ({"image_size": 8}, "image_size = 8"),
    ({"neck_hidden_sizes": []}, "neck_hidden_sizes"),
    ({"neck_hidden_sizes": [8, 8, 8, -1]}, r"neck_hidden_sizes\[3\] = -1"),
    ({"backbone_out_indices": "all"}, "backbone_out_indices"),
    ({"reassemble_factors": [4, 2]}, "reassemble_factors"),
    ({"reassemble_factors": [4, 2, 1, 0.4]}, r"reassemble_factors\[3\] = 0.4"),
    ({"reassemble_factors": [1.5, 2, 1, 0.5]}, r"reassemble_factors\[0\] = 1.5"),
    ({"head_in_index": 4}, "head_in_index"),
    ({"num_labels": 0}, "num_labels"),
    ({"id2label": {"1": "wall"}}, "id2label"),
    ({"id2label": ["wall"]}, "id2label"),
    ({"id2label": LABELS, "num_labels": 7}, "num_labels = 7"),
    ({"architectures": "DPTModel"}, "architectures"),
    ({"training_size": (0, 3)}, "training_size"),
    ({"backbone_config": {"model_type": "dinov2"}}, "dinov2"),
    ({"is_hybrid": True, "backbone_config": {"model_type": "swinv2"}}, "swinv2"),
    ({"is_hybrid": True, "readout_type": "add"}, "readout_type = 'add'"),
    ({"is_hybrid": True, "backbone_featmap_shape": [1, 512, 24, 24]}, "backbone_featmap_shape"),
    ({"is_hybrid": True, "neck_ignore_stages": [0]}, "neck_ignore_stages"),
    ({"is_hybrid": True, "backbone_config": {"out_features": ["stage1"]}}, "out_features = stage1"),
    ({"is_hybrid": True, "backbone_config": {"out_features": ["stage9"]}}, "stage9"),
    ({"is_hybrid": True, "backbone_config": {"out_indices": [9]}}, "out_indices"),
    ({"is_hybrid": True, "backbone_config": {"layer_type": "basic"}}, "basic"),
    ({"is_hybrid": True, "backbone_config": {"global_padding": "valid"}}, "VALID"),
    ({"is_hybrid": True, "backbone_config": {"num_groups": 7}}, "num_groups = 7"),
    ({"is_hybrid": True, "backbone_config": {"hidden_sizes": [8]}}, "hidden_sizes"),
    ({"is_hybrid": True, "backbone_config": 5}, "backbone_config = 5"),
]


@pytest.mark.parametrize(("fields", "word"), NONSENSE, ids=str)
def test_nonsense_is_refused_by_name(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        DPTConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        (SMALL | {"backbone_out_indices": [0, 1, 2, 4]}, "backbone_out_indices"),
        (SMALL | {"backbone_out_indices": [0, 1, 2]}, "backbone_out_indices"),
        (HYBRID | {"neck_hidden_sizes": [8, 32, 24, 32]}, "neck_hidden_sizes"),
        (HYBRID | {"neck_hidden_sizes": [16, 32], "reassemble_factors": [1, 1]}, "backbone_out_indices"),
    ],
)
def test_levels_that_nothing_feeds_are_refused_when_a_network_is_built(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        DPTConfig(**fields).build()


@pytest.mark.parametrize(
    ("picture", "asked", "expected"),
    [
        ((384, 384), "auto", (384, 384)),
        ((480, 640), "auto", (320, 448)),
        ((3000, 4000), "auto", (320, 448)),
        ((640, 480), "auto", (448, 320)),
        ((31, 31), "auto", (384, 384)),
        ((1, 100_000), "auto", (32, 4608)),
        ((5000, 30), "auto", (4608, 32)),
        ((480, 640), "original", (384, 384)),
        ((480, 640), "640", (480, 640)),
        ((480, 640), "512x384", (384, 512)),
    ],
)
def test_sizes_follow_the_policy(picture: tuple[int, int], asked: str, expected: tuple[int, int]) -> None:
    assert DPTConfig().network_size(picture, InputSize.parse(asked)) == expected


def test_an_exact_size_that_does_not_fit_is_refused_with_one_that_does() -> None:
    with pytest.raises(UsageError, match="600x400") as caught:
        DPTConfig().network_size((10, 10), InputSize.parse("600x400"))
    assert "608x384" in str(caught.value.hint)


def test_a_training_size_is_the_picture_size_unless_the_file_says_another() -> None:
    assert DPTConfig(image_size=[352, 480]).training_size == (352, 480)
    assert "glpn_cli" not in DPTConfig().to_dict()
    assert DPTConfig(training_size=(480, 640)).to_dict()["glpn_cli"] == {"training_size": [480, 640]}
