"""The generator that random numbers come from: Philox 4x64-10 (Salmon et al. 2011), NumPy's own."""

from __future__ import annotations

import numpy as np


def philox(seed: int, stream: int, call: int, block: int = 0) -> np.random.Generator:
    """NumPy's generator at the given place; `block` counts groups of 8 uniform floats within the draw."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([block, call, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
