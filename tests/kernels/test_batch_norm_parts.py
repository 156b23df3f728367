"""The statistics of a batch, and what is done with them: a sum behind the norm, and a maximum pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import batch_norm
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, bits_of, compare, simulator

BACKEND = simulator("fast", "forward")
RNG = np.random.default_rng(1)
SHAPES = [(4, 3), (2, 5, 3, 7), (1, 2, 3), (1, 40), (70, 33), (2, 3, 600), (8, 2, 32, 32)]
IMAGES = [(2, 3, 2, 2), (3, 2, 4, 6), (1, 40, 2, 8), (2, 5, 12, 10), (1, 1, 64, 66), (33, 2, 2, 4)]
EMPTY = [(0, 3, 2, 2), (2, 0, 2, 2), (2, 3, 0, 4)]
HALVES = ((2, 2), (2, 2), (0, 0), (1, 1))


def normal(*shape: int, dtype: Any = "float32", mean: float = 0.0) -> np.ndarray:
    return (RNG.standard_normal(shape) + mean).astype(dtype)


def parameters(c: int, dtype: Any = "float32") -> tuple[np.ndarray, ...]:
    """Means, variances, weights and biases."""
    mean, var, weight, bias = (normal(c, dtype=dtype) for _ in range(4))
    return mean, np.abs(var) + np.ones((), dtype), weight, bias


@pytest.mark.parametrize("batches", [None, np.array(7)])
@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY])
def test_statistics(shape: tuple[int, ...], batches: Any) -> None:
    """To the bits of those of the norm as a whole."""
    x, c = normal(*shape, mean=1), shape[1]
    running = (normal(c), normal(c), batches, 0.9, 0.1, 0.1 * 64 / 63)
    for given in (None, running):
        compare("batch_statistics", x, running=given, ladder="batch_norm", rtol=1e-5, atol=1e-5)
        for name in ("fused", "split"):
            with rung("batch_norm", name):
                whole = BACKEND.batch_norm_forward(x, None, None, 1e-5, running=given)[1:]
                for a, b in zip(BACKEND.batch_statistics(x, given), whole, strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(40, 3, 200), (40, 70, 200)])
def test_more_channels_than_there_are_counters(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    """Then a block has all of a channel."""
    monkeypatch.setattr(batch_norm, "MOST_COUNTERS", 2)
    x = normal(*shape, mean=3)
    mean, var = BACKEND.batch_statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 2), dtype="d"), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 2), dtype="d"), rtol=1e-5)


BEHIND = [(relu, relu_of_sum) for relu in (False, True) for relu_of_sum in (False, True)]


@pytest.mark.parametrize(("relu", "relu_of_sum"), BEHIND)
@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY])
def test_a_sum_behind_the_norm(shape: tuple[int, ...], relu: bool, relu_of_sum: bool) -> None:
    """To the bits of the norm, a ReLU, a sum and a ReLU."""
    x, added, given = normal(*shape), normal(*shape), parameters(shape[1])
    compare("batch_norm_inference", x, *given, 1e-5, relu, added, relu_of_sum, rtol=1e-5, atol=1e-5)
    y = BACKEND.batch_norm_inference(x, *given, 1e-5)
    total = (np.maximum(y, 0) if relu else y) + added
    found = BACKEND.batch_norm_inference(x, *given, 1e-5, relu, added, relu_of_sum)
    np.testing.assert_array_equal(found, np.maximum(total, 0) if relu_of_sum else total)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_a_sum_in_other_types(dtype: Any) -> None:
    """In half precision the sum is that of what would have been stored."""
    x, added = normal(6, 5, 3, dtype=dtype), normal(6, 5, 3, dtype=dtype)
    given = parameters(5, "float64" if dtype == "float64" else "float32")
    y = BACKEND.batch_norm_inference(x, *given, 1e-5, True)
    found = BACKEND.batch_norm_inference(x, *given, 1e-5, True, added)
    assert found.tobytes() == (y + added).tobytes()


def test_a_sum_of_what_is_no_number_or_infinite() -> None:
    x, given = normal(6, 3), parameters(3)
    added = np.zeros((6, 3), np.float32)
    added[1, 0], added[2, 1], added[3, 2] = np.nan, np.inf, -np.inf
    x[4, 2] = np.nan
    found = BACKEND.batch_norm_inference(x, *given, 1e-5, True, added, True)
    assert np.isnan(found[[1, 4], [0, 2]]).all() and np.isnan(found).sum() == 2
    assert found[2, 1] == np.inf and found[3, 2] == 0


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [*IMAGES, *EMPTY[:2]])
def test_pooling_behind_the_norm(shape: tuple[int, ...], relu: bool) -> None:
    """To the bits of the norm, and then of the pooling."""
    x, given = normal(*shape), parameters(shape[1])
    compare("batch_norm_max_pool", x, *given, 1e-5, relu, rtol=1e-5, atol=1e-5, ladder="batch_norm")
    same_as_one_after_the_other(x, given, relu)
    same_as_one_after_the_other(x, (*given[:2], None, None), relu)


def same_as_one_after_the_other(x: np.ndarray, given: Any, relu: bool) -> None:
    y = BACKEND.batch_norm_inference(x, *given, 1e-5, relu)
    expected = BACKEND.max_pool2d(y, (x.shape[2] // 2, x.shape[3] // 2), *HALVES)
    for a, b in zip(BACKEND.batch_norm_max_pool(x, *given, 1e-5, relu), expected, strict=True):
        assert (a.dtype, a.shape, bits_of(a)) == (b.dtype, b.shape, bits_of(b))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", bfloat16])
@pytest.mark.parametrize("shape", [(3, 2, 8, 10), (2, 40, 2, 4)])
def test_pooling_of_equal_elements_of_what_is_no_number_and_of_infinities(shape: tuple[int, ...], dtype: Any) -> None:
    x = RNG.integers(-2, 3, shape).astype(dtype)  # many are equal
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = x[1, 1, 0, 0] = np.nan
    x[0, 1, 0, 0], x[1, 0, 1, 3], x[1, 0, :2, :2] = np.inf, -np.inf, -np.inf
    given = parameters(shape[1], "float64" if dtype == "float64" else "float32")
    for relu in (False, True):
        same_as_one_after_the_other(x, given, relu)
    if dtype != "float32":
        compare("batch_norm_max_pool", x, *given, 1e-5, True, modes=FAST)


def test_pooling_of_a_channel_that_is_no_number() -> None:
    """Of NaNs the last is taken."""
    x, (mean, var, weight, bias) = normal(2, 2, 4, 4), parameters(2)
    mean[1] = np.nan
    p, which = BACKEND.batch_norm_max_pool(x, mean, var, weight, bias, 1e-5, True)
    assert np.isnan(p[:, 1]).all() and (which[:, 1] == 3).all() and np.isfinite(p[:, 0]).all()


def test_pooling_of_images_that_do_not_begin_at_a_pair() -> None:
    memory = normal(2 * 3 * 4 * 6 + 1)
    x = memory[1:].reshape(2, 3, 4, 6)
    assert not BACKEND.twos(x)
    same_as_one_after_the_other(x, parameters(3), True)


def test_pooling_of_views() -> None:
    x = normal(6, 4, 3, 4).transpose(3, 2, 1, 0)[::2]
    compare("batch_norm_max_pool", x, *parameters(3), 1e-5, True, rtol=1e-5, atol=1e-5)


ALL = (True, True, True)


def pooled_gradient(shape: tuple[int, ...], relu: bool, dtype: Any = "float32") -> tuple[Any, ...]:
    """What `batch_norm_max_pool_backward` is given: some outputs are 0, some windows hold equal elements."""
    x = normal(*shape, dtype=dtype)
    x[:1] = np.round(x[:1].astype("d"))
    weight, bias = (normal(shape[1], dtype="float64" if dtype == "float64" else "float32") for _ in range(2))
    mean, var = BACKEND.batch_statistics(x)
    p, which = BACKEND.batch_norm_max_pool(x, mean, var, weight, bias, 1e-5, relu)
    return normal(*p.shape, dtype=dtype), p if relu else None, which, x, weight, mean, var


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [*IMAGES, *EMPTY[:2]])
def test_the_gradient_of_pooling_behind_the_norm(shape: tuple[int, ...], relu: bool) -> None:
    args = pooled_gradient(shape, relu)
    compare("batch_norm_max_pool_backward", *args, 1e-5, ALL, rtol=1e-4, atol=1e-5, ladder="batch_norm")
    without = (*args[:4], None, *args[5:])
    compare("batch_norm_max_pool_backward", *without, 1e-5, ALL, rtol=1e-4, atol=1e-5, modes=FAST)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_the_gradient_of_pooling_in_other_types(dtype: Any) -> None:
    for shape in ((3, 2, 8, 10), (2, 40, 2, 4)):
        args = pooled_gradient(shape, True, dtype)
        tolerance = {} if dtype == "float64" else {"rtol": 3e-2, "atol": 3e-2}
        compare("batch_norm_max_pool_backward", *args, 1e-5, ALL, modes=FAST, **tolerance)


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)]
)
def test_what_is_wanted_of_the_gradients_of_pooling(wanted: tuple[bool, bool, bool]) -> None:
    args = pooled_gradient((3, 2, 8, 10), True)
    compare("batch_norm_max_pool_backward", *args, 1e-5, wanted, rtol=1e-4, atol=1e-5, modes=FAST)


def test_the_gradient_of_pooling_of_images_that_do_not_begin_at_a_pair() -> None:
    args = list(pooled_gradient((2, 3, 4, 6), True))
    memory = np.empty(args[3].size + 1, np.float32)
    memory[1:] = args[3].reshape(-1)
    expected = BACKEND.batch_norm_max_pool_backward(*args, 1e-5, ALL)
    args[3] = memory[1:].reshape(args[3].shape)
    assert not BACKEND.twos(args[3])
    for a, b in zip(BACKEND.batch_norm_max_pool_backward(*args, 1e-5, ALL), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_an_infinite_gradient_ends_at_a_relu_that_is_closed() -> None:
    dp, p, *rest = pooled_gradient((3, 2, 8, 10), True)
    assert (p == 0).any()
    dp[p == 0] = np.inf
    for a in BACKEND.batch_norm_max_pool_backward(dp, p, *rest, 1e-5, ALL):
        assert np.isfinite(a).all()
