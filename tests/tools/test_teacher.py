"""The teacher of tools/teacher learns from rooms, goes on from its file and is judged, from random weights."""

from __future__ import annotations

import io
import math
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from glpn_cli.cli import app
from glpn_cli.geometry import make_camera
from glpn_cli.scenes.camera import make_pose
from glpn_cli.scenes.world import World

TEACHER = Path(__file__).parents[2] / "tools" / "teacher"


def test_a_run_goes_on_from_its_file_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import judge
    import train

    assert (
        CliRunner()
        .invoke(app, ["scenes", "-o", str(tmp_path / "rooms"), "--count", "3", "--workers", "1", "-q"])
        .exit_code
        == 0
    )
    rooms = str(tmp_path / "rooms" / "pairs.csv")
    gone = iter([0.0, 0.5, 1.0, 0.9, 1.0])
    monkeypatch.setattr(train, "share_gone", lambda begin, end: next(gone))
    monkeypatch.setattr(train, "clock_time", lambda text: float("inf"))
    monkeypatch.setattr(train, "pretrained", lambda size: train.LiteDepth(size).encoder.state_dict())
    words = ["train.py", str(tmp_path / "run"), "--data", rooms, "--until", "23:59", "--batch-size", "2", "--size", "0"]
    monkeypatch.setattr(sys, "argv", words)
    for step in (3, 5):
        train.main()
        assert torch.load(tmp_path / "run" / "training.pt", weights_only=True)["step"] == step
    weights = str(tmp_path / "run" / "model.safetensors")
    monkeypatch.setattr(sys, "argv", ["judge.py", weights, f"{weights}+mini", "--pairs", f"rooms={rooms}"])
    judge.main()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{weights} rooms", f"{weights}+mini rooms"]


def test_a_run_begins_with_given_weights_nearer_to_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import train

    imagenet = train.LiteDepth(0).encoder.state_dict()
    start = train.LiteDepth(0).state_dict()
    save_file(start, tmp_path / "start.safetensors")
    rooms = tmp_path / "rooms.csv"
    for name in ("rgb.png", "depth.png"):
        array = np.full((192, 256, 3), 90, np.uint8) if name == "rgb.png" else np.full((192, 256), 2000, np.uint16)
        Image.fromarray(array).save(tmp_path / name)
    rooms.write_text("rgb_path,depth_path,depth_scale\nrgb.png,depth.png,1000\n")
    monkeypatch.setattr(train, "pretrained", lambda size: imagenet)
    monkeypatch.setattr(train, "share_gone", lambda begin, end: 1.0)  # one step, at a rate of zero
    monkeypatch.setattr(train, "clock_time", lambda text: float("inf"))
    words = ["train.py", str(tmp_path / "run"), "--data", str(rooms), "--until", "23:59", "--batch-size", "1"]
    words += ["--size", "0", "--start", str(tmp_path / "start.safetensors"), "--blend", "0.25"]
    monkeypatch.setattr(sys, "argv", words)
    train.main()
    made = torch.load(tmp_path / "run" / "training.pt", weights_only=True)["network"]
    name = "blocks.3.project.conv.weight"
    torch.testing.assert_close(made[f"encoder.{name}"], start[f"encoder.{name}"].lerp(imagenet[name], 0.25))
    torch.testing.assert_close(made["out.bias"], start["out.bias"])


def _write_library(file: Path) -> None:
    """An archive with one box of 40x20x30 cm, red in front and textured elsewhere, and a door, which is left out."""
    corners = [(x, y, z) for x in (0, 4) for y in (0, 3) for z in (0, 2)]
    faces = {"front": [(1, 5, 7, 3)], "sides": [(0, 2, 6, 4), (0, 1, 3, 2), (4, 6, 7, 5), (2, 3, 7, 6), (0, 4, 5, 1)]}
    obj = ["mtllib box.mtl", *(f"v {x} {y} {z}" for x, y, z in corners), "vt 0.5 0.5"]
    for paint, each in faces.items():
        obj += [f"usemtl {paint}", *("f " + " ".join(f"{k + 1}/1" for k in face) for face in each)]
    texture = io.BytesIO()
    Image.new("RGB", (4, 4), (0, 255, 0)).save(texture, "PNG")
    catalogue = [
        *("id#1=box", "name#1=Box", "tags#1=Crate", "category#1=Bedroom", "model#1=/a/box.obj", "width#1=40"),
        *("depth#1=20", "height#1=30", "doorOrWindow#1=false"),
        *("id#2=door", "name#2=Door", "category#2=Doors and windows", "model#2=/a/box.obj", "doorOrWindow#2=true"),
    ]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(catalogue))
        archive.writestr("a/box.obj", "\n".join(obj))
        archive.writestr("a/box.mtl", "newmtl front\nKd 1 0 0\nnewmtl sides\nKd 1 1 1\nmap_Kd green.png\n")
        archive.writestr("a/green.png", texture.getvalue())


def test_a_mesh_has_the_size_of_the_catalogue_and_its_back_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import meshes

    _write_library(tmp_path / "all.sh3f")
    (box,) = meshes.read_library(tmp_path, most_triangles=100)
    assert box.words == {"box", "crate"}
    np.testing.assert_allclose(box.corners.min((0, 1)), [-0.2, -0.1, 0], atol=1e-6)
    np.testing.assert_allclose(box.corners.max((0, 1)), [0.2, 0.1, 0.3], atol=1e-6)
    colours = [box.paints[row].at(np.full((1, 2), 0.5, np.float32))[0] for row in box.rows]
    front = [n[0] for n, colour in zip(box.normals, colours, strict=True) if colour[0] > colour[1]]
    np.testing.assert_allclose(front, [[0, -1, 0]] * 2, atol=1e-6)  # who stands before a piece looks along +y
    assert not meshes.read_library(tmp_path, most_triangles=5)


def test_a_mesh_hides_what_is_behind_it_and_has_its_own_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import furnished
    import meshes

    _write_library(tmp_path / "all.sh3f")
    (box,) = meshes.read_library(tmp_path, most_triangles=100)
    pose = make_pose((2.0, 0.0, 0.15), math.pi / 2, 0.0, 0.0)  # along +y, at half of the box's height
    camera = make_camera(220.0, (192, 256), source="file")
    lamp = [0.0, 2.0, 0.0, 2.0, *[0.1, 0, 0], *[0, 0.1, 0], *[0, 0, -1], *[3.0, 3.0, 3.0], 0.8, 0.03]
    world = World(
        np.empty((1, 14)), np.empty((0, 24)), np.empty((0, 12)), np.empty((1, 32)), np.array([lamp]), np.zeros(9)
    )
    placed = furnished.Placed(box, (2.0, 1.1, 0.0), 0.0, np.ones((2, 3), np.float32))
    light, depth = np.full((192, 256, 3), 0.1, np.float32), np.full((192, 256), 3.0, np.float32)
    wall = np.broadcast_to(np.array([0, 0, -1], np.float32), light.shape)
    picture = furnished.Picture([placed], world, pose, camera, np.random.default_rng(1))
    picture.draw(light, depth, wall)
    half = round(220 * 0.2 / 1.0)  # its front is a metre ahead
    np.testing.assert_allclose(depth[96, 128 - half + 2 : 128 + half - 2], 1.0, atol=1e-4)
    assert depth[96, 128 - half - 4] == depth[96, 128 + half + 4] == 3.0
    red, green, _ = light[96, 128]
    assert red > 5 * green
    assert np.isfinite(light).all()


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_network_is_told_by_its_file_and_sees_upright_pictures(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEACHER))
    import judge
    import network

    made = network.LiteDepth(size).eval()
    assert judge.lite_size(made.state_dict()) == size
    depth = made(torch.rand(1, 3, 96, 64))
    assert depth.shape == (1, 96, 64)
    assert depth.min() > 0
