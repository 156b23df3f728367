"""Where in memory an array lies, whatever its strides."""

from __future__ import annotations

from typing import Any


def span(backend: Any, x: Any) -> tuple[int, int]:
    """The address of the first byte of an array of a backend, and that behind the last one."""
    steps = [(n - 1) * s for n, s in zip(x.shape, x.strides)]
    start = backend.address(x)
    return start + sum(min(s, 0) for s in steps), start + sum(max(s, 0) for s in steps) + x.itemsize
