"""What `glpn doctor` looks at: each check says what it found, and what to do where that is not well."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from glpn_cli._version import __version__
from glpn_cli.errors import GlpnError

LIBRARIES = ("torch", "pillow", "numpy", "typer", "safetensors", "huggingface_hub")
# Formats by name, and how Pillow writes a picture that takes the codec to read.
_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "JPEG": ("JPEG", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {}),
    "TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "AVIF": ("AVIF", {}),
}
_LITTLE_ROOM = 1 << 30
_EXTRAS = {"HEIC": ("pillow_heif", "heif"), "JPEG XL": ("pillow_jxl", "jxl")}


class Health(StrEnum):
    """How a thing is."""

    GOOD = "ok"
    LIMITED = "limited"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    name:  what was looked at
    words: how it is
    hint:  what to do about it
    """

    name: str
    health: Health
    words: str
    hint: str | None = None


def examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time; nothing is downloaded and nothing left behind."""
    checks: tuple[Callable[[], Finding | list[Finding]], ...] = (
        check_versions,
        check_codecs,
        check_cores,
        check_devices,
        check_arithmetic,
        check_writing,
        check_isolation,
        check_cache,
        check_bundled_model,
        check_downloaded_models,
        check_prediction,
    )
    for check in checks:
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except GlpnError as error:
            yield Finding(_name_of(check), Health.BROKEN, f"{error.message} [{error.code}]", error.hint)
        except Exception as error:  # noqa: BLE001 - a doctor reports what it runs into
            yield Finding(_name_of(check), Health.BROKEN, f"{type(error).__name__}: {error}")


def _name_of(check: Callable[[], Finding | list[Finding]]) -> str:
    return check.__name__.removeprefix("check_").replace("_", " ")


def check_versions() -> Finding:
    """This program, Python, and the libraries."""
    found, missing = [f"glpn {__version__}", f"Python {platform.python_version()}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    words = f"{', '.join(found)}; {platform.platform()}"
    if missing:
        return Finding(
            "versions",
            Health.BROKEN,
            f"{words}; missing: {', '.join(missing)}",
            "Run: pip install --force-reinstall glpn-cli",
        )
    return Finding("versions", Health.GOOD, words)


def check_codecs() -> Finding:
    """Which pictures can be read: a small one of each format is."""
    from importlib.util import find_spec

    core = {name: _can_read(kind, settings) for name, (kind, settings) in _CODECS.items()}
    extra = {name: find_spec(module) is not None for name, (module, _) in _EXTRAS.items()}
    readable = ", ".join(name for name, here in (core | extra).items() if here)
    absent = [name for name, here in core.items() if not here]
    if absent:
        health = Health.BROKEN if {"JPEG", "PNG"} & set(absent) else Health.LIMITED
        return Finding("codecs", health, f"{readable}; not {', '.join(absent)}", "Reinstall Pillow from its wheels.")
    optional = [f"{name} (extra {_EXTRAS[name][1]})" for name, here in extra.items() if not here]
    return Finding("codecs", Health.GOOD, readable + (f"; not {', '.join(optional)}" if optional else ""))


def _can_read(kind: str, settings: dict[str, str]) -> bool:
    """Whether a picture of a format is read, which Pillow writes where it has the codec."""
    import io

    from PIL import Image

    from glpn_cli.errors import InputError
    from glpn_cli.images import read_rgb

    stream = io.BytesIO()
    try:
        Image.new("RGB", (16, 8), "white").save(stream, kind, **settings)
        return read_rgb(stream.getvalue()).size == (8, 16)
    except (InputError, KeyError, OSError):
        return False


def check_cores() -> Finding:
    """Cores and memory that this process may use."""
    from glpn_cli.devices import cores, memory_bytes, multiplies_bf16

    left = memory_bytes()
    memory = "memory unknown" if left is None else f"{left / 2**30:.1f} GiB of memory free"
    native = "bf16 is native" if multiplies_bf16("cpu") else "no native bf16: --precision auto is fp32"
    health = Health.LIMITED if left is not None and left < 2 * 2**30 else Health.GOOD
    return Finding("cores", health, f"{cores()} of {os.cpu_count()} cores, {memory}; {native}")


def check_devices() -> Finding:
    """What can compute."""
    from glpn_cli.devices import choose_device, list_devices

    return Finding("devices", Health.GOOD, f"{', '.join(list_devices())}; auto is {choose_device('auto')}")


def check_arithmetic() -> list[Finding]:
    """Whether the layers of networks are computed right on every device, in each of its precisions."""
    from glpn_cli.devices import list_devices, multiplies_bf16
    from glpn_cli.models.arithmetic import check_layers

    findings, right = [], []
    for device in list_devices():
        halves = ["bf16"] if multiplies_bf16(device) else []
        halves += ["fp16"] if device != "cpu" else []
        for precision in ("fp32", *halves):
            checks = check_layers(precision, device)
            faulty = [check for check in checks if check.wrong or check.wrong_in_models]
            if not faulty:
                right.append(f"{precision} on {device}")
            for check in faulty:
                words = f"{precision} on {device}: torch gets {check.wrong} of {check.cases} {check.kind} wrong"
                if check.wrong_in_models:
                    words += f", and the models {check.wrong_in_models}"
                    hint = f"Use --precision {'bf16' if precision == 'fp32' else 'fp32'}, or another version of torch."
                    findings.append(Finding("arithmetic", Health.BROKEN, words, hint))
                else:
                    findings.append(Finding("arithmetic", Health.GOOD, f"{words}; the models avoid them"))
    if right:
        findings.insert(0, Finding("arithmetic", Health.GOOD, f"every kind of layer is right in {', '.join(right)}"))
    return findings


def check_writing() -> Finding:
    """Whether files can be published here."""
    from glpn_cli.atomic_write import probe_writable, write_atomically

    with tempfile.TemporaryDirectory(prefix="glpn-doctor-") as folder:
        target = Path(folder) / "probe"
        write_atomically(target, b"first", replace=False)
        write_atomically(target, b"second")
        if target.read_bytes() != b"second" or [path.name for path in target.parent.iterdir()] != ["probe"]:
            return Finding("writing", Health.BROKEN, f"what was written to {folder!r} is not what is there")
    try:
        probe_writable(Path())
    except GlpnError as error:
        hint = "Name another folder with -o, or go to one of your own."
        return Finding("writing", Health.LIMITED, f"files are replaced whole, but not here: {error.message}", hint)
    return Finding("writing", Health.GOOD, "files are replaced whole, and can be written here")


def check_isolation() -> Finding:
    """Whether pictures can be decoded in processes of their own."""
    from glpn_cli.errors import UsageError
    from glpn_cli.images import read_rgb
    from glpn_cli.process_pool import Workers

    picture = b"P6 1 1 255 \0\0\0"
    try:
        with Workers(1, timeout_s=30, modules=("glpn_cli.images",)) as workers:
            workers.run(read_rgb, picture, about="a picture")
    except UsageError as error:
        return Finding("isolation", Health.LIMITED, error.message, "Leave out --isolate and --timeout.")
    return Finding("isolation", Health.GOOD, "--isolate can start its processes")


def check_cache() -> Finding:
    """Where downloaded models are kept, and how much room is there."""
    import shutil

    from glpn_cli.atomic_write import probe_writable
    from glpn_cli.checkpoint.hub import cache_folder, is_offline_by_environment

    folder = cache_folder()
    offline = ", offline by HF_HUB_OFFLINE" if is_offline_by_environment() else ""
    try:
        probe_writable(folder)
    except GlpnError as error:
        hint = "Set HF_HOME to a folder that can be written."
        return Finding("cache", Health.LIMITED, f"{error.message}: models cannot be downloaded{offline}", hint)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    room = shutil.disk_usage(existing).free
    words = f"{folder}, {room / 2**30:.1f} GiB free{offline}"
    if room < _LITTLE_ROOM:
        return Finding("cache", Health.LIMITED, words, "Make room, or set HF_HOME to a folder on another disk.")
    return Finding("cache", Health.GOOD, words)


def check_bundled_model() -> Finding:
    """Whether the model that comes along is whole."""
    from glpn_cli.models.registry import DEFAULT_MODEL
    from glpn_cli.models.resolve import resolve_model

    model = resolve_model(DEFAULT_MODEL, offline=True)
    sha256 = model.checkpoint.sha256()
    return Finding("bundled model", Health.GOOD, f"{DEFAULT_MODEL}, sha256 {sha256[:16]}..., {model.limit_source}")


def check_downloaded_models() -> Finding:
    """Whether the models that have names and are in the cache are whole."""
    from glpn_cli.models.inspect import verify_model
    from glpn_cli.models.registry import DEFAULT_MODEL, REGISTRY, find_here

    here = [row.name for row in REGISTRY.values() if row.name != DEFAULT_MODEL and find_here(row)]
    unsound = [name for name in here if not verify_model(name).is_sound]
    if unsound:
        hint = f"Run: glpn models download {unsound[0]} --refresh"
        return Finding("downloaded models", Health.BROKEN, f"damaged: {', '.join(unsound)}", hint)
    return Finding("downloaded models", Health.GOOD, ", ".join(here) or "none")


def check_prediction() -> Finding:
    """Whether a picture becomes depth."""
    import time

    import numpy as np

    from glpn_cli.predictor import DepthEstimator

    estimator = DepthEstimator.from_pretrained(offline=True)
    picture = np.linspace(0, 255, 192 * 256 * 3).reshape(192, 256, 3).astype(np.uint8)
    estimator.predict(picture)
    started = time.perf_counter()
    min_max = estimator.predict(picture).min_max()
    took = time.perf_counter() - started
    assert min_max is not None
    words = f"256x192 in {1000 * took:.0f} ms, {estimator.precision} on {estimator.device}"
    return Finding("prediction", Health.GOOD, f"{words}: {min_max[0]:.2f} to {min_max[1]:.2f} m")
