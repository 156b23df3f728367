"""Looking into a network."""

import importlib
from typing import Any

from .draw import draw
from .explain import explain
from .summary import Row, Summary, summary

__all__ = ["Row", "Summary", "draw", "explain", "summary"]


def __getattr__(name: str) -> Any:
    """Load a module when it is first asked for."""
    if name in ("compare", "doctor", "gradcheck", "memory", "profile"):
        return importlib.import_module(f"gpunn.inspect.{name}")
    raise AttributeError(f"module 'gpunn.inspect' has no attribute {name!r}")
