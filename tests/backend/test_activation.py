"""Large arrays go through activations in blocks: what each block gives does not depend on the others."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from gpunn.backend.numpy import activation, activation_backward
from gpunn.ops.activation import DEFAULTS, NAMES, derivative_from_output

COUNT = 70_003  # more than a block, and no whole number of them
DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("kind", NAMES)
def test_blocks_do_not_matter(kind: str, dtype) -> None:
    parameter = DEFAULTS.get(kind, 0.0)
    from_output = derivative_from_output(kind, parameter)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(COUNT).astype(dtype) for _ in range(2))
    y = activation(x, kind, parameter)
    parts = [slice(start, start + 30_000) for start in range(0, COUNT, 30_000)]
    np.testing.assert_array_equal(y, np.concatenate([activation(x[p], kind, parameter) for p in parts]))
    given = np.full_like(x, 7)
    assert activation(x, kind, parameter, out=given) is given
    np.testing.assert_array_equal(given, y)
    np.testing.assert_array_equal(activation(x[::-1], kind, parameter), y[::-1])
    in_place = x.copy()
    activation(in_place, kind, parameter, out=in_place)
    np.testing.assert_array_equal(in_place, y)

    if kind == "none":
        return
    s = y if from_output else x
    dx = activation_backward(dy, s, kind, parameter, from_output)
    small = [activation_backward(dy[p], s[p], kind, parameter, from_output) for p in parts]
    np.testing.assert_array_equal(dx, np.concatenate(small))
    in_place = dy.copy()
    activation_backward(in_place, s, kind, parameter, from_output, out=in_place)
    np.testing.assert_array_equal(in_place, dx)
    assert dx.dtype == y.dtype == x.dtype
