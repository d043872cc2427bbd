"""Foreign checkpoints into folders: the same numbers under other names, or a refusal that lists every tensor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from random_weights import SMALL, picture, randomized_model
from tiny_checkpoints import COMMIT, TINY, files_of, make_cache, make_model_folder, tiny_state
from torch import Tensor
from transformers import GLPNForDepthEstimation as TheirModel

from glpn_cli.checkpoint import Checkpoint
from glpn_cli.conversion import Conversion, Layout
from glpn_cli.errors import ModelError, UsageError
from glpn_cli.models.config_base import read_config
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.state_dict import load_network

PLAIN_RENAMES = {
    "patch_embeddings": "patch_embed",
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    "mlp.dense1": "mlp.fc1",
    "mlp.dense2": "mlp.fc2",
    "attention.output.dense": "attn.proj",
    "attention.self.query": "attn.q",
    "attention.self.sr": "attn.sr",
    "attention.self.layer_norm": "attn.norm",
    "fusion.convolutional_layer": "conv",
}


def author_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The author's state dict of weights under transformers' names: written by hand, to check the table by."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        words = name.split(".")
        if name.startswith("glpn.encoder.patch_embeddings"):
            stage, rest = int(words[3]) + 1, ".".join(words[4:]).replace("layer_norm", "norm")
            found[f"encoder.patch_embed{stage}.{rest}"] = tensor
        elif name.startswith("glpn.encoder.layer_norm"):
            found[f"encoder.norm{int(words[3]) + 1}.{words[4]}"] = tensor
        elif name.startswith("glpn.encoder.block"):
            stage, block, rest = int(words[3]) + 1, words[4], ".".join(words[5:])
            if ".key." in name:
                value = state[name.replace(".key.", ".value.")]
                found[f"encoder.block{stage}.{block}.attn.kv.{words[-1]}"] = torch.cat([tensor, value])
            elif ".value." not in name:
                for theirs, authors in PLAIN_RENAMES.items():
                    rest = rest.replace(theirs, authors)
                found[f"encoder.block{stage}.{block}.{rest}"] = tensor
        elif name.startswith("decoder.stages") and words[3] == "convolution":
            place = "bot_conv" if words[2] == "0" else f"skip_conv{words[2]}"
            found[f"decoder.{place}.{words[4]}"] = tensor
        elif name.startswith("decoder.stages"):
            rest = ".".join(words[3:]).replace("fusion.convolutional_layer", "conv")
            found[f"decoder.fusion{words[2]}.{rest}"] = tensor
        else:
            found[name.replace("head.head", "last_layer_depth")] = tensor
    return found


def plan(source: Path | str, **options: object) -> Conversion:
    return Conversion.plan(str(source), announce=lambda _text: None, **options)  # type: ignore[arg-type]


def author_checkpoint(path: Path, state: Mapping[str, Tensor], *, prefix: str = "", **more: Tensor) -> Path:
    torch.save({f"{prefix}{name}": tensor for name, tensor in {**author_names(state), **more}.items()}, path)
    return path


@pytest.fixture(scope="module")
def randomized() -> TheirModel:
    """Weights that can tell a right table from a wrong one. Widths that the published heads divide."""
    return randomized_model(**SMALL, max_depth=10)


@pytest.mark.parametrize("prefix", ["", "module."], ids=["bare", "data parallel"])
def test_the_authors_checkpoint_becomes_a_folder_that_transformers_reads(
    tmp_path: Path, randomized: TheirModel, prefix: str
) -> None:
    source = author_checkpoint(tmp_path / "best_model_kitti.ckpt", randomized.state_dict(), prefix=prefix)
    conversion = plan(source, max_depth=80)
    assert conversion.layout == Layout.AUTHOR
    conversion.encode().write(tmp_path / "out")
    theirs = TheirModel.from_pretrained(tmp_path / "out")
    assert theirs.config.max_depth == 80
    expected = randomized.state_dict()
    assert theirs.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in theirs.state_dict().items())
    for field in ("depths", "hidden_sizes", "num_attention_heads", "sr_ratios", "strides", "patch_sizes", "mlp_ratios"):
        assert list(getattr(theirs.config, field)) == list(getattr(randomized.config, field)), field
    assert theirs.config.decoder_hidden_size == randomized.config.decoder_hidden_size
    assert resolve_model(str(tmp_path / "out")).limit_m == 80


def test_the_authors_checkpoint_keeps_the_authors_epsilons(tmp_path: Path, randomized: TheirModel) -> None:
    plan(author_checkpoint(tmp_path / "a.ckpt", randomized.state_dict()), max_depth=10).encode().write(tmp_path / "out")
    checkpoint = Checkpoint.open(tmp_path / "out")
    assert checkpoint.own["layer_norm_eps_mode"] == "author"
    config = read_config(checkpoint.config)
    assert (config.block_eps, config.patch_eps) == (1e-6, 1e-5)
    with torch.inference_mode():
        ours, theirs = load_network(checkpoint)(picture((64, 96))), randomized(picture((64, 96))).predicted_depth
    assert 0 < (ours - theirs).abs().max() < 1e-2, "the same weights, and a little different for the epsilons"


def test_what_was_read_and_what_was_assumed_is_said(tmp_path: Path, randomized: TheirModel) -> None:
    source = author_checkpoint(tmp_path / "a.ckpt", randomized.state_dict())
    assert plan(source, max_depth=10).notes == (
        "read off the weights: depths 1, 2, 1, 1; widths 8, 16, 20, 32",
        "assumed, as published: 1, 2, 5, 8 heads; strides 4, 2, 2, 2; gelu",
        "layer norms use an epsilon of 1e-6 in block and stage norms, 1e-5 elsewhere, as the author's code has it",
    )


def test_the_classifier_that_the_encoder_came_with_is_left_out_and_named(tmp_path: Path) -> None:
    leftovers = {"encoder.head.weight": torch.rand(1000, 16), "encoder.head.bias": torch.rand(1000)}
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state(), **leftovers)
    conversion = plan(source, max_depth=10)
    assert conversion.dropped == ("encoder.head.weight", "encoder.head.bias")
    assert conversion.notes[-1].endswith("no depth network needs it: encoder.head.weight, encoder.head.bias")


def test_a_depth_that_nobody_says_is_asked_for(tmp_path: Path) -> None:
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state())
    with pytest.raises(UsageError, match="does not say how far its depth goes") as caught:
        plan(source)
    assert "--max-depth: 10 for weights trained on NYU, 80 for KITTI" in str(caught.value.hint)


def damaged(change: Callable[[dict[str, Tensor]], object], path: Path) -> Path:
    state = author_names(tiny_state())
    change(state)
    torch.save(state, path)
    return path


def test_every_wrong_tensor_is_listed_by_its_name_in_the_source(tmp_path: Path) -> None:
    def change(state: dict[str, Tensor]) -> None:
        del state["encoder.block2.0.attn.kv.weight"], state["decoder.fusion1.conv3.bias"]
        state["encoder.norm1.weight"] = torch.rand(5)
        state["encoder.block1.0.attn.kv.bias"] = torch.rand(4)
        state["surprise.weight"] = torch.rand(2)
        state["decoder.head.bias"] = torch.rand(2)

    with pytest.raises(ModelError) as caught:
        plan(damaged(change, tmp_path / "a.ckpt"), max_depth=10)
    message = caught.value.message
    assert "2 missing: encoder.block2.0.attn.kv.weight, decoder.fusion1.conv3.bias" in message
    assert "2 unexpected: surprise.weight, decoder.head.bias" in message
    assert "2 mis-shaped: " in message
    assert "encoder.norm1.weight should be [4], is [5]" in message
    assert "encoder.block1.0.attn.kv.bias should be [8], is [4]" in message
    assert not list(tmp_path.glob("*.safetensors"))


def test_counters_of_batches_may_be_absent(tmp_path: Path, randomized: TheirModel) -> None:
    state = {name: tensor for name, tensor in randomized.state_dict().items() if "num_batches" not in name}
    plan(author_checkpoint(tmp_path / "a.ckpt", state), max_depth=10).encode().write(tmp_path / "out")
    assert load_network(Checkpoint.open(tmp_path / "out")) is not None
    assert TheirModel.from_pretrained(tmp_path / "out") is not None


def test_weights_that_do_not_tell_the_network_ask_for_a_config(tmp_path: Path) -> None:
    def lose_a_stage(state: dict[str, Tensor]) -> None:
        for name in [name for name in state if "patch_embed4" in name]:
            del state[name]

    with pytest.raises(ModelError, match="do not tell which network") as caught:
        plan(damaged(lose_a_stage, tmp_path / "a.ckpt"), max_depth=10)
    assert "--config config.json" in str(caught.value.hint)
    odd = TINY | {"hidden_sizes": [4, 9, 10, 16], "num_attention_heads": [1, 3, 5, 8]}
    source = author_checkpoint(tmp_path / "odd.ckpt", tiny_state(odd))
    with pytest.raises(ModelError, match="widths 4, 9, 10, 16 do not divide into the published"):
        plan(source, max_depth=10)
    (tmp_path / "odd.json").write_text(json.dumps(odd | {"max_depth": 25}))
    conversion = plan(source, config_file=tmp_path / "odd.json")
    assert conversion.config["num_attention_heads"] == [1, 3, 5, 8]
    assert (conversion.config["max_depth"], conversion.config["glpn_cli"]["layer_norm_eps_mode"]) == (25, "author")


def test_a_config_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY | {"depths": [1, 2, 1, 1]}))
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state())
    with pytest.raises(ModelError, match=r"missing: encoder\.block2\.1\.norm1\.weight"):
        plan(source)


def test_a_broken_config_beside_the_weights_is_no_obstacle_where_another_is_given(tmp_path: Path) -> None:
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state())
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "good.json").write_text(json.dumps(TINY | {"max_depth": 25}))
    with pytest.raises(ModelError, match=r"config\.json' is not JSON"):
        plan(source)
    assert plan(source, config_file=tmp_path / "good.json").config["max_depth"] == 25


def test_names_of_no_known_layout_are_shown(tmp_path: Path) -> None:
    torch.save({"backbone.conv1.weight": torch.rand(2)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"of no known layout \(its tensors are called backbone\.conv1\.weight\)"):
        plan(tmp_path / "resnet.pth", max_depth=10)


def test_a_layout_that_was_named_is_believed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not tell which network"):
        plan(author_checkpoint(tmp_path / "a.ckpt", tiny_state()), layout=Layout.TRANSFORMERS, max_depth=10)


def test_a_pickle_folder_of_transformers_becomes_safetensors(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "nyu", id2label={"0": "x"})
    torch.save(tiny_state(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    conversion = plan(folder)
    assert conversion.layout == Layout.TRANSFORMERS
    conversion.encode().write(tmp_path / "out")
    out = Checkpoint.open(tmp_path / "out")
    assert out.weights_format == "safetensors"
    assert out.config["id2label"] == {"0": "x"}, "unknown keys are kept"
    assert out.preprocessor == Checkpoint.open(folder).preprocessor
    read, state = out.read_state(), tiny_state()
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_a_pickle_of_transformers_without_a_config_is_read_off_its_shapes(
    tmp_path: Path, randomized: TheirModel
) -> None:
    torch.save(randomized.state_dict(), tmp_path / "weights.bin")
    plan(tmp_path / "weights.bin", max_depth=10).encode().write(tmp_path / "out")
    theirs = TheirModel.from_pretrained(tmp_path / "out").eval()
    with torch.inference_mode():
        assert torch.equal(theirs(picture((64, 96))).predicted_depth, randomized(picture((64, 96))).predicted_depth)
    assert Checkpoint.open(tmp_path / "out").own["layer_norm_eps_mode"] == "transformers"


def test_a_folder_with_one_odd_file_of_weights_is_converted(tmp_path: Path) -> None:
    author_checkpoint(tmp_path / "best.ckpt", tiny_state())
    assert plan(tmp_path, max_depth=10).source == tmp_path / "best.ckpt"
    author_checkpoint(tmp_path / "last.ckpt", tiny_state())
    with pytest.raises(ModelError, match="has no weights to convert"):
        plan(tmp_path, max_depth=10)


def test_kitti_from_the_cache_becomes_a_folder_of_80_metres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model_folder(tmp_path / "source")
    torch.save(tiny_state(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    make_cache(tmp_path / "hub", "vinvino02/glpn-kitti", files_of(folder))
    conversion = plan("kitti", offline=True)
    assert "these are the weights of kitti: 80 m by the author's code" in conversion.notes[0]
    conversion.encode().write(tmp_path / "out")
    assert TheirModel.from_pretrained(tmp_path / "out").config.max_depth == 80
    model = resolve_model(str(tmp_path / "out"))
    assert (model.limit_m, model.row and model.row.name) == (80, "kitti")
    assert (model.checkpoint.source, model.checkpoint.revision) == ("vinvino02/glpn-kitti", COMMIT)
    plan("kitti", offline=True, max_depth=25).encode().write(tmp_path / "other")
    assert resolve_model(str(tmp_path / "other")).limit_m == 25


def test_nothing_is_written_from_damaged_weights(tmp_path: Path) -> None:
    def poison(state: dict[str, Tensor]) -> None:
        state["encoder.norm1.weight"] = torch.tensor([0.0, float("nan"), 0.0, 0.0])

    conversion = plan(damaged(poison, tmp_path / "a.ckpt"), max_depth=10)
    with pytest.raises(ModelError, match=r"not finite, in 'encoder\.norm1\.weight'"):
        conversion.encode()


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state())
    encoded = plan(source, max_depth=10).encode()
    encoded.write(tmp_path / "one")
    plan(source, max_depth=10).encode().write(tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert encoded.differing(tmp_path / "two") == []
    assert plan(source, max_depth=11).encode().differing(tmp_path / "two") == ["config.json"]


def test_planning_needs_no_torch(tmp_path: Path) -> None:
    source = author_checkpoint(tmp_path / "a.ckpt", tiny_state())
    program = (
        "import sys; from glpn_cli.conversion import Conversion\n"
        "Conversion.plan(sys.argv[1], max_depth=10, announce=print); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(source)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
