"""Integers that a type does not hold: PyTorch keeps their lowest bits in arithmetic, and refuses some elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn

CALLS = {
    "mul": lambda t, x: x * -1,
    "rmul": lambda t, x: -1 * x,
    "add": lambda t, x: x + 300,
    "sub": lambda t, x: x - 1000,
    "rsub": lambda t, x: -1 - x,
    "floor_divide": lambda t, x: x // -1,
    "remainder": lambda t, x: x % 300,
    "fmod": lambda t, x: x.fmod(-3),
    "and": lambda t, x: x & -1,
    "where": lambda t, x: t.where(x > 3, x, -1),
    "masked_fill": lambda t, x: x.masked_fill(x > 3, -1),
    "fill_": lambda t, x: x.clone().fill_(-1),
    "small": lambda t, x: x.to(t.int8) * 1000,
    "large": lambda t, x: x.to(t.int32) + 2**40,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_as_torch(torch, name, device):
    values = [1, 100]
    ours = CALLS[name](gpunn, gpunn.tensor(values, dtype=gpunn.uint8, device=device))
    theirs = CALLS[name](torch, torch.tensor(values, dtype=torch.uint8))
    assert ours.tolist() == theirs.tolist() and str(ours.dtype)[6:] == str(theirs.dtype)[6:]


def test_what_no_type_holds_is_refused():
    x = gpunn.tensor([1, 100], dtype=gpunn.uint8)
    for call in (lambda: x.fill_(300), lambda: gpunn.full((2,), 300, dtype=gpunn.uint8), lambda: x.fill_(-300)):
        with pytest.raises(RuntimeError, match=r"cannot be converted to type gpunn\.uint8 without overflow"):
            call()
    assert x.eq(-1).tolist() == [False, False]
    assert gpunn.Tensor(np.int64(2), 3).shape == (2, 3)
