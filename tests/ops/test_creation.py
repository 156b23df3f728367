"""Tensors from numbers: how many elements, in which type, from which numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import gpunn

STARTS, ENDS, STEPS = (0, 1.0, 0.5, -2, 2.7), (5, 5.000001, 0, -3.2, 0.9), (1, 2.0, 0.5, -1, 1.5, -0.3)


def values(library, *args, dtype):
    """The elements, or None for an error."""
    try:
        return library.arange(*args, dtype=dtype and getattr(library, dtype)).numpy()
    except (RuntimeError, ValueError):
        return None


@pytest.mark.parametrize("dtype", [None, "int64", "int32", "uint8", "float32", "float64"])
def test_arange(torch, dtype):
    for args in product(STARTS, ENDS, STEPS):
        ours, theirs = (values(library, *args, dtype=dtype) for library in (gpunn, torch))
        if theirs is None:
            assert ours is None, args
        else:
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7, err_msg=f"arange{args}")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((1.0, 5.000001, 2.0), [1, 3]),  # from 1 to 5 in steps of 2
        ((5.9,), [0, 1, 2, 3, 4]),
        ((0, 5, 1.5), [0, 1, 2, 3, 4]),
        ((-1.5, 1.5), [-1, 0]),
        ((2.7, -0.5, -1.0), [2, 1]),
    ],
)
def test_arange_of_int64_counts_in_integers(args, expected):
    assert gpunn.arange(*args, dtype=gpunn.int64).tolist() == expected


def test_a_step_that_is_0_as_an_integer_never_arrives():
    with pytest.raises(RuntimeError, match="never arrives"):
        gpunn.arange(0, 5, 0.5, dtype=gpunn.int64)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_tensors_of_one_element_are_numbers(device):
    x = gpunn.tensor(0.1, device=device)  # in float32: 0.10000000149
    tenth = float(np.float32(0.1))
    assert gpunn.linspace(x, 1, 3, dtype="float64").tolist() == np.linspace(tenth, 1, 3).tolist()
    assert gpunn.linspace(0, x, 3, dtype="float64").tolist() == [0, tenth / 2, tenth]
    assert gpunn.arange(x, 1, x, dtype="float64").tolist() == (tenth + tenth * np.arange(9)).tolist()
    assert gpunn.arange(gpunn.tensor(3, device=device)).tolist() == [0, 1, 2]
    assert gpunn.full((2,), x, dtype="float64").tolist() == [tenth, tenth]
    assert gpunn.full_like(x, gpunn.tensor([7], device=device)).item() == 7
