"""Models on disk: folders as transformers writes them, headers without torch, and the hub's cache. Knows no network.

`Checkpoint` reads a folder, `write.EncodedFolder` writes one, and `hub.fetch` brings one from the hub. `Weights` reads
weights alone. Everything read was written by somebody else, and is checked before it is used.
"""

from glpn_cli.checkpoint.folder import (
    CARD_FILE,
    CONFIG_FILE,
    OWN_KEY,
    PREPROCESSOR_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    HubName,
    find_weights,
    is_weights,
)
from glpn_cli.checkpoint.headers import TensorInfo
from glpn_cli.checkpoint.weights import Weights

__all__ = [
    "CARD_FILE",
    "CONFIG_FILE",
    "OWN_KEY",
    "PREPROCESSOR_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "HubName",
    "TensorInfo",
    "Weights",
    "find_weights",
    "is_weights",
]
