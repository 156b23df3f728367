"""Products and vectors that BLAS adds to what is there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gpunn.backend import numpy as backend
from gpunn.backend.numpy import blas

pytestmark = pytest.mark.skipif(not blas.available, reason="this NumPy has no BLAS that can be called")
RNG = np.random.default_rng(0)
SIZES = [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 3, 0), (7, 1, 1)]


def matrix(rows: int, columns: int, dtype: str, transposed: bool) -> Any:
    a = RNG.standard_normal((columns, rows) if transposed else (rows, columns)).astype(dtype)
    return a.T if transposed else a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_add_product(size: tuple[int, int, int], dtype: str) -> None:
    m, n, k = size
    for ta, tb in itertools.product((False, True), repeat=2):
        a, b, out = matrix(m, k, dtype, ta), matrix(k, n, dtype, tb), matrix(m, n, dtype, False)
        expected = 0.5 * out.astype(np.float64) + 2 * (a.astype(np.float64) @ b.astype(np.float64))
        blas.add_product(out, a, b, 2.0, 0.5)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_add_product_with_rows_far_apart() -> None:
    a, b, whole = matrix(3, 6, "float32", False), matrix(8, 9, "float32", False), np.zeros((5, 7), np.float32)
    blas.add_product(whole[1:4, 2:6], a[:, 1:5], b[::2, 3:7])
    np.testing.assert_allclose(whole[1:4, 2:6], a[:, 1:5] @ b[::2, 3:7], rtol=1e-5, atol=1e-6)
    assert whole.sum() == pytest.approx(whole[1:4, 2:6].sum())


@pytest.mark.parametrize("key", [np.s_[::2, ::2], np.s_[::-1], np.s_[:, ::-1], np.s_[:1, ::3], np.s_[::3, :1]])
def test_add_product_of_any_strides(key: Any) -> None:
    a = matrix(6, 6, "float64", False)[key]
    for left in (a, np.broadcast_to(a[:1], a.shape)):
        for right in (a.T, np.broadcast_to(a[:1], a.shape).T):
            out = np.zeros((len(left), right.shape[1]))
            np.testing.assert_allclose(blas.add_product(out, left, right), left @ right, rtol=1e-12, atol=1e-12)


SLICED = [(512, 300, 32), (129, 256, 128), (64, 784, 100)]
"""Sizes (m, n, k) of products of more than 2^21 multiplications."""


@pytest.fixture
def two_threads() -> Iterator[None]:
    """BLAS has two threads, also where tests run side by side, each process with one."""
    if np.dtype(np.float32) not in blas._batches:
        pytest.skip("this NumPy's BLAS has no batches of products")
    before = blas.threads()
    blas.set_threads(2)
    assert blas.one_thread.threads_outside() == 2
    yield
    blas.set_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SLICED)
def test_slices_of_rows(size: tuple[int, int, int], dtype: str) -> None:
    m, n, k = size
    assert blas.slices(*size, np.dtype(dtype)) >= 2
    for ta, tb in itertools.product((False, True), repeat=2):
        a, b, out = matrix(m, k, dtype, ta), matrix(k, n, dtype, tb), matrix(m, n, dtype, False)
        expected = 0.5 * out.astype(np.float64) + 2 * (a.astype(np.float64) @ b.astype(np.float64))
        again = out.copy()
        assert blas.add_product(out, a, b, 2.0, 0.5) is out
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
        with blas.one_thread:  # as beside a busy process: later, and the same bits
            assert blas.slices(*size, np.dtype(dtype)) >= 2
            blas.add_product(again, a, b, 2.0, 0.5)
        np.testing.assert_array_equal(again, out)


@pytest.mark.usefixtures("two_threads")
def test_batches_of_small_products_would_crash() -> None:
    """So there are none with 100^3 multiplications or fewer."""
    sizes = itertools.product((1, 7, 100, 127, 128, 1000), repeat=3)
    counts = {(m, n, k): blas.slices(m, n, k, np.dtype(np.float32)) for m, n, k in sizes}
    assert min(m // count * n * k for (m, n, k), count in counts.items() if count > 1) > 100**3
    assert counts[128, 128, 100] == counts[100, 100, 7] == 1 and counts[7, 7, 7] == 0


def test_what_is_overwritten_may_be_anything() -> None:
    out = np.full((2, 3), np.nan, np.float32)
    a, b = matrix(2, 4, "float32", False), matrix(4, 3, "float32", False)
    np.testing.assert_allclose(blas.add_product(out, a, b, beta=0.0), a @ b, rtol=1e-5, atol=1e-6)


def test_add_scaled() -> None:
    x, y = RNG.standard_normal((2, 1000))
    np.testing.assert_allclose(blas.add_scaled(y.copy(), x, -0.3), y - 0.3 * x, rtol=1e-14, atol=1e-14)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.0},
    {"momentum": 0.0, "weight_decay": 0.1, "maximize": True},
    {"first": True, "dampening": 0.5},
    {"dampening": 0.5, "weight_decay": 0.1},
    {"weight_decay": 0.1, "maximize": True},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_sgd_by_a_product(options: dict[str, Any]) -> None:
    defaults = {
        "momentum": 0.9,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
        "first": False,
    }
    given: dict[str, Any] = {"lr": 0.3, **defaults, **options}
    p, a, b = RNG.standard_normal((5, 4)), RNG.standard_normal((3, 5)), RNG.standard_normal((3, 4))
    buf = RNG.standard_normal(p.shape) if given["momentum"] else None
    expected = backend.sgd_step(p.reshape(-1), (a.T @ b).reshape(-1), None if buf is None else buf.reshape(-1), **given)
    del given["nesterov"]
    backend.sgd_product_step(p, buf, a, b, **given)
    np.testing.assert_allclose(p.reshape(-1), expected[0], rtol=1e-12)
    if buf is not None:
        np.testing.assert_allclose(buf.reshape(-1), expected[1], rtol=1e-12)


def test_a_product_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.optimizer, "_PRODUCT_CHUNK", 20)
    monkeypatch.setattr(backend.optimizer, "_PRODUCT_ROWS", 2)
    p, a, b, m = RNG.standard_normal((7, 9)), RNG.standard_normal((3, 7)), RNG.standard_normal((3, 9)), np.zeros((7, 9))
    seen = []

    def update(p: Any, g: Any, moments: list[Any]) -> None:
        seen.append(g.size)
        moments[0] += g
        p -= g

    expected = p - a.T @ b
    backend.optimizer.walk_product(update, p, [m], a, b)
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    np.testing.assert_allclose(m, a.T @ b, rtol=1e-12)
    assert seen == [18, 18, 18, 9]
