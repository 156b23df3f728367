"""Embedding: its gradient, and indices that do not fit."""

import numpy as np
import pytest

import gpunn
from gpunn import ops


def gradient(indices, dy, rows, **options):
    w = gpunn.zeros(rows, dy.shape[-1], dtype=str(dy.dtype), requires_grad=True)
    ops.embedding(gpunn.tensor(indices), w, **options).backward(gpunn.tensor(dy))
    return w.grad.numpy()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}])
@pytest.mark.parametrize("rows", [3, 1000])
def test_gradient_sums_over_the_occurrences(rows, options):
    rng = np.random.default_rng(0)
    indices, dy = rng.integers(0, rows, (40, 50)), rng.normal(size=(40, 50, 4))
    expected = np.zeros((rows, 4))
    counts = np.zeros(rows)
    for i, g in zip(indices.ravel(), dy.reshape(-1, 4)):
        if i != options.get("padding_idx"):
            expected[i] += g
        counts[i] += 1
    if options.get("scale_grad_by_freq"):
        expected /= np.maximum(counts, 1)[:, None]
    np.testing.assert_allclose(gradient(indices, dy, rows, **options), expected, rtol=1e-10, atol=1e-12)


def test_many_terms_of_one_row_are_added_precisely():
    # One after the other in float32, 100,000 times 0.1 ends at 9998.6.
    dy = np.full((100_000, 1), 0.1, np.float32)
    np.testing.assert_allclose(gradient(np.zeros(100_000, int), dy, 1), [[10_000]], rtol=1e-6)


def test_gradient_has_the_same_bits_on_every_call():
    rng = np.random.default_rng(0)
    indices, dy = rng.integers(0, 20, 5000), rng.normal(size=(5000, 8)).astype("float32")
    assert gradient(indices, dy, 20).tobytes() == gradient(indices, dy, 20).tobytes()


def test_indices_that_are_no_rows_are_named():
    w = gpunn.zeros(5, 2)
    with pytest.raises(IndexError, match=r"7 at \[1, 0\].*rows 0 to 4"):
        ops.embedding(gpunn.tensor([[0, 1], [7, 2]]), w)
    with pytest.raises(IndexError, match=r"-1 at \[0\]"):
        ops.embedding(gpunn.tensor([-1]), w)


def test_arguments_are_checked():
    i, w = gpunn.tensor([1]), gpunn.zeros(5, 2)
    with pytest.raises(RuntimeError, match="indices must be integers"):
        ops.embedding(gpunn.tensor([1.0]), w)
    with pytest.raises(RuntimeError, match="2-D"):
        ops.embedding(i, gpunn.zeros(5))
    with pytest.raises(ValueError, match="padding_idx must be within the 5 rows"):
        ops.embedding(i, w, padding_idx=5)
    with pytest.raises(NotImplementedError, match="sparse"):
        ops.embedding(i, w, sparse=True)


@pytest.mark.parametrize("norm_type", [1.0, 2.0])
def test_max_norm_scales_the_rows_that_are_looked_up(torch, norm_type):
    values = np.random.default_rng(0).normal(size=(5, 3)).astype("float32") * [[3], [3], [0.01], [3], [3]]
    indices = [[1, 2], [1, 4]]
    ours, theirs = gpunn.tensor(values, dtype="float32"), torch.tensor(values, dtype=torch.float32)
    y = ops.embedding(gpunn.tensor(indices), ours, max_norm=0.5, norm_type=norm_type)
    z = torch.nn.functional.embedding(torch.tensor(indices), theirs, max_norm=0.5, norm_type=norm_type)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


def test_max_norm_writes_nothing_if_an_index_is_wrong():
    w = gpunn.full((3, 2), 9.0)
    with pytest.raises(IndexError):
        ops.embedding(gpunn.tensor([0, 3]), w, max_norm=1.0)
    np.testing.assert_array_equal(w.numpy(), np.full((3, 2), 9.0))


def test_one_hot_checks_the_labels():
    with pytest.raises(RuntimeError, match=r"smaller than num_classes=3, got 5 at \[1\]"):
        ops.one_hot(gpunn.tensor([1, 5]), 3)
    with pytest.raises(RuntimeError, match=r"non-negative, got -1 at \[0\]"):
        ops.one_hot(gpunn.tensor([-1, 5]))
    with pytest.raises(RuntimeError, match="takes integers"):
        ops.one_hot(gpunn.tensor([1.0]))
    with pytest.raises(RuntimeError, match="number of classes is unknown"):
        ops.one_hot(gpunn.zeros(0, dtype="int64"))
