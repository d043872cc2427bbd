"""Files that somebody rewrites while they are read (case 49 of the catalogue): an error or a picture, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image

from glpn_cli.errors import ErrorCode, InputError
from glpn_cli.images import read_rgb

READ_WHILE_IT_SHRINKS = """
import os, sys, threading
from pathlib import Path
from PIL import TiffImagePlugin
from glpn_cli.errors import InputError
from glpn_cli.images import read_rgb

path = Path(sys.argv[1])
load = TiffImagePlugin.TiffImageFile._load_libtiff

def shrink_and_load(image):  # its header is read; the pixels take a second
    threading.Timer(0.05, os.truncate, (path, 1 << 20)).start()
    return load(image)

TiffImagePlugin.TiffImageFile._load_libtiff = shrink_and_load
try:
    print(read_rgb(path).size)
except InputError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def large_tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed TIFF that is too large to be read at once: noise, 87 MB."""
    path = tmp_path_factory.mktemp("large") / "noise.tif"
    noise = np.random.default_rng(0).integers(0, 256, (4500, 5000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, compression="tiff_lzw")
    assert path.stat().st_size > 64 << 20
    return path


def test_case_49_a_large_tiff_that_shrinks_under_its_decoder_is_an_error_and_no_bus_error(large_tiff: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_WHILE_IT_SHRINKS, large_tiff], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in (ErrorCode.DECODE, "(4500, 5000)")


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp", "gif"])
def test_case_49_a_file_that_is_rewritten_all_the_time_is_one_of_its_pictures_or_an_error(
    tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"x.{extension}"
    versions = []
    for seed, size in enumerate([(300, 400), (500, 200), (64, 48)]):
        Image.fromarray(make_rgb(*size, seed=seed)).save(path)
        versions.append(path.read_bytes())
    over = threading.Event()

    def rewrite() -> None:
        number = 0
        while not over.is_set():
            number += 1
            with path.open("r+b") as file:
                file.write(versions[number % 3])
                file.flush()
                os.ftruncate(file.fileno(), len(versions[number % 3]) // (1 + number % 2))

    thread = threading.Thread(target=rewrite)
    thread.start()
    met: set[str] = set()
    try:
        for _ in range(150):
            try:
                picture = read_rgb(path)
            except InputError as error:
                met.add(error.code)
            else:
                assert picture.size in [(300, 400), (500, 200), (64, 48)]
    finally:
        over.set()
        thread.join()
    assert met, "nothing was read while it was written"
    assert met <= {ErrorCode.DECODE, ErrorCode.UNSUPPORTED}
