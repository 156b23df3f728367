"""Random numbers at a place of Philox, on the host by NumPy: the same ones for every device. `out` is row-major."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def philox(seed: int, stream: int, call: int, block: int = 0) -> np.random.Generator:
    """NumPy's generator at the given place; `block` counts groups of 8 uniform floats within the draw."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([block, call, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


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
