"""Splitting and slicing: errors, and what the cases cannot say."""

import re

import pytest

import gpunn


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.narrow(0, 4, 1), IndexError, "start 4 is out of range for dimension 0 with size 3"),
        (lambda x: x.narrow(0, 2, 2), RuntimeError, "2 elements from 2 on do not lie in dimension 0 with size 3"),
        (lambda x: x.narrow(0, 0, -1), RuntimeError, "-1 elements"),
        (lambda x: x.narrow(2, 0, 1), IndexError, "dimension 2 is out of range"),
        (lambda x: x.select(1, 4), IndexError, "index 4 is out of bounds for dimension 1 with size 4"),
        (lambda x: x.split(0), RuntimeError, "pieces of size 0"),
        (lambda x: x.split(-1), RuntimeError, "pieces of size -1"),
        (lambda x: x.split([1, 1]), RuntimeError, "sizes [1, 1] do not add up to dimension 0 with size 3"),
        (lambda x: x.split([-1, 4]), RuntimeError, "sizes [-1, 4]"),
        (lambda x: x.chunk(0), RuntimeError, "got 0"),
        (lambda x: x.tensor_split(0), RuntimeError, "got 0"),
        (lambda x: x[0, 0].unbind(), IndexError, "0-d tensor"),
        (lambda x: x[0, 0].split(1), IndexError, "0-d tensor"),
        (lambda x: list(x[0, 0]), TypeError, "0-d tensor"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(gpunn.zeros(3, 4))


def test_split_of_nothing():
    assert [y.shape for y in gpunn.zeros(0, 2).split(3)] == [(0, 2)]
    assert gpunn.zeros(0, 2).unbind() == ()
    assert list(gpunn.zeros(0, 2)) == []


def test_narrow_counts_from_the_end_and_takes_a_tensor():
    x = gpunn.arange(5)
    assert x.narrow(0, -2, 2).tolist() == [3, 4]
    assert x.narrow(0, gpunn.tensor(1), 2).tolist() == [1, 2]


def test_equal_keys_are_equal_ops():
    assert gpunn.ops.slicing.Slice(((0, 3, 1), 2)) == gpunn.ops.slicing.Slice(((0, 3, 1), 2))
    assert hash(gpunn.ops.slicing.Slice((None, (0, 2, 1)))) == hash(gpunn.ops.slicing.Slice((None, (0, 2, 1))))
