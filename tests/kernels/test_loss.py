"""Losses over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel import loss
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.kernel.loss import CROSS_ENTROPY
from gpunn.backend.sim import backend as sim

from .harness import FAST, MODES, compare, simulator

RNG = np.random.default_rng(0)
REDUCTIONS = ("none", "sum", "mean")


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def labels(classes, *shape, ignored=None, dtype="int64"):
    """Labels, every third one ignored."""
    y = RNG.integers(0, classes, shape).astype(dtype)
    if ignored is not None:
        y.reshape(-1)[::3] = ignored
    return y


def cross_entropy(x, y, weight, reduction, ignore, smoothing, **options):
    """Forward and backward."""
    compare("softmax_cross_entropy", x, y, weight, reduction, ignore, smoothing, ladder="cross_entropy", **options)
    m, s = numpy_backend.softmax_cross_entropy(x, y, weight, "none", ignore, smoothing)[1:]
    dy = normal(*(y.shape if reduction == "none" else ()), dtype=x.dtype)
    args = (dy, x, y, weight, m, s, reduction, ignore, smoothing)
    compare("softmax_cross_entropy_backward", *args, ladder="cross_entropy", **options)
    if reduction != "none":
        args = (dy, x, y, weight, reduction, ignore, smoothing)
        compare("softmax_cross_entropy_gradient", *args, ladder="cross_entropy", **options)


def nll(x, y, weight, reduction, ignore, **options):
    compare("nll_loss", x, y, weight, reduction, ignore, **options)
    dy = normal(*(y.shape if reduction == "none" else ()), dtype=x.dtype)
    compare("nll_loss_backward", dy, y, weight, x.shape[min(x.ndim - 1, 1)], reduction, ignore, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 7), (1, 3), (4, 1), (3, 4, 2, 3), (6,), (0, 3), (2, 3, 0), (37, 5)])
def test_shapes(shape, reduction):
    y = labels(shape[min(len(shape) - 1, 1)], *shape[:1], *shape[2:]) if len(shape) > 1 else labels(shape[0])
    cross_entropy(normal(*shape), y, None, reduction, -100, 0.0)
    nll(normal(*shape), y, None, reduction, -100)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("ignore", "smoothing"), [(-100, 0.1), (2, 0.0), (0, 0.3)])
def test_weights_smoothing_and_ignored_labels(reduction, weighted, ignore, smoothing):
    for shape in ((7, 5), (3, 5, 4)):
        weight = np.abs(normal(5)) if weighted else None
        y = labels(5, shape[0], *shape[2:], ignored=ignore)
        cross_entropy(normal(*shape), y, weight, reduction, ignore, smoothing)
        nll(normal(*shape), y, weight, reduction, ignore)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    x, weight, y = normal(9, 6, dtype=dtype), np.abs(normal(6, dtype=dtype)), labels(6, 9)
    for reduction in ("none", "mean"):
        cross_entropy(x, y, weight, reduction, -100, 0.1, modes=FAST, rtol=1e-12 if dtype == "float64" else None)
        nll(x, y, weight, reduction, -100, modes=FAST)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_types_of_labels(dtype):
    cross_entropy(normal(4, 3), labels(3, 4, dtype=dtype), None, "mean", -100, 0.0, modes=FAST)
    nll(normal(4, 3), labels(3, 4, dtype=dtype), None, "mean", -100, modes=FAST)


def test_strided_inputs():
    x, y, weight = normal(4, 5, 6).transpose(2, 1, 0), labels(5, 4, 12)[:, ::2].T, np.abs(normal(10)[::2])
    cross_entropy(x, y, weight, "mean", -100, 0.1)
    nll(x, y, weight, "none", -100)


def test_all_ignored():
    for reduction in REDUCTIONS:
        y = np.full(4, -100)
        cross_entropy(normal(4, 3), y, None, reduction, -100, 0.0)
        nll(normal(4, 3), y, None, reduction, -100)


@pytest.mark.parametrize("rows", [1500, 70_000])
def test_many_rows_are_added_up_in_parts(rows):
    x, y = normal(rows, 3, dtype="float64"), labels(3, rows, ignored=1)
    backend = simulator("fast", "forward")
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    kept = y != 1
    loss, m, s = backend.softmax_cross_entropy(x, y, None, "mean", 1, 0.0)
    np.testing.assert_allclose(loss, -np.log(p[np.arange(rows), y])[kept].mean(), rtol=1e-12)
    dx = backend.softmax_cross_entropy_backward(np.array(3.0), x, y, None, m, s, "mean", 1, 0.0)
    np.testing.assert_allclose(dx, 3 * (p - np.eye(3)[y]) * kept[:, None] / kept.sum(), rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(backend.nll_loss(x, y, None, "mean", 1), -x[np.arange(rows), y][kept].mean(), rtol=1e-12)
    both = backend.softmax_cross_entropy_gradient(np.array(3.0), x, y, None, "mean", 1, 0.0)
    np.testing.assert_allclose(both[0], loss, rtol=1e-12)
    np.testing.assert_allclose(both[1], 3 * (p - np.eye(3)[y]) * kept[:, None] / kept.sum(), rtol=1e-10, atol=1e-16)
    dx = backend.nll_loss_backward(np.array(3.0), y, None, 3, "mean", 1)
    np.testing.assert_allclose(dx, -3 * np.eye(3)[y] * kept[:, None] / kept.sum(), rtol=1e-12)


def test_many_parts_are_added_up_in_parts(monkeypatch):
    monkeypatch.setattr(loss, "_ADDED_AS_THEY_ARE", 2000)
    x, y = normal(16_500, 2, dtype="float64"), labels(2, 16_500)
    with rung("cross_entropy", "warp"):  # 2,063 blocks
        got = simulator("fast", "forward").softmax_cross_entropy(x, y, None, "sum", -100, 0.0)[0]
    np.testing.assert_allclose(got, np.log1p(np.exp(np.diff(x)[:, 0] * (1 - 2 * y))).sum(), rtol=1e-12)


def test_by_hand():
    x, y = np.array([[0.0, np.log(3)], [np.log(7), 0.0]], np.float64), np.array([0, 0])
    loss, m, s = sim().softmax_cross_entropy(x, y, None, "none", -100, 0.0)
    np.testing.assert_allclose(loss, [np.log(4), np.log(8 / 7)])
    np.testing.assert_allclose(m, [np.log(3), np.log(7)])
    np.testing.assert_allclose(s, [4 / 3, 8 / 7])
    dx = sim().softmax_cross_entropy_backward(np.ones(2), x, y, None, m, s, "none", -100, 0.0)
    np.testing.assert_allclose(dx, [[-3 / 4, 3 / 4], [-1 / 8, 1 / 8]])


def test_what_is_not_finite():
    nan, inf = np.nan, np.inf
    x = np.array([[1, nan, 2], [1, inf, 2], [-inf, 1, 2], [-inf, -inf, -inf], [1e30, -1e30, 0]], np.float32)
    y = np.array([0, 1, 1, 2, 0])
    with np.errstate(invalid="ignore"):
        expected = numpy_backend.softmax_cross_entropy(x, y, None, "none", -100, 0.0)[0]
    for name in CROSS_ENTROPY.rungs:
        with rung("cross_entropy", name):
            np.testing.assert_array_equal(sim().softmax_cross_entropy(x, y, None, "none", -100, 0.0)[0], expected)


@pytest.mark.parametrize("bad", [3, -1, 1 << 40])
def test_a_label_that_is_no_class(bad):
    y = np.array([[0, 1, 2], [2, bad, bad]])
    x = normal(2, 3, 3)
    for name, rest in (("softmax_cross_entropy", ("mean", -100, 0.0)), ("nll_loss", ("mean", -100))):
        with pytest.raises(IndexError) as expected:
            getattr(numpy_backend, name)(x, y, None, *rest)
        with pytest.raises(IndexError) as got:
            getattr(sim(), name)(x, y, None, *rest)
            sim().synchronize()
        assert str(got.value) == str(expected.value)
        if name == "softmax_cross_entropy":
            for many in (1, 400):  # in one block, and in several
                with pytest.raises(IndexError) as expected:
                    numpy_backend.softmax_cross_entropy(np.tile(x, (many, 1, 1)), np.tile(y, (many, 1)), None, *rest)
                with pytest.raises(IndexError) as got:
                    given = np.ones((), np.float32), np.tile(x, (many, 1, 1)), np.tile(y, (many, 1)), None
                    sim().softmax_cross_entropy_gradient(*given, *rest)
                    sim().synchronize()
                assert str(got.value) == str(expected.value)


def test_kernels_do_not_use_a_label_that_is_no_class():
    x, y, dy = normal(3, 4), np.array([1, 9, -5]), np.ones(3, np.float32)
    m, s = x.max(1), np.exp(x - x.max(1, keepdims=True)).sum(1)
    weight = np.ones(4, np.float32)
    backend = simulator("check", "forward")
    assert not backend.softmax_cross_entropy_backward(dy, x, y, weight, m, s, "none", -100, 0.1)[1:].any()
    assert not backend.nll_loss_backward(dy, y, weight, 4, "none", -100)[1:].any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", bfloat16])
@pytest.mark.parametrize("shape", [(3, 5), (1,), (0, 2), (), (70, 70)])
def test_binary_cross_entropy(shape, dtype):
    p, t = (np.asarray(RNG.random(shape), dtype) for _ in range(2))
    modes = MODES if dtype == "float32" else FAST
    compare("binary_cross_entropy", p, t, modes=modes)
    compare("binary_cross_entropy", p.T, t.T, modes=modes)
    x = np.asarray(normal(*shape), dtype)
    compare("binary_cross_entropy_with_logits", x, t, None, modes=modes)
    compare("binary_cross_entropy_with_logits", x, t, np.asarray(1 + p), modes=modes)


def test_binary_cross_entropy_at_its_ends():
    p, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(sim().binary_cross_entropy(p, t), [0, 100, 100, 0])
    x = np.array([1e4, 1e4, -1e4, -1e4, 30, -30])
    t = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    expected = [1e4, 0, 0, 1e4, np.exp(-30), np.exp(-30)]
    np.testing.assert_allclose(sim().binary_cross_entropy_with_logits(x, t, None), expected)


def test_binary_cross_entropy_with_logits_broadcasts():
    compare("binary_cross_entropy_with_logits", normal(2, 3, 4), RNG.random((3, 1)).astype("f"), np.abs(normal(4)))
    compare("binary_cross_entropy_with_logits", normal(1, 4), RNG.random((5, 1)).astype("f"), None)
    x = normal(2, 1, 2, 1, 2, 1, 2, 1)
    compare("binary_cross_entropy_with_logits", x, RNG.random((1, 2, 1, 2, 1, 2, 1, 2)).astype("f"), None)


def test_binary_cross_entropy_with_logits_is_rounded_once():
    x, target, weight = (normal(40).astype("float16") for _ in range(3))
    compare("binary_cross_entropy_with_logits", x, np.abs(target), np.abs(weight) + 3, rtol=1e-4, atol=0, modes=FAST)


@pytest.mark.parametrize("bad", [1.5, -0.25, np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (70, 60)])
def test_what_is_no_probability(bad, place):
    p = RNG.random((90, 70)).astype(np.float32)
    p[place] = p[89, 69] = bad
    with pytest.raises(RuntimeError) as expected:
        numpy_backend.binary_cross_entropy(p, p)
    with pytest.raises(RuntimeError) as got:
        sim().binary_cross_entropy(p, p)
        sim().synchronize()
    assert str(got.value) == str(expected.value)
