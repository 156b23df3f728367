"""Errors of padding."""

import re

import pytest

import gpunn
from gpunn.ops import pad


@pytest.mark.parametrize(
    ("sides", "options", "error", "message"),
    [
        ((1,), {}, RuntimeError, "got [1]"),
        ((1,) * 8, {}, RuntimeError, "got [1, 1, 1, 1, 1, 1, 1, 1]"),
        ((-3, -2), {}, RuntimeError, "(-3, -2) takes more than the 4 elements along dimension 2"),
        ((-5, 3), {}, RuntimeError, "(-5, 3)"),
        ((4, 0), {"mode": "reflect"}, RuntimeError, "reflect adds at most 3 to 4 elements (dimension 2), not 4, 0"),
        ((0, 5), {"mode": "circular"}, RuntimeError, "circular adds at most 4"),
        ((-1, 4), {"mode": "circular"}, RuntimeError, "circular adds at most 3"),
        ((1, 1), {"mode": "reflect", "value": 1.0}, RuntimeError, "takes no value"),
        ((1, 1), {"mode": "mirror"}, NotImplementedError, "got 'mirror'"),
    ],
)
def test_errors(sides, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        pad(gpunn.zeros(1, 2, 4), sides, **options)


def test_nothing_is_there_to_replicate():
    with pytest.raises(RuntimeError, match="at most 0"):
        pad(gpunn.zeros(1, 2, 0), (1, 1), "replicate")


def test_integers_and_booleans():
    assert pad(gpunn.tensor([1, 2]), (1, 0), value=7).tolist() == [7, 1, 2]
    assert pad(gpunn.tensor([True]), (0, 1)).tolist() == [True, False]
