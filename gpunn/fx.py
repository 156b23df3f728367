"""What programs tell PyTorch's symbolic tracer. There is none here, so that it changes nothing."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

__all__ = ["wrap"]


def wrap(fn_or_name: T) -> T:
    """A function, or its name, as it is: a mark not to look into it."""
    return fn_or_name
