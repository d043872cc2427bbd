"""Commands that write files, to be run again and again with something broken, and what must hold afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import write_tiny_model
from faulty_disk import FaultyDisk
from PIL import Image
from typer.testing import CliRunner, Result

from glpn_cli.atomic_write import is_temporary
from glpn_cli.cli import app
from glpn_cli.training.folder import TrainingState

OUT = Path("out")


@dataclass(frozen=True)
class Journey:
    """A command that writes into `out`.

    words:    its command line
    old:      the command line that wrote what is there before; none for an empty folder
    loosely:  files that differ from run to run, and are only asked to be readable in the end
    """

    words: tuple[str, ...]
    old: tuple[str, ...] = ()
    loosely: tuple[str, ...] = ()


PREDICT = ("predict", "photos", "-m", "tiny", "-o", "out", "-f", "png16,npy", "--threads", "1", "--workers", "1")
EXPORT = ("export", "photos", "-m", "tiny", "-o", "out", "--threads", "1", "--workers", "1", "--html", "out/page.html")
CONVERT = ("convert", "tiny", "-o", "out")
MEASURE = ("measure", "photos/a.jpg", "-m", "tiny", "-o", "out/calibration.json", "--threads", "1")
TRAIN = (
    *("train", "-m", "tiny", "--data", "pairs.csv", "--val", "pairs.csv", "-o", "out", "--steps", "2"),
    *("--every", "1", "--input-size", "64x64", "--batch-size", "1", "--threads", "1", "--device", "cpu", "--resume"),
)
OVERWRITE = ("--existing", "overwrite")

JOURNEYS = {
    "predict": Journey(PREDICT),
    "predict again": Journey((*PREDICT, *OVERWRITE), old=(*PREDICT, "--max-depth", "20")),
    "export": Journey(EXPORT),
    "export again": Journey((*EXPORT, *OVERWRITE), old=(*EXPORT, "--colormap", "magma")),
    "convert": Journey(CONVERT),
    "convert again": Journey((*CONVERT, *OVERWRITE), old=("convert", "other", "-o", "out", "--max-depth", "20")),
    "measure": Journey((*MEASURE, "--calibrate", "3,4=2")),
    "measure again": Journey((*MEASURE, "--calibrate", "3,4=2"), old=(*MEASURE, "--calibrate", "3,4=3")),
    "train": Journey(TRAIN, loosely=("history.jsonl", "training.pt")),
}


def make_workplace(folder: Path, pictures: Path) -> Path:
    """A folder with pictures, pairs to train on and two models: where the journeys begin."""
    shutil.copytree(pictures, folder / "photos")
    depth = np.linspace(1000, 4000, 65 * 97).reshape(65, 97).astype(np.uint16)
    Image.fromarray(depth).save(folder / "true.png")
    (folder / "pairs.csv").write_text("rgb_path,depth_path,depth_scale\nphotos/b.png,true.png,1000\n")
    write_tiny_model(folder / "tiny")
    write_tiny_model(folder / "other", seed=1)
    return folder


def run(words: tuple[str, ...]) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its name there."""
    if not folder.is_dir():
        return {}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Proof:
    """A journey that is run again and again, from the same start and with another fault."""

    journey: Journey
    old: Mapping[str, bytes]
    new: Mapping[str, bytes]
    versions: Mapping[str, set[bytes]]  # of files that are written more than once

    @classmethod
    def of(cls, journey: Journey) -> Proof:
        """Run it undisturbed, to know what is to come of it."""
        shutil.rmtree("old", ignore_errors=True)
        shutil.rmtree(OUT, ignore_errors=True)
        if journey.old:
            assert run(journey.old).exit_code == 0
            OUT.rename("old")
        proof = cls(journey, contents(Path("old")), {}, {})
        proof.begin()
        disk = FaultyDisk(OUT, "write")
        with disk.in_place():
            result = run(journey.words)
        assert result.exit_code == 0, result.output
        proof.new, proof.versions = contents(OUT), disk.versions
        if journey.old:
            assert proof.old.keys() == proof.new.keys()
            assert proof.old != proof.new
        return proof

    def begin(self) -> None:
        """Put the folder back to what it was before."""
        shutil.rmtree(OUT, ignore_errors=True)
        if self.journey.old:
            shutil.copytree("old", OUT)

    def check(self, result: Result, cause: str) -> None:
        """What must hold whatever broke."""
        assert result.exit_code not in (0, 2), result.output
        assert "Traceback" not in result.stderr
        assert "bug in glpn" not in result.stderr
        assert cause in result.stderr
        self.check_files()

    def check_files(self) -> None:
        """Every file is absent, old, or new and complete."""
        left = contents(OUT)
        for name, data in left.items():
            assert not is_temporary(Path(name).name), f"a temporary is left: {name}"
            if name.endswith(".html"):  # lists what failed
                assert data.endswith(b"</html>\n"), f"{name} is cut short"
            elif name not in self.journey.loosely:
                assert data in {self.old.get(name), *self.versions[name]}, f"{name} is neither old nor new"
        assert self.old.keys() <= left.keys(), "an old file is gone"

    def check_going_on(self) -> None:
        """The same command once more makes the whole of it."""
        result = run(self.journey.words)
        assert result.exit_code == 0, result.output
        left = contents(OUT)
        assert left.keys() == self.new.keys()
        for name, data in left.items():
            assert data == self.new[name] or name in self.journey.loosely, f"{name} is not what it should be"
        if "training.pt" in left:
            state = TrainingState.read(OUT)
            assert state is not None
            assert state.step == 2
            told = [json.loads(line) for line in left["history.jsonl"].splitlines()]
            assert [(line["type"], line["step"]) for line in told] == [
                ("validation", 0),
                *((kind, step) for step in (1, 2) for kind in ("train", "validation")),
            ]
