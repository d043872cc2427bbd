"""What is told about a file that is no picture, or not a whole one.

Everything that Pillow may raise on foreign bytes ends here, as an InputError.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from glpn_cli.errors import ErrorCode, GlpnError, InputError, code_of, reason_of
from glpn_cli.images.content import EMPTY, Foreign, PictureFormat
from glpn_cli.images.picture import ReadOptions
from glpn_cli.images.pixel_modes import NoValuesError

# Pillow has no classes for these; its sentences are all there is to go by.
_CUT_SHORT = re.compile(
    r"truncated|not enough|premature|unexpected end|end of (file|data)|buffer is not large|reached eof"
    r"|unrecognized data|incomplete|only got|requires a buffer|index out of range",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unknown (pixel|raw|color|data|image)? ?(mode|layout|number)|not (yet )?supported|unsupported|not installed"
    r"|cannot (handle|decode)|not implemented|unimplemented|support not",
    re.IGNORECASE,
)


def refuse_foreign(found: Foreign, label: str) -> InputError:
    """The error for something that is no picture that may be opened."""
    code = ErrorCode.DECODE if found is EMPTY else ErrorCode.UNSUPPORTED
    return InputError(f"{label} cannot be read as a picture: it is {found.words}", hint=found.hint, code=code)


def refuse_unreadable(label: str, error: OSError) -> InputError:
    """The error for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{label} does not exist", code=ErrorCode.NOT_FOUND)
    if isinstance(error, IsADirectoryError):
        return InputError(f"{label} is a folder", code=ErrorCode.IO)
    return InputError(f"{label} cannot be read: {reason_of(error)}", code=code_of(error))


@contextmanager
def explained(kind: PictureFormat, label: str, options: ReadOptions) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError that says what is wrong with the picture."""
    try:
        yield
    except GlpnError:
        raise
    except Exception as error:
        raise _refusal(error, kind, label, options) from error


def _refusal(error: Exception, kind: PictureFormat, label: str, options: ReadOptions) -> InputError:
    """What to tell about an exception out of a decoder."""
    if isinstance(error, OSError) and error.errno:
        return InputError(f"{label} cannot be read: {reason_of(error)}", code=code_of(error))
    if isinstance(error, MemoryError):
        hint = "Refuse such pictures with --max-pixels."
        return InputError(f"{label} does not fit into memory", hint=hint, code=ErrorCode.OUT_OF_MEMORY)
    if isinstance(error, Image.DecompressionBombError):
        return InputError(
            f"{label} would unpack to more pixels than any {kind.name} picture may have", code=ErrorCode.TOO_LARGE
        )
    if isinstance(error, NoValuesError):
        return InputError(f"{label} has no picture in it: {error}", code=ErrorCode.UNSUPPORTED)
    reason = str(error) or type(error).__name__
    if "data too large" in reason.lower():
        return InputError(f"{label} carries more text than is sensible: {reason}", code=ErrorCode.TOO_LARGE)
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(reason):
        return InputError(
            f"{label} is a {kind.name} picture of a kind that cannot be read: {reason}",
            hint="Convert it to PNG first.",
            code=ErrorCode.UNSUPPORTED,
        )
    if isinstance(error, EOFError | IndexError | struct.error) or _CUT_SHORT.search(reason):
        way_out = None if options.allow_truncated else "Take what is there with --allow-truncated."
        return InputError(f"{label} is cut short: {reason}", hint=way_out)
    return InputError(f"{label} is a damaged or incomplete {kind.name} picture: {reason}")
