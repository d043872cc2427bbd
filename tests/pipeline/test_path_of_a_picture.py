"""The path of one picture through `predict`: how many of our files it imports and runs, and how deep it goes.

Counted by Python's hook for profilers. A file runs when a function of it does; bodies of classes are part of importing.
Depth is counted in frames of ours: those of the thread that arrives, and for the network those from the command to
`Engine.run`, which started it, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_rgb
from PIL import Image

COUNT = """
import inspect, json, os, sys, threading
import glpn_cli
home = os.path.dirname(glpn_cli.__file__)
files, depths = set(), {}
ends = {"GLPN.forward": "network", "decode": "decoder", "write_atomically": "disk"}

def frames_of(frame):
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(home):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names

def see(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(home):
        if code.co_flags & inspect.CO_OPTIMIZED:
            files.add(code.co_filename)
        end = ends.get(code.co_qualname)
        is_decoder = end != "decoder" or code.co_filename.endswith("images/decode.py")
        if end is not None and is_decoder and end not in depths:
            names = frames_of(frame.f_back)
            if end == "network" and threading.current_thread() is not threading.main_thread():
                waiting = frames_of(sys._current_frames()[threading.main_thread().ident])
                names += waiting[waiting.index("Engine.run") :]
            if "predict" in names:
                names = names[: names.index("predict") + 1]
            depths[end] = names

threading.setprofile(see)
sys.setprofile(see)
from glpn_cli.cli import app
try:
    app(sys.argv[1:], standalone_mode=False)
except BaseException as end:
    assert "Exit" in type(end).__name__ or isinstance(end, SystemExit), end
sys.setprofile(None)
imported = {
    module.__file__
    for name, module in sys.modules.items()
    if name.startswith("glpn_cli") and getattr(module, "__file__", None)
}
print(json.dumps({"imported": sorted(imported), "run": sorted(files & imported), "depths": depths}))
"""


@pytest.fixture(scope="module")
def path(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The files and the frames of a run over one picture."""
    folder = tmp_path_factory.mktemp("path")
    Image.fromarray(make_rgb(64, 64)).save(folder / "x.png")
    words = [
        "predict",
        "x.png",
        "-m",
        str(tiny_model),
        "-o",
        "out",
        "--offline",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "-q",
    ]
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    assert (folder / "out/x_depth.png").is_file()
    counted: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return counted


@pytest.mark.parametrize(("what", "most"), [("imported", 80), ("run", 65)])
def test_one_picture_needs_few_of_our_files(path: dict[str, list[str]], what: str, most: int) -> None:
    """Of the formats all are among them, one a file: a new one is one more here."""
    assert len(path[what]) <= most, "\n".join(path[what])


@pytest.mark.parametrize(("end", "most"), [("network", 7), ("decoder", 5), ("disk", 3)])
def test_one_picture_passes_few_frames(path: dict[str, dict[str, list[str]]], end: str, most: int) -> None:
    frames = path["depths"][end]
    assert len(frames) <= most, frames
