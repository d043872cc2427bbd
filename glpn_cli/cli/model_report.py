"""What a model is, in words and as a record."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from glpn_cli.cli.console import make_facts
from glpn_cli.text import SCHEMA, path_text, size_text

if TYPE_CHECKING:
    from glpn_cli.models.inspect import ModelReport


def make_model_record(report: ModelReport) -> dict[str, Any]:
    """One JSON object; sizes are widths and heights, as everywhere on the command line."""
    model, row, config = report.model, report.model.row, report.config
    checkpoint, parameters = model.checkpoint, config.parts()
    return {
        "schema": SCHEMA,
        "type": "model",
        "model": path_text(model.name),
        "known_as": row.name if row else None,
        "family": config.model_type,
        "kind": config.kind.value if config.kind else None,
        "unit": report.unit,
        "limit_m": model.limit_m,
        "limit_source": model.limit_source,
        "limit_overridden": model.overridden,
        "license": row.license if row else None,
        "license_facts": row.license_facts if row else None,
        "folder": path_text(str(checkpoint.folder)),
        "weights": path_text(checkpoint.weights.name),
        "weights_format": checkpoint.weights_format,
        "weights_bytes": checkpoint.weights_bytes,
        "weights_sha256": report.sha256,
        "weights_types": dict(report.stored_types),
        "source": checkpoint.source,
        "revision": checkpoint.revision,
        "parameters": {"total": sum(parameters.values()), **parameters},
        "picture_width": config.training_size[1],
        "picture_height": config.training_size[0],
        "network_width": report.network_size[1],
        "network_height": report.network_size[0],
        "macs": report.cost.macs,
        "memory_bytes": report.cost.memory_bytes,
        "training_width": config.training_size[1],
        "training_height": config.training_size[0],
        "training_focal_px": config.training_focal_px,
        "layer_norm_eps_mode": _eps_mode(report),
        "config": dict(model.config),
        "unknown_keys": list(config.unread_keys),
        "checks": list(map(asdict, report.checks)),
    }


def describe_model(report: ModelReport) -> str:
    """The same for people."""
    model, row, config = report.model, report.model.row, report.config
    checkpoint, parameters = model.checkpoint, config.parts()
    parts = ", ".join(f"{part} {_format_count(count)}" for part, count in parameters.items())
    focal = "" if config.training_focal_px is None else f", focal length {config.training_focal_px:g} px"
    types = " and ".join(f"{count} {dtype}" for dtype, count in report.stored_types.items())
    title = model.name if row is None else f"{model.name}: {row.description}"
    facts = [
        ("unit", report.unit),
        ("scale", model.limit_source),
        ("licence", f"{row.license} ({row.license_facts})" if row else "unknown; ask where the weights come from"),
        ("source", _source_in_words(report)),
        ("folder", str(checkpoint.folder)),
        ("weights", f"{checkpoint.weights.name}, {checkpoint.weights_bytes / 1e6:.1f} MB, tensors: {types}"),
        ("sha256", report.sha256),
        ("network", f"{config.model_type}, {_format_count(sum(parameters.values()))} parameters: {parts}"),
        ("cost", _cost_in_words(report)),
        ("trained at", f"{size_text(config.training_size)}{focal}"),
        ("norms", _norms_in_words(_eps_mode(report))),
        ("config", _config_in_words(report)),
        ("other keys", ", ".join(config.unread_keys) or None),
        *((check.name, str(check)) for check in report.checks),
    ]
    return make_facts(facts, title=title)


def _source_in_words(report: ModelReport) -> str | None:
    source, revision = report.model.checkpoint.source, report.model.checkpoint.revision
    if source is None:
        return "bundled" if report.model.row and report.model.row.repository is None else None
    return f"{source} at {revision}" if revision else source


def _cost_in_words(report: ModelReport) -> str:
    picture = report.config.training_size
    asked = "" if picture == report.network_size else f" (of a {size_text(picture)} picture)"
    memory = report.cost.memory_bytes / 1e6
    return f"{report.cost.macs / 1e9:.1f} GMAC and {memory:.0f} MB in fp32 at {size_text(report.network_size)}{asked}"


def _eps_mode(report: ModelReport) -> str | None:
    """Whose epsilons the layer norms use, where the family has a choice."""
    return getattr(report.config, "layer_norm_eps_mode", None)


def _norms_in_words(eps_mode: str | None) -> str | None:
    words = {
        "transformers": "epsilon 1e-5 everywhere, as transformers computes",
        "author": "epsilon of the config in blocks and stages, 1e-5 elsewhere, as the author's code computes",
    }
    return None if eps_mode is None else f"{eps_mode}: {words.get(eps_mode, '')}"


def _config_in_words(report: ModelReport) -> str:
    """What shapes the network; the rest is in --json."""
    fields = (
        *("depths", "hidden_sizes", "num_attention_heads", "sr_ratios", "decoder_hidden_size", "max_depth"),
        *("width_coefficient", "depth_coefficient", "hidden_size", "num_hidden_layers", "neck_hidden_sizes"),
        *("readout_type", "is_hybrid"),
    )
    raw = report.model.config
    known = ((name, raw[name]) for name in fields if name in raw)
    return "; ".join(f"{name} {_plain(value)}" for name, value in known)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _format_count(count: float) -> str:
    """A large number for people: 3.66M, 78.3G."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g}{letter}"
    return f"{count:.0f}"
