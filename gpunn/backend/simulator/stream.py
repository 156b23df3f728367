"""Streams."""

from __future__ import annotations

from typing import Any

capturing = 0
"""How many streams capture now, in all threads. While it is 0 nothing here costs a launch anything."""


def record(kernel: Any, grid: Any, block: Any, args: Any, shared_mem: int) -> bool:
    """Record a launch where the current stream captures; whether it does."""
    return False
