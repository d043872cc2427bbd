"""What a run may do and what it forgives; words of the command line that planning and reports act on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from glpn_cli.errors import UsageError


class Existing(StrEnum):
    """What to do where an output is there already: `--existing`."""

    SKIP = "skip"
    UPDATE = "update"
    OVERWRITE = "overwrite"
    ERROR = "error"


class InputKind(StrEnum):
    """What an input is: `--as`."""

    AUTO = "auto"
    PICTURE = "picture"
    DEPTH = "depth"


@dataclass(frozen=True)
class Asked:
    """The options that a user typed, by their long names; what the environment or a default says is not among them.

    An option that is dropped without a word is a lie, so one that was typed and cannot matter is refused.
    """

    options: frozenset[str] = frozenset()

    def among(self, *options: str) -> tuple[str, ...]:
        """Those of some options that were typed, in their order."""
        return tuple(option for option in options if option in self.options)

    def refuse(self, *options: str, because: str, hint: str | None = None) -> None:
        """Raise UsageError for the first of some options that was typed; `because` goes on after its name."""
        for option in self.among(*options):
            raise UsageError(f"{option} {because}", hint=hint or "Leave it out.")


@dataclass(frozen=True)
class Allowance:
    """`--allow-failed`: how many failures are no failure of the run."""

    count: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> Allowance:
        """Read `5` or `2.5%`. Raises UsageError."""
        if text is None:
            return cls()
        if text.isascii() and text.isdigit():
            return cls(count=int(text))
        if re.fullmatch(r"\d{1,3}(\.\d+)?%", text) and float(text[:-1]) <= 100:
            return cls(percent=float(text[:-1]))
        raise UsageError(
            f"--allow-failed {text!r} is neither a number nor a percentage", hint="Write for example 5, or 2%."
        )

    def covers(self, failed: int, total: int) -> bool:
        """Whether that many failures are allowed."""
        return failed <= self.count or failed * 100 <= self.percent * total
