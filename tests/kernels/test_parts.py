"""Parts of sums are added up in order, one after the other, whatever number of them is on its way at once."""

from __future__ import annotations

import numpy as np
import pytest

from .harness import MODES, bits_of, simulator


@pytest.mark.parametrize("parts", [1, 2, 15, 16, 17, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_in_order(parts: int, dtype: type) -> None:
    given = np.random.default_rng(parts).normal(size=(parts, 40)).astype(dtype) * 1000
    given[:, 3], given[:, 4], given[-1, 5], given[0, 6] = -0.0, 0.0, np.nan, -np.inf
    expected = given[0]
    for part in given[1:]:
        expected = expected + part
    for mode, order in MODES:
        y, rest = np.empty(37, dtype), np.empty(3, dtype)
        args = given, None, y, rest, parts, y.size, rest.size, 1, 0, 0.0
        simulator(mode, order).launcher("split_k.cu", "add_parts", (2,), (32,), args, scalar_t=np.dtype(dtype))
        assert bits_of(np.concatenate((y, rest))) == bits_of(expected)
