"""Models on disk: folders as transformers writes them, headers without torch, and the hub's cache. Knows no network.

`open_checkpoint` reads a folder, and `write.encode_checkpoint` writes one; `hub.fetch` brings one from the hub;
`read_header` and `read_tensors` read a weights file alone. Everything read was written by somebody else, and is
checked before it is believed.
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
    open_checkpoint,
)
from glpn_cli.checkpoint.headers import TensorInfo
from glpn_cli.checkpoint.weights import read_header, read_tensors

__all__ = [
    "CARD_FILE",
    "CONFIG_FILE",
    "OWN_KEY",
    "PREPROCESSOR_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "HubName",
    "TensorInfo",
    "find_weights",
    "is_weights",
    "open_checkpoint",
    "read_header",
    "read_tensors",
]
