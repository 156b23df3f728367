"""The affine map with something added to its result, over kernels."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import linear
from gpunn.backend.kernel.gemm import schedule

from .harness import FAST, compare, simulator
from .test_linear import SHAPES
from .test_matmul import normal

BACKEND = simulator("fast", "forward")


def given(rows: int, inputs: int, outputs: int, dtype: Any = "float32") -> tuple[np.ndarray, ...]:
    shapes = (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)
    return tuple(normal(*shape, dtype=dtype) for shape in shapes)


def same_as_one_after_the_other(x: Any, w: Any, b: Any, added: Any) -> None:
    expected = BACKEND.linear_activation(x, w, b, "none", 0.0) + added
    assert BACKEND.linear_sum(x, w, b, added).tobytes() == expected.tobytes()


@pytest.mark.parametrize("sizes", SHAPES)
def test_shapes(sizes: tuple[int, int, int]) -> None:
    x, w, b, added = given(*sizes)
    compare("linear_sum", x, w, b, added, ladder="linear_forward")
    same_as_one_after_the_other(x, w, b, added)
    same_as_one_after_the_other(x, w, None, added)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype: Any) -> None:
    """In half precision the sum is that of what would have been stored."""
    for sizes in ((3, 5, 7), (40, 33, 36), (130, 300, 40)):
        same_as_one_after_the_other(*given(*sizes, dtype=dtype))


def test_large_tiles(large_tiles: None) -> None:
    compare("linear_sum", *given(130, 36, 140))
    same_as_one_after_the_other(*given(130, 36, 140))


@pytest.mark.parametrize("sizes", [(40, 300, 36), (3, 700, 66), (70, 500, 3)])
@pytest.mark.parametrize("counted", [True, False])
def test_sums_in_parts(sizes: tuple[int, int, int], counted: bool) -> None:
    """The last block of a tile adds to the sum of all parts; what another launch adds up is added to behind it."""
    rows, inputs, outputs = sizes
    plan = schedule(rows, outputs, inputs, may_transpose=True)
    assert plan.parts > 1
    with patch.object(linear, "schedule", lambda *_, **__: plan._replace(counted=counted)):
        compare("linear_sum", *given(*sizes))
        same_as_one_after_the_other(*given(*sizes))


def test_further_axes_and_strides() -> None:
    x, w, b, added = normal(2, 3, 5), normal(7, 5), normal(7), normal(7, 3, 2).transpose(2, 1, 0)
    compare("linear_sum", x, w, b, added, modes=FAST)
    compare("linear_sum", x[0, 0], w, b, added[0, 0], modes=FAST)
    compare("linear_sum", normal(5, 12).T[::2], normal(5, 14).T[::-2], None, normal(6, 14)[:, ::2], modes=FAST)


def test_what_does_not_begin_at_four_elements() -> None:
    x, w, b, added = given(8, 12, 16)
    memory = np.empty(added.size + 1, np.float32)
    memory[1:] = added.reshape(-1)
    same_as_one_after_the_other(x, w, b, memory[1:].reshape(added.shape))


def test_what_is_no_number_or_infinite_stays_in_its_place() -> None:
    x, w, b, added = given(40, 33, 36)
    added[3, 5], added[7, 35] = np.nan, -np.inf
    found = BACKEND.linear_sum(x, w, b, added)
    assert np.isnan(found[3, 5]) and found[7, 35] == -np.inf
    assert np.isfinite(found).sum() == found.size - 2
