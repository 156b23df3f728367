"""Around training: `gpunn.utils.data` brings samples together into batches; `gpunn.utils.checkpoint` spares memory."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Load a module when it is first asked for."""
    import importlib

    if name in ("checkpoint", "data"):
        return importlib.import_module(f"gpunn.utils.{name}")
    raise AttributeError(f"module 'gpunn.utils' has no attribute {name!r}")
