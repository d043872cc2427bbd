"""Models on disk: folders as transformers writes them, headers without torch, and the hub's cache. Knows no network.

`open_checkpoint` and `encode_checkpoint` are the door for folders, `fetch` for the hub, `read_header` and
`read_tensors` for a weights file alone. Everything read was written by somebody else, and is checked before it is
believed.
"""

from glpn_cli.checkpoint.folder import (
    CARD_FILE,
    CONFIG_FILE,
    OWN_KEY,
    PREPROCESSOR_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    find_weights,
    is_weights,
    open_checkpoint,
)
from glpn_cli.checkpoint.headers import TensorInfo, is_counter
from glpn_cli.checkpoint.hub import HubName, fetch, find_cached, find_damaged, hub_settings, is_intact, parse_hub_name
from glpn_cli.checkpoint.weights import read_header, read_tensors, sha256_of
from glpn_cli.checkpoint.write import (
    EncodedFolder,
    encode_checkpoint,
    encode_copy,
)
from glpn_cli.text import parse_json_object, read_json_object

__all__ = [
    "CARD_FILE",
    "CONFIG_FILE",
    "OWN_KEY",
    "PREPROCESSOR_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "EncodedFolder",
    "HubName",
    "TensorInfo",
    "encode_checkpoint",
    "encode_copy",
    "fetch",
    "find_cached",
    "find_damaged",
    "find_weights",
    "hub_settings",
    "is_counter",
    "is_intact",
    "is_weights",
    "open_checkpoint",
    "parse_hub_name",
    "parse_json_object",
    "read_header",
    "read_json_object",
    "read_tensors",
    "sha256_of",
]
