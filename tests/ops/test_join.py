"""Errors of joining."""

import re

import pytest

import gpunn


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gpunn.cat([]), ValueError, "non-empty"),
        (
            lambda: gpunn.cat([gpunn.zeros(2, 3), gpunn.zeros(2)]),
            RuntimeError,
            "tensor 0 has 2 dimensions, tensor 1 has 1",
        ),
        (
            lambda: gpunn.cat([gpunn.zeros(2, 3), gpunn.zeros(2, 4)]),
            RuntimeError,
            "except in dimension 0: tensor 0 is float32[2, 3], tensor 1 is float32[2, 4]",
        ),
        (lambda: gpunn.cat([gpunn.tensor(1.0)]), RuntimeError, "tensor 0 has no dimension; use stack"),
        (lambda: gpunn.cat([gpunn.zeros(2)], 1), IndexError, "dimension 1 is out of range"),
        (lambda: gpunn.cat([gpunn.zeros(2), [1.0]]), TypeError, "element 1 is no tensor but list"),
        (lambda: gpunn.stack([]), RuntimeError, "non-empty"),
        (
            lambda: gpunn.stack([gpunn.zeros(2), gpunn.zeros(3)]),
            RuntimeError,
            "tensor 0 is float32[2], tensor 1 is float32[3]",
        ),
        (lambda: gpunn.stack([gpunn.zeros(2)], 2), IndexError, "dimension 2 is out of range"),
        (lambda: gpunn.stack([1.0, 2.0]), TypeError, "element 0 is no tensor but float"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_result_has_memory_of_its_own():
    x = gpunn.zeros(2)
    gpunn.cat([x]).fill_(1)
    gpunn.stack([x])[0].fill_(1)
    assert x.tolist() == [0, 0]


def test_any_iterable_will_do():
    assert gpunn.cat(gpunn.ones(1) * i for i in range(3)).tolist() == [0, 1, 2]
    assert gpunn.stack((gpunn.ones(1),)).shape == (1, 1)
