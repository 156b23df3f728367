"""Random numbers at a place of Philox, on the host by NumPy: the same ones for every device. `out` is row-major."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend.philox import philox


def draw(
    sample: Callable[..., Any],
    options: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: Any,
    seed: int,
    stream: int,
    call: int,
    out: Any = None,
) -> Any:
    """What ``sample(rng, shape, *options)`` gives for the generator at (seed, stream, call), in the type `dtype`."""
    values = sample(philox(seed, stream, call), shape, *options)
    y = np.empty(shape, dtype) if out is None else out
    y[...] = values
    return y


__all__ = ["draw"]
