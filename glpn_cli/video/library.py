"""PyAV, which reads and writes every container and codec; an extra, because its wheels carry encoders under the GPL."""

from __future__ import annotations

from types import ModuleType

from glpn_cli.errors import ErrorCode, UsageError


def load_av() -> ModuleType:
    """PyAV, silent on stderr. Raises UsageError (E_UNSUPPORTED) where it is not installed."""
    try:
        import av
        import av.logging
    except ImportError as error:
        raise UsageError(
            "videos need the library PyAV, which is not here",
            hint="Run: pip install 'glpn-cli[video]'",
            code=ErrorCode.UNSUPPORTED,
        ) from error
    av.logging.set_level(None)
    module: ModuleType = av
    return module
