"""Dropout: which elements go, as a function of counters; and its arguments."""

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.dropout import Dropout
from gpunn.random import DROPOUT


def philox(counter, key):
    """Philox 4x64-10 in Python's integers (Salmon et al. 2011, section 3.3; constants from Random123)."""
    mask = 2**64 - 1
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(second >> 64) ^ c[1] ^ k[0], second & mask, (first >> 64) ^ c[3] ^ k[1], first & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return c


def kept_by_hand(p, seed, call, count):
    """One element after the other: 8 for each counter, lower half of a word first."""
    kept = []
    for i in range(count):
        # NumPy counts on before it draws.
        word = philox([i // 8 + 1, call, 0, 0], [seed, DROPOUT])[i % 8 // 2]
        u = (word >> 32 if i % 2 else word & 0xFFFFFFFF) >> 8
        kept.append(u * 2**-24 >= p)
    return np.array(kept)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_mask_is_philox_by_hand(p):
    y = apply(Dropout(p, 42), gpunn.ones(50), 6).numpy()
    np.testing.assert_array_equal(y != 0, kept_by_hand(p, 42, 6, 50))
    np.testing.assert_array_equal(np.unique(y), np.array([0, 1 / (1 - p)], np.float32))


@pytest.mark.parametrize("offset", [1, 7, 8, 20, 65_536, 65_541])
def test_parts_of_a_batch_get_the_mask_of_the_whole(offset):
    x = np.random.default_rng(0).normal(size=140_000)
    whole = apply(Dropout(0.3, 1), gpunn.tensor(x), 2).numpy()
    part = apply(Dropout(0.3, 1, offset), gpunn.tensor(x[offset:]), 2).numpy()
    np.testing.assert_array_equal(part, whole[offset:])


def test_mask_does_not_depend_on_the_type():
    masks = [
        apply(Dropout(0.3, 1), gpunn.ones(1000, dtype=d), 0).double().numpy() != 0
        for d in ("float16", "bfloat16", "float32", "float64")
    ]
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_gradient_makes_the_mask_again_and_saves_nothing():
    x = gpunn.ones(1000, requires_grad=True)
    y = ops.dropout(x, 0.3)
    assert not any(isinstance(s, gpunn.Tensor) for s in y.grad_fn.inputs)
    y.backward(gpunn.full((1000,), 2.0))
    np.testing.assert_array_equal(x.grad.numpy(), 2 * y.detach().numpy())


def test_same_seed_same_bits_and_each_call_another_mask():
    x = gpunn.ones(100)
    gpunn.manual_seed(3)
    first, second = ops.dropout(x).numpy(), ops.dropout(x).numpy()
    gpunn.manual_seed(3)
    np.testing.assert_array_equal(ops.dropout(x).numpy(), first)
    assert (first != second).any()


@pytest.mark.parametrize("p", [0.2, 0.8])
def test_share_and_mean_are_right(p):
    gpunn.manual_seed(0)
    y = ops.dropout(gpunn.ones(100_000), p).numpy()
    # Five standard deviations of the binomial distribution.
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / 100_000)
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / 100_000)


def test_evaluation_and_probability_0_return_the_input():
    x = gpunn.ones(3)
    before = gpunn.get_rng_state()
    assert ops.dropout(x, 0.5, training=False) is x
    assert ops.dropout(x, 0.0) is x
    assert gpunn.get_rng_state() == before


def test_probability_1_gives_zeros():
    x = gpunn.tensor([1.0, -2.0], requires_grad=True)
    y = ops.dropout(x, 1.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), [0, 0])
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0])


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_an_error(name, p):
    shape = {"dropout1d": (2, 3, 4), "dropout3d": (2, 3, 2, 2, 2)}.get(name, (2, 3, 2, 2))
    with pytest.raises(ValueError, match=f"{name}: dropout probability has to be between 0 and 1, but got {p}"):
        getattr(ops, name)(gpunn.ones(shape), p)


def test_inplace_changes_the_input():
    x = gpunn.ones(100)
    y = ops.dropout(x, 0.5, inplace=True)
    assert y is x
    assert set(x.tolist()) == {0.0, 2.0}


def test_channels_go_as_a_whole():
    y = ops.dropout2d(gpunn.ones(8, 16, 3, 3), 0.5).numpy().reshape(128, 9)
    assert set(map(tuple, y)) == {(0.0,) * 9, (2.0,) * 9}


def test_dimensions_are_checked():
    with pytest.raises(RuntimeError, match="2 or 3 dimensions"):
        ops.dropout1d(gpunn.ones(3))
    with pytest.raises(RuntimeError, match="4 or 5 dimensions"):
        ops.dropout3d(gpunn.ones(3, 4))
    with pytest.warns(UserWarning, match="dropout1d"):
        ops.dropout2d(gpunn.ones(2, 3, 4))
    with pytest.raises(RuntimeError, match="takes floats"):
        ops.dropout(gpunn.ones(3, dtype="int64"))


def test_alpha_dropout_keeps_mean_and_variance():
    gpunn.manual_seed(0)
    y = ops.alpha_dropout(gpunn.randn(200_000), 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02
