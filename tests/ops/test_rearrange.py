"""Flip, roll, repeat, diagonals: errors and memory."""

import re

import pytest

import gpunn


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.flip(0, 0), RuntimeError, "given twice in [0, 0]"),
        (lambda x: x.flip(2), IndexError, "dimension 2 is out of range"),
        (lambda x: x.roll((1, 2), 0), RuntimeError, "shifts [1, 2] and dimensions [0]"),
        (lambda x: x.roll((1, 2)), RuntimeError, "dimensions []"),
        (lambda x: x[0, 0].roll(1, 0), IndexError, "0-d tensor"),
        (lambda x: x.repeat(2), RuntimeError, "float32[3, 4], and for more before; got [2]"),
        (lambda x: x.repeat(1, -1), RuntimeError, "got [1, -1]"),
        (lambda x: x.repeat_interleave(-1), RuntimeError, "got -1"),
        (lambda x: x.repeat_interleave(gpunn.tensor([1, 2]), 0), RuntimeError, "one for each of 3, got int64[2]"),
        (lambda x: x.repeat_interleave(2, 0, output_size=5), RuntimeError, "output_size is 5, but 6"),
        (lambda x: gpunn.meshgrid(x), RuntimeError, "got float32[3, 4]"),
        (lambda x: gpunn.meshgrid(x[0], indexing="yx"), RuntimeError, "got 'yx'"),
        (lambda x: x[0].tril(), RuntimeError, "got float32[4]"),
        (lambda x: x.diagonal(0, 1, -1), RuntimeError, "1 and -1 are the same"),
        (lambda x: x.diagonal(0, 0, 2), IndexError, "dimension 2"),
        (lambda x: x[0, 0].diag_embed(), IndexError, "0-d tensor"),
        (lambda x: x[None].diag(), RuntimeError, "got float32[1, 3, 4]"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(gpunn.zeros(3, 4))


def test_a_grid_of_one_vector():
    for indexing in ("ij", "xy"):
        (x,) = gpunn.meshgrid(gpunn.tensor([1, 2]), indexing=indexing)
        assert x.tolist() == [1, 2]


def test_a_diagonal_is_a_view():
    x = gpunn.zeros(2, 3)
    x.diagonal(1).fill_(5)
    assert x.tolist() == [[0, 5, 0], [0, 0, 5]]


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x.flip(0),
        lambda x: x.flip(()),
        lambda x: x.roll(0, 0),
        lambda x: x.repeat(1, 1),
        lambda x: x.tril(9),
        lambda x: gpunn.ops.pad(x, (0, 0)),
        lambda x: gpunn.ops.pad(x, (-1, 0)),
        lambda x: gpunn.ops.pad(x, (0, 0), "reflect"),
    ],
)
def test_copies_have_memory_of_their_own(copy):
    x = gpunn.zeros(2, 3)
    copy(x).fill_(1)
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]
