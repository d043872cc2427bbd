"""What the configs of all families share: their way in and out of config.json. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, ClassVar, Self

from glpn_cli.checkpoint import OWN_KEY
from glpn_cli.errors import ModelError
from glpn_cli.models.fields import as_list

ACTIVATIONS = ("gelu", "relu", "selu", "gelu_new")
"""What a `hidden_act` may name."""

_SWITCHES = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
"""Documented per-call switches; part of a config in memory, of a file only where they differ from these."""


class FamilyConfig:
    """Base of the families' configs, which are dataclasses of the documented fields.

    model_type: what config.json calls the family
    own_fields: what only this project knows: key under "glpn_cli" in config.json -> field
    superseded: keys of a file that say nothing which the fields do not

    Keys of a file that are none of its fields are kept in `unknown`, written back and otherwise ignored.
    """

    model_type: ClassVar[str]
    own_fields: ClassVar[Mapping[str, str]]
    superseded: ClassVar[tuple[str, ...]]
    unknown: dict[str, Any]

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Read the object of a config.json; unknown and legacy keys are kept, never fatal.

        Raises ModelError where a known field has a nonsensical value.
        """
        rest = {key: value for key, value in raw.items() if key not in ("model_type", *cls.superseded)}
        own = rest.pop(OWN_KEY, None) or {}
        if not isinstance(own, Mapping):
            raise ModelError(f"config.json: {OWN_KEY!r} is {type(own).__name__}, not an object")
        known: dict[str, Any] = {name: rest.pop(name) for name in cls.file_fields() if name in rest}
        known |= {field: own[key] for key, field in cls.own_fields.items() if own.get(key) is not None}
        if unknown_own := {key: value for key, value in own.items() if key not in cls.own_fields}:
            rest[OWN_KEY] = unknown_own
        known["unknown"] = rest
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that transformers reads too. Raises ModelError for a function as activation."""
        rest = dict(self.unknown)
        own = dict(rest.pop(OWN_KEY, {}))
        for key, name in self.own_fields.items():
            if (value := getattr(self, name)) is not None:
                own[key] = as_list(value)
        written = {name: value for name, value in self.file_values().items() if _SWITCHES.get(name, ...) != value}
        for name, value in written.items():
            if callable(value):
                raise ModelError(f"{name} = {value!r} is a function and cannot be written to config.json")
        return {"model_type": self.model_type} | rest | written | ({OWN_KEY: own} if own else {})

    @classmethod
    def file_fields(cls) -> list[str]:
        """The documented fields: all but our own."""
        own = (*cls.own_fields, "unknown")
        return [field.name for field in fields(cls) if field.name not in own]  # type: ignore[arg-type]  # a dataclass

    def file_values(self) -> dict[str, Any]:
        """The documented fields as config.json holds them."""
        return {name: getattr(self, name) for name in self.file_fields()}

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], **overrides: Any) -> Self:
        """The config of a model folder, registry name or hub repository; see `glpn_cli.models.hf_compat_base`."""
        from glpn_cli.models.hf_compat_base import read_config

        config: Self = read_config(cls, name, overrides)
        return config

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write config.json into `folder`."""
        from glpn_cli.models.hf_compat_base import write_config

        write_config(self, folder)

    def validate(self) -> None:
        """Check every field against its type and bounds. Raises ModelError."""
        raise NotImplementedError
