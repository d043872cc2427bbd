"""Depth maps in metres from single pictures.

The public names are resolved when they are first used: importing `glpn_cli` does not import torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if "OMP_WAIT_POLICY" not in os.environ:
    # Torch's threads spin while they wait for one another, and on a busy machine take the cores from each other: mini
    # at 640x480 took 1,400 to 2,900 ms beside eight busy processes, and 23 alone. With this count, which is read when
    # torch is first imported, it takes 70 to 100 ms, and still 23; threads that never spin take 34 to 150, and 50.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from glpn_cli.models.depth_anything.backbone_config import Dinov2Config as Dinov2Config
    from glpn_cli.models.depth_anything.backbone_config import Dinov2WithRegistersConfig as Dinov2WithRegistersConfig
    from glpn_cli.models.depth_anything.config import DepthAnythingConfig as DepthAnythingConfig
    from glpn_cli.models.dpt.config import DPTConfig as DPTConfig
    from glpn_cli.models.glpn.config import GLPNConfig as GLPNConfig

_HOME_OF = {
    "AutoImageProcessor": "models.auto",
    "AutoModelForDepthEstimation": "models.auto",
    "DPTConfig": "models.dpt.config",
    "DPTFeatureExtractor": "models.dpt.processor",
    "DPTForDepthEstimation": "models.dpt.hf_compat",
    "DPTForSemanticSegmentation": "models.dpt.hf_compat",
    "DPTImageProcessor": "models.dpt.processor",
    "DPTModel": "models.dpt.hf_compat",
    "DepthAnythingConfig": "models.depth_anything.config",
    "DepthAnythingForDepthEstimation": "models.depth_anything.hf_compat",
    "DepthEstimator": "predictor",
    "DepthKind": "prediction",
    "DepthMap": "prediction",
    "Dinov2Config": "models.depth_anything.backbone_config",
    "Dinov2WithRegistersConfig": "models.depth_anything.backbone_config",
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
