"""Names that can be no model's, and what to say of one that means nothing."""

from __future__ import annotations

import difflib
import re

from glpn_cli.checkpoint import parse_hub_name
from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.models import registry

_MAX_NAME = 4096


def check_name(name: str) -> None:
    """Refuse what can be no name, before anything looks for it. Raises UsageError."""
    if not name.strip():
        raise UsageError("the model's name is empty", hint=_known_names())
    if len(name) > _MAX_NAME:
        raise UsageError(f"a model's name of {len(name):,} characters is none", hint=_known_names())
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise UsageError(f"{name[:80]!a} holds control characters and is no model's name", hint=_known_names())
    if address := re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]+://|file:)(?:(?:www\.)?huggingface\.co/|hf\.co/)?(.*)", name):
        rest = "/".join(address[1].strip("/").split("/")[:2])
        is_hub = "huggingface.co/" in name or "hf.co/" in name
        raise UsageError(
            f"{name[:200]!r} is an address, not a model's name",
            hint=f"Use: -m {rest}" if is_hub and parse_hub_name(rest) else _known_names(),
        )


def unknown_name(name: str) -> UsageError:
    """The error of a name that is neither in the registry, nor a path, nor on the hub."""
    shown = ascii(name if len(name) <= 200 else name[:200] + "...")
    if name.startswith((".", "/", "~", "\\")) or "/" in name:
        return UsageError(f"there is no file or folder {shown}", hint=_known_names(), code=ErrorCode.NOT_FOUND)
    close = difflib.get_close_matches(name.lower(), registry.REGISTRY, n=1, cutoff=0.5)
    return UsageError(
        f"there is no model {shown}", hint=(f"Did you mean {close[0]}? " if close else "") + _known_names()
    )


def _known_names() -> str:
    return f"Known are {', '.join(registry.REGISTRY)}, folders, and OWNER/NAME on the hub."
