"""Sums over all ranks."""

from __future__ import annotations

import sys
from typing import Any

from gpunn.backend import collective

from .elementwise import copy

Array = Any

__all__ = ["all_reduce"]


def all_reduce(x: Array, out: Array | None = None) -> Array:
    """The sum over all ranks; `out` may be `x`."""
    result = copy(x, out=out)
    collective.current().all_reduce(sys.modules[__package__], result)
    return result
