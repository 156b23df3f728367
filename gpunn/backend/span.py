"""Where in memory an array lies, whatever its strides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def span(backend: Any, x: Any) -> tuple[int, int]:
    """The address of the first byte of an array of a backend, and that behind the last one."""
    steps = [(n - 1) * s for n, s in zip(x.shape, x.strides)]
    start = backend.address(x)
    return start + sum(min(s, 0) for s in steps), start + sum(max(s, 0) for s in steps) + x.itemsize


def overlapping(backend: Any, arrays: Iterable[Any]) -> set[int]:
    """The ids of those arrays whose spans meet that of another one."""
    found: set[int] = set()
    furthest, its_end = 0, 0
    for start, end, which in sorted((*span(backend, x), id(x)) for x in arrays if x.size):
        if start < its_end:
            found |= {furthest, which}
        if end > its_end:
            furthest, its_end = which, end
    return found
