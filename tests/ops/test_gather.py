"""Gather, scatter and selection: errors, changes in place, and what has no gradient."""

import re

import numpy as np
import pytest

import gpunn

I = gpunn.tensor([[0, 1]])
BAD = gpunn.tensor([[0, 7]])
NEGATIVE = gpunn.tensor([[0, -1]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.gather(1, BAD), IndexError, "index 7 is out of bounds for dimension 1 with size 4"),
        (lambda x: x.gather(0, NEGATIVE), IndexError, "index -1 is out of bounds for dimension 0 with size 3"),
        (lambda x: x.gather(0, I[0]), RuntimeError, "the index has 1 dimensions"),
        (lambda x: x.gather(1, gpunn.zeros(5, 1, dtype=gpunn.int64)), RuntimeError, "[5, 1] is larger than [3, 4]"),
        (lambda x: x.gather(1, I.float()), IndexError, "int64 or int32, got float32[1, 2]"),
        (lambda x: x.gather(1, [[0]]), TypeError, "got list"),
        (lambda x: x.gather(2, I), IndexError, "dimension 2"),
        (lambda x: x.scatter(1, BAD, 1.0), IndexError, "index 7 is out of bounds for dimension 1 with size 4"),
        (lambda x: x.scatter(1, NEGATIVE, 1.0), IndexError, "index -1"),
        (lambda x: x.scatter(1, I, gpunn.zeros(1, 1)), RuntimeError, "larger than src [1, 1]"),
        (lambda x: x.scatter(1, I, gpunn.zeros(1, 2).double()), RuntimeError, "src is gpunn.float64"),
        (lambda x: x.scatter(1, I), TypeError, "src and value"),
        (lambda x: x.scatter_add(1, BAD, gpunn.ones(1, 2)), IndexError, "index 7"),
        (lambda x: x.scatter_add(1, I, gpunn.ones(2)), RuntimeError, "larger than src [2]"),
        (lambda x: x.take_along_dim(I, 2), IndexError, "dimension 2"),
        (lambda x: x.take_along_dim(I[0], 0), RuntimeError, "dimensions of input and indices differ"),
        (lambda x: x.take_along_dim(I, 0), RuntimeError, "broadcast"),
        (lambda x: x.take_along_dim(BAD, 1), IndexError, "index 7"),
        (lambda x: x.take(gpunn.tensor([12])), IndexError, "index 12 is out of bounds for dimension 0 with size 12"),
        (lambda x: x.index_select(0, NEGATIVE[0]), IndexError, "index -1 is out of bounds for dimension 0 with size 3"),
        (lambda x: x.index_select(1, BAD[0]), IndexError, "index 7 is out of bounds for dimension 1 with size 4"),
        (lambda x: x.index_select(0, I), IndexError, "vector"),
        (lambda x: x.index_select(0, I[0].to(gpunn.int16)), IndexError, "int16"),
        (lambda x: x.index_add(0, BAD[0], gpunn.ones(2, 4)), IndexError, "index 7"),
        (lambda x: x.index_add(0, NEGATIVE[0], gpunn.ones(2, 4)), IndexError, "index -1"),
        (lambda x: x.index_add(0, I[0], gpunn.ones(2, 1)), RuntimeError, "the values are float32[2, 1]"),
        (lambda x: x.index_add(0, I[0], gpunn.ones(2, 4).double()), RuntimeError, "source is gpunn.float64"),
        (lambda x: x.masked_fill(x, 1.0), RuntimeError, "mask must be bool, got gpunn.float32"),
        (lambda x: x.masked_fill(x > 0, gpunn.zeros(1)), RuntimeError, "0-d tensor"),
        (lambda x: x.masked_select(x), RuntimeError, "mask must be bool"),
        (lambda x: x.masked_select(gpunn.ones(3) > 0), RuntimeError, "broadcast"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(gpunn.zeros(3, 4))


def test_one_hot_in_place():
    labels = gpunn.tensor([2, 0, 1])
    x = gpunn.zeros(3, 3)
    assert x.scatter_(1, labels.unsqueeze(1), 1) is x
    assert x.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_counting_in_place():
    x = gpunn.zeros(3, dtype=gpunn.int64)
    x.scatter_add_(0, gpunn.tensor([1, 1, 2]), gpunn.ones(3, dtype=gpunn.int64))
    x.index_add_(0, gpunn.tensor([1]), gpunn.tensor([10]))
    assert x.tolist() == [0, 12, 1]


def test_masking_in_place_keeps_the_gradient_outside_of_the_mask():
    w = gpunn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = w * 2
    y.masked_fill_(gpunn.tensor([False, True, False]), -np.inf)
    assert y.tolist() == [2, -np.inf, 6]
    y[::2].sum().backward()
    assert w.grad.tolist() == [2, 0, 2]


def test_what_is_given_by_keyword_is_recorded_too():
    w = gpunn.ones(2, requires_grad=True)
    x = gpunn.zeros(3)
    x.scatter_(0, gpunn.tensor([2, 0]), src=w)
    x.sum().backward()
    assert w.grad.tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(4,), (2, 3), (0, 2), ()])
def test_nonzero(shape, torch):
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3
    ours, theirs = gpunn.tensor(x), torch.tensor(x)
    assert ours.nonzero().shape == tuple(theirs.nonzero().shape)
    assert ours.nonzero().tolist() == theirs.nonzero().tolist()
    assert [i.tolist() for i in ours.nonzero(as_tuple=True)] == [i.tolist() for i in theirs.nonzero(as_tuple=True)]
    assert ours.nonzero().dtype is gpunn.int64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_run_in_the_order_of_the_values(rng, dtype):
    index = rng.integers(0, 3, (50, 4))
    values = rng.standard_normal((50, 4)).astype(dtype)
    expected = np.zeros((3, 4), dtype)
    for i in range(50):
        for j in range(4):
            expected[index[i, j], j] += values[i, j]
    got = gpunn.zeros(3, 4, dtype=dtype).scatter_add(0, gpunn.tensor(index), gpunn.tensor(values))
    np.testing.assert_array_equal(got.numpy(), expected)
