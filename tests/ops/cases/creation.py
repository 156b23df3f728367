"""Cases of `gpunn.ops.creation`; none has an input, and `torch` has functions of the same names."""

import numpy as np

import gpunn

from ..harness import add


def both(name, function, reference=None):
    def in_torch():
        import torch

        return function(torch)

    add(name, lambda: function(gpunn), reference=reference, torch=in_torch, dtypes=("float32",))


both(
    "zeros",
    lambda t: (t.zeros(2, 3), t.zeros((2, 3)), t.zeros(0), t.zeros(()), t.zeros(2, dtype=t.int64)),
    lambda: (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(0), np.zeros(()), np.zeros(2)),
)
both(
    "ones",
    lambda t: (
        t.ones(2, 3),
        t.ones([2, 3]),
        t.ones(2, 0),
        t.ones(2, dtype=t.bool),
        t.ones(2, dtype=t.bfloat16).float(),
    ),
    lambda: (np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 0)), np.ones(2, bool), np.ones(2)),
)
both(
    "full",
    lambda t: (
        t.full((2, 3), 1.5),
        t.full((2,), 7),
        t.full((2,), True),
        t.full((), 2.5),
        t.full((2,), 3, dtype=t.float64),
    ),
    lambda: (np.full((2, 3), 1.5), np.full(2, 7), np.full(2, True), np.array(2.5), np.full(2, 3.0)),
)
both("full-numpy-number", lambda t: (t.full((2,), np.int64(3)), t.full((2,), np.float32(1.5))))
both("full-infinite", lambda t: (t.full((2,), float("inf")), t.full((2,), float("nan"))))
both(
    "like",
    lambda t: (
        t.zeros_like(t.ones(2, dtype=t.int32)),
        t.ones_like(t.zeros(2), dtype=t.float64),
        t.full_like(t.zeros(2), 3),
        t.zeros(2).new_zeros(3),
        t.zeros(2, dtype=t.int64).new_ones((3, 1)),
    ),
)
both(
    "arange",
    lambda t: (t.arange(5), t.arange(2, 5), t.arange(5, 2, -1), t.arange(1, 10, 4), t.arange(0)),
    lambda: tuple(map(np.array, ([0, 1, 2, 3, 4], [2, 3, 4], [5, 4, 3], [1, 5, 9], np.zeros(0)))),
)
both(
    "arange-floats",
    lambda t: (t.arange(2.5), t.arange(0, 1, 0.25), t.arange(1.0, 0.0, -0.3), t.arange(0, 2, 0.1)),
    lambda: (
        np.array([0, 1, 2.0]),
        np.array([0, 0.25, 0.5, 0.75]),
        np.array([1, 0.7, 0.4, 0.1]),
        np.array([i / 10 for i in range(20)]),
    ),
)
both("arange-types", lambda t: (t.arange(3, dtype=t.float32), t.arange(3, dtype=t.int8), t.arange(3.0, dtype=t.int64)))
both("arange-exact", lambda t: t.arange(2**60, 2**60 + 3), lambda: np.array([2**60, 2**60 + 1, 2**60 + 2]))
both(
    "linspace",
    lambda t: (
        t.linspace(0, 1, 5),
        t.linspace(2, -1, 4),
        t.linspace(3, 4, 1),
        t.linspace(0, 1, 0),
        t.linspace(0, 10, 5, dtype=t.float64),
    ),
    lambda: (
        np.array([0, 0.25, 0.5, 0.75, 1]),
        np.array([2.0, 1, 0, -1]),
        np.array([3.0]),
        np.zeros(0),
        np.array([0, 2.5, 5, 7.5, 10]),
    ),
)
both(
    "eye",
    lambda t: (t.eye(3), t.eye(2, 3), t.eye(3, 2, dtype=t.int64), t.eye(0)),
    lambda: (
        np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        np.array([[1, 0, 0], [0, 1, 0]]),
        np.array([[1, 0], [0, 1], [0, 0]]),
        np.zeros((0, 0)),
    ),
)
both(
    "empty",
    lambda t: (t.empty(2, 3).zero_(), t.empty_like(t.ones(2)).fill_(1), t.empty(()).fill_(2.5)),
    lambda: (np.zeros((2, 3)), np.ones(2), np.array(2.5)),
)
both("sizes", lambda t: t.zeros(np.int64(2), np.int32(3)), lambda: np.zeros((2, 3)))
