"""The gradients of an affine map and of the pooling in front of it, over kernels."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import linear
from gpunn.backend.kernel.gemm import pair

from .harness import FAST, compare, simulator
from .test_matmul import normal

ALL = (True, True, True)
SHAPES = [
    (3, 7, (2, 3, 5)),
    (1, 1, (1, 1, 1)),
    (35, 9, (4, 1, 3)),
    (65, 70, (8, 3, 4)),
    (33, 5, (5, 4, 1)),
    (0, 3, (2, 2, 2)),
]
"""Rows, outputs, (channels, rows, columns) of the windows."""


def given(rows: int, outputs: int, windows: tuple[int, int, int], dtype: Any = "float32") -> tuple[np.ndarray, ...]:
    inputs = int(np.prod(windows))
    which = np.random.default_rng(9).integers(0, 4, (rows, *windows)).astype(np.uint8)
    shapes = (rows, outputs), (rows, inputs), (outputs, inputs)
    return *(normal(*shape, dtype=dtype) for shape in shapes), which


def one_after_the_other(backend: Any, dz: Any, x: Any, w: Any, which: Any, kind: str, parameter: float) -> bytes:
    """The bits of dx f', of what windows make of it, and of dw and db, in launches of their own."""
    dx, *rest = backend.activation_linear_backward(dz, x, w, kind, parameter, ALL)
    size = 2 * which.shape[2], 2 * which.shape[3]
    dv = backend.max_pool2d_backward(dx.reshape(which.shape), which, size, (2, 2), (2, 2), (0, 0), (1, 1))
    return b"".join(g.tobytes() for g in (dv, *rest))


def has_the_bits(*arrays: Any, kind: str = "relu", parameter: float = 0.0) -> None:
    backend = simulator("fast", "forward")
    found = backend.pooled_linear_backward(*arrays, kind, parameter, ALL)
    assert b"".join(g.tobytes() for g in found) == one_after_the_other(backend, *arrays, kind, parameter)


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_shapes(sizes: tuple[int, int, tuple[int, int, int]]) -> None:
    arrays = given(*sizes)
    compare("pooled_linear_backward", *arrays, "relu", 0.0, ALL, ladder="linear_backward")
    has_the_bits(*arrays)


@pytest.mark.parametrize("wanted", [(True, False, False), (True, False, True), (True, True, False)])
def test_some_of_the_gradients(wanted: tuple[bool, bool, bool]) -> None:
    dz, x, w, which = given(20, 9, (3, 2, 5))
    compare("pooled_linear_backward", dz, x, w, which, "tanh", 0.0, wanted, modes=FAST)
    compare("pooled_linear_backward", dz, x if wanted[1] else None, w, which, "none", 0.0, wanted, modes=FAST)


@pytest.mark.parametrize(("kind", "parameter"), [("none", 0.0), ("leaky_relu", 0.1), ("sigmoid", 0.0), ("tanh", 0.0)])
def test_every_derivative(kind: str, parameter: float) -> None:
    has_the_bits(*given(20, 9, (3, 2, 5)), kind=kind, parameter=parameter)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype: Any) -> None:
    for sizes in ((3, 7, (1, 2, 3)), (40, 33, (3, 3, 4))):
        compare("pooled_linear_backward", *given(*sizes, dtype=dtype), "relu", 0.0, ALL, modes=FAST)


def test_large_tiles_write_windows_in_a_launch_of_their_own(large_tiles: None) -> None:
    arrays = given(130, 140, (4, 3, 3))
    assert pair(130, 36, 140).dx.size == "large"
    compare("pooled_linear_backward", *arrays, "relu", 0.0, ALL)
    has_the_bits(*arrays)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_sums_in_parts(counted: bool, joined: bool) -> None:
    """Where another launch adds up the parts, a third one writes the windows."""
    arrays = given(20, 500, (2, 3, 6))
    plan = pair(20, 36, 500)
    assert plan.dx.parts > 1
    dx, dw = (p._replace(counted=counted and p.parts > 1) for p in (plan.dx, plan.dw))
    with patch.object(linear, "pair", lambda *_: plan._replace(dx=dx, dw=dw, joined=joined and plan.joined)):
        compare("pooled_linear_backward", *arrays, "relu", 0.0, ALL)
        has_the_bits(*arrays)


def test_what_does_not_begin_at_a_multiple_of_its_size() -> None:
    dz, x, w, which = given(8, 5, (3, 2, 4))
    backend = simulator("fast", "forward")
    for offset in (1, 2, 3):
        memory, numbers = np.empty(4 * which.size + offset, np.float32), np.empty(which.size + offset, np.uint8)
        numbers[offset:] = which.reshape(-1)
        out = memory[offset:].reshape(8, 3, 4, 8), np.empty_like(w), np.empty(5, np.float32)
        backend.pooled_linear_backward(dz, x, w, numbers[offset:].reshape(which.shape), "relu", 0.0, ALL, out=out)
        found = b"".join(g.tobytes() for g in out)
        assert found == one_after_the_other(backend, dz, x, w, which, "relu", 0.0)


def test_what_is_infinite_stays_in_its_place() -> None:
    """Where nothing was chosen there is 0, and not 0 times infinity."""
    dz, x, w, which = given(5, 4, (2, 2, 2))
    dz[2, 1], x = np.inf, np.abs(x) + 1
    dv = simulator("fast", "forward").pooled_linear_backward(dz, x, w, which, "relu", 0.0, ALL)[0]
    assert np.count_nonzero(np.isinf(dv)) == np.count_nonzero(dv[2]) == which[2].size
    assert not np.isnan(dv).any() and not np.isinf(dv[[0, 1, 3, 4]]).any()


def test_by_hand() -> None:
    """dX = 2 (3, 1, 0, 5) = (6, 2, 0, 10), and X > 0 at the first, third and fourth window."""
    dz, w, which = np.array([[2.0]]), np.array([[3.0, 1.0, 0.0, 5.0]]), np.array([[[[0, 1], [2, 3]]]], np.uint8)
    x = np.array([[1.0, 0.0, 2.0, 3.0]])
    dv, dw, db = simulator("fast", "forward").pooled_linear_backward(dz, x, w, which, "relu", 0.0, ALL)
    assert dv.tolist() == [[[[6.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 10.0]]]]
    assert (dw.tolist(), db.tolist()) == ([[2.0, 0.0, 4.0, 6.0]], [2.0])
