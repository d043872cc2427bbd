"""Depth maps in metres from single pictures.

The public names are resolved when they are first used: importing `glpn_cli` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from glpn_cli._version import __version__

if TYPE_CHECKING:
    from glpn_cli.models.dpt.config import DPTConfig as DPTConfig
    from glpn_cli.models.glpn.config import GLPNConfig as GLPNConfig

_HOME_OF = {
    "DPTConfig": "models.dpt.config",
    "DPTFeatureExtractor": "models.dpt.processor",
    "DPTForDepthEstimation": "models.dpt.hf_compat",
    "DPTForSemanticSegmentation": "models.dpt.hf_compat",
    "DPTImageProcessor": "models.dpt.processor",
    "DPTModel": "models.dpt.hf_compat",
    "DepthEstimator": "predictor",
    "DepthKind": "prediction",
    "DepthMap": "prediction",
    "GLPNConfig": "models.glpn.config",
    "GLPNFeatureExtractor": "models.glpn.processor",
    "GLPNForDepthEstimation": "models.glpn.hf_compat",
    "GLPNImageProcessor": "models.glpn.processor",
    "GLPNModel": "models.glpn.hf_compat",
    "GlpnError": "errors",
    "read_depth": "depth_files",
}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - names are strings


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'glpn_cli' has no attribute {name!r}")
    return getattr(import_module(f"glpn_cli.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
