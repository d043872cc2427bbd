"""`glpn doctor`: is everything here as it should be? Each check says what it found, and what to do about it."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from glpn_cli import __version__
from glpn_cli.cli.console import console
from glpn_cli.cli.groups import only
from glpn_cli.devices import choose_device, cores, list_devices, memory_bytes, multiplies_bf16
from glpn_cli.errors import ErrorCode, ExitCode, GlpnError, InputError, ModelError, UsageError
from glpn_cli.pipeline.settings import OutputSettings
from glpn_cli.text import SCHEMA, path_text, words_text

EXAMPLES = """
glpn doctor
glpn doctor --clean depth/   # what killed runs of any machine left there
"""
_DAY_S = 86_400.0
_LIBRARIES = ("torch", "pillow", "numpy", "typer", "safetensors", "huggingface_hub")
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


def doctor(
    output: Annotated[OutputSettings, only("json")],
    clean: Annotated[
        Path | None,
        typer.Option("--clean", metavar="DIR", help="Remove unfinished files from DIR and below, older than a day."),
    ] = None,
) -> None:
    """Check that everything here is as it should be.

    Looks at versions, codecs, devices, memory, writing, the cache and the models in it, and predicts once. Nothing is
    downloaded, and nothing left behind. Exits with 1 if something is broken.
    """
    if clean is not None:
        _clean(clean, json=output.json)
        return
    from glpn_cli.cli.console import make_facts

    is_broken = False
    for finding in _examine():
        is_broken |= finding.health == "broken"
        if output.json:
            hint = {"hint": finding.hint} if finding.hint else {}
            found = {"name": finding.name, "status": finding.health, "found": words_text(finding.words)}
            console.json({"schema": SCHEMA, "type": "check", **found, **hint})
            continue
        words = finding.words if finding.health == "ok" else f"{finding.health.upper()}: {finding.words}"
        console.text(make_facts([(f"{finding.name:<17}", words)]))
        if finding.hint:
            console.text(make_facts([(" " * 17, f"hint: {finding.hint}")]))
    if is_broken:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _clean(folder: Path, *, json: bool) -> None:
    from glpn_cli.atomic_write import remove_stale

    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}", code=ErrorCode.NOT_FOUND)
    removed = sum(remove_stale(Path(place), older_than_s=_DAY_S) for place, _, _ in os.walk(folder))
    if json:
        console.json({"schema": SCHEMA, "type": "cleaning", "folder": path_text(str(folder)), "removed": removed})
    else:
        console.result(f"{removed} unfinished files removed")


_Health = Literal["ok", "limited", "broken"]
"""The state of a thing; `limited`: it works, and something does not."""


@dataclass(frozen=True)
class Finding:
    """The result of a check: its name, the state of the thing in words, and what to do about it."""

    name: str
    health: _Health
    words: str
    hint: str | None = None


def _examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time; nothing is downloaded and nothing left behind."""
    checks: tuple[Callable[[], Finding | list[Finding]], ...] = (
        _check_versions,
        _check_codecs,
        _check_cores,
        _check_devices,
        _check_arithmetic,
        _check_writing,
        _check_isolation,
        _check_cache,
        _check_bundled_model,
        _check_downloaded_models,
        _check_prediction,
    )
    for check in checks:
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except GlpnError as error:
            yield Finding(_name_of(check), "broken", f"{error.message} [{error.code}]", error.hint)
        except Exception as error:  # noqa: BLE001 - a doctor reports what it runs into
            yield Finding(_name_of(check), "broken", f"{type(error).__name__}: {error}")


def _name_of(check: Callable[[], Finding | list[Finding]]) -> str:
    return check.__name__.removeprefix("_").removeprefix("check_").replace("_", " ")


def _check_versions() -> Finding:
    """This program, Python, and the libraries."""
    from importlib import metadata

    found, missing = [f"glpn {__version__}", f"Python {platform.python_version()}"], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    words = f"{', '.join(found)}; {platform.platform()}"
    if missing:
        return Finding(
            "versions",
            "broken",
            f"{words}; missing: {', '.join(missing)}",
            "Run: pip install --force-reinstall glpn-cli",
        )
    return Finding("versions", "ok", words)


def _check_codecs() -> Finding:
    """Which pictures can be read: a small one of each format is."""
    from importlib.util import find_spec

    core = {name: _can_read(kind, settings) for name, (kind, settings) in _CODECS.items()}
    extra = {name: find_spec(module) is not None for name, (module, _) in _EXTRAS.items()}
    readable = ", ".join(name for name, here in (core | extra).items() if here)
    absent = [name for name, here in core.items() if not here]
    if absent:
        health: _Health = "broken" if {"JPEG", "PNG"} & set(absent) else "limited"
        return Finding("codecs", health, f"{readable}; not {', '.join(absent)}", "Reinstall Pillow from its wheels.")
    optional = [f"{name} (extra {_EXTRAS[name][1]})" for name, here in extra.items() if not here]
    return Finding("codecs", "ok", readable + (f"; not {', '.join(optional)}" if optional else ""))


def _can_read(kind: str, settings: dict[str, str]) -> bool:
    """Whether a picture of a format is read, which Pillow writes where it has the codec."""
    import io

    from PIL import Image

    from glpn_cli.images import read_rgb

    stream = io.BytesIO()
    try:
        Image.new("RGB", (16, 8), "white").save(stream, kind, **settings)
        return read_rgb(stream.getvalue()).size == (8, 16)
    except (InputError, KeyError, OSError):
        return False


def _check_cores() -> Finding:
    """Cores and memory that this process may use."""
    left = memory_bytes()
    memory = "memory unknown" if left is None else f"{left / 2**30:.1f} GiB of memory free"
    native = "bf16 is native" if multiplies_bf16("cpu") else "no native bf16: --precision auto is fp32"
    health: _Health = "limited" if left is not None and left < 2 * 2**30 else "ok"
    return Finding("cores", health, f"{cores()} of {os.cpu_count()} cores, {memory}; {native}")


def _check_devices() -> Finding:
    """What can compute."""
    return Finding("devices", "ok", f"{', '.join(list_devices())}; auto is {choose_device('auto')}")


def _check_arithmetic() -> list[Finding]:
    """Whether the layers of networks are computed right on every device, in each of its precisions."""
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
                    findings.append(Finding("arithmetic", "broken", words, hint))
                else:
                    findings.append(Finding("arithmetic", "ok", f"{words}; the models avoid them"))
    if right:
        findings.insert(0, Finding("arithmetic", "ok", f"every kind of layer is right in {', '.join(right)}"))
    return findings


def _check_writing() -> Finding:
    """Whether files can be published here."""
    from glpn_cli.atomic_write import probe_writable, write_atomically

    with tempfile.TemporaryDirectory(prefix="glpn-doctor-") as folder:
        target = Path(folder) / "probe"
        write_atomically(target, b"first", replace=False)
        write_atomically(target, b"second")
        if target.read_bytes() != b"second" or [path.name for path in target.parent.iterdir()] != ["probe"]:
            return Finding("writing", "broken", f"what was written to {folder!r} is not what is there")
    try:
        probe_writable(Path())
    except GlpnError as error:
        hint = "Name another folder with -o, or go to one of your own."
        return Finding("writing", "limited", f"files are replaced whole, but not here: {error.message}", hint)
    return Finding("writing", "ok", "files are replaced whole, and can be written here")


def _check_isolation() -> Finding:
    """Whether pictures can be decoded in processes of their own."""
    from glpn_cli.images import read_rgb
    from glpn_cli.process_pool import Workers

    picture = b"P6 1 1 255 \0\0\0"
    try:
        with Workers(1, timeout_s=30, modules=("glpn_cli.images",)) as workers:
            workers.run(read_rgb, picture, about="a picture")
    except UsageError as error:
        return Finding("isolation", "limited", error.message, "Leave out --isolate and --timeout.")
    return Finding("isolation", "ok", "--isolate can start its processes")


def _check_cache() -> Finding:
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
        return Finding("cache", "limited", f"{error.message}: models cannot be downloaded{offline}", hint)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    room = shutil.disk_usage(existing).free
    words = f"{folder}, {room / 2**30:.1f} GiB free{offline}"
    if room < _LITTLE_ROOM:
        return Finding("cache", "limited", words, "Make room, or set HF_HOME to a folder on another disk.")
    return Finding("cache", "ok", words)


def _check_bundled_model() -> Finding:
    """Whether the model that comes along is whole."""
    from glpn_cli.models.registry import DEFAULT_MODEL
    from glpn_cli.models.resolve import resolve_model

    model = resolve_model(DEFAULT_MODEL, offline=True)
    sha256 = model.checkpoint.sha256()
    return Finding("bundled model", "ok", f"{DEFAULT_MODEL}, sha256 {sha256[:16]}..., {model.limit_source}")


def _check_downloaded_models() -> Finding:
    """Whether the models that have names and are in the cache are whole."""
    from glpn_cli.models.registry import DEFAULT_MODEL, REGISTRY

    here = [row.name for row in REGISTRY.values() if row.name != DEFAULT_MODEL and row.find_here()]
    unsound = [name for name in here if not _is_whole(name)]
    if unsound:
        hint = f"Run: glpn models download {unsound[0]} --refresh"
        return Finding("downloaded models", "broken", f"damaged: {', '.join(unsound)}", hint)
    return Finding("downloaded models", "ok", ", ".join(here) or "none")


def _is_whole(name: str) -> bool:
    from glpn_cli.models.inspect import ModelReport
    from glpn_cli.models.resolve import resolve_model

    try:
        return ModelReport.of(resolve_model(name, offline=True)).is_sound
    except ModelError:
        return False


def _check_prediction() -> Finding:
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
    return Finding("prediction", "ok", f"{words}: {min_max[0]:.2f} to {min_max[1]:.2f} m")
