"""Half precision: what is made of several ops is rounded once, and overflows only where the result does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.nn import functional as F

from .harness import normal

ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "std": (1, lambda x: x.std(1)),
    "std of a population": (1, lambda x: x.std(correction=0)),
    "var": (1, lambda x: x.var(0)),
    "lerp": (2, lambda x, y: gpunn.lerp(x, y, 0.3)),
    "lerp from the end": (2, lambda x, y: gpunn.lerp(x, y, 0.7)),
    "lerp by a tensor": (2, lambda x, y: gpunn.lerp(x, y, gpunn.full((8,), 0.625, dtype=x.dtype, device=x.device))),
    "addcmul": (2, lambda x, y: gpunn.addcmul(x, y, gpunn.full_like(x, 0.75), value=0.3)),
    "addcdiv": (2, lambda x, y: gpunn.addcdiv(x, y, gpunn.full_like(x, 1.75), value=0.3)),
    "round": (1, lambda x: gpunn.round(x, decimals=1)),
    "mish": (1, F.mish),
    "hardswish": (1, F.hardswish),
    "hardsigmoid": (1, F.hardsigmoid),
    "elu": (1, F.elu),
    "selu": (1, F.selu),
    "celu": (1, lambda x: F.celu(x, 2.0)),
    "mean": (1, lambda x: x.mean(1)),
    "rms_norm": (1, lambda x: F.rms_norm(x, (8,), eps=1e-6)),
}


def value_and_gradient(function: Any, arrays: list[Any], dtype: str, device: str) -> list[Any]:
    inputs = [gpunn.tensor(a, dtype=dtype, device=device, requires_grad=True) for a in arrays]
    y = function(*inputs)
    assert y.dtype is inputs[0].dtype
    weights = gpunn.tensor(np.round(normal(*y.shape, seed=9), 1), dtype="float16").to(y.dtype).to(device)
    gradients = gpunn.autograd.grad(y, inputs, weights, allow_unused=True)
    return [t.detach().cpu().double().numpy() for t in (y, *gradients) if t is not None]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_rounding(name, dtype, device):
    """Within three roundings of the same in float64, for numbers of several sizes."""
    count, function = FUNCTIONS[name]
    for scale in (0.01, 1.0, 8.0, 300.0):
        halves = [gpunn.tensor(scale * normal(6, 8, seed=i), dtype=dtype).double().numpy() for i in range(count)]
        for got, exact in zip(*(value_and_gradient(function, halves, d, device) for d in (dtype, "float64"))):
            fits = np.abs(exact) < 6e4
            size = np.abs(exact) + np.abs(exact[fits]).max(initial=0) * 1e-2  # sums cancel
            assert (np.abs(got - exact) <= 3 * ROUNDING[dtype] * size + 1e-7)[fits].all(), f"at {scale}"


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_the_root_of_a_variance_that_overflows(device):
    # Of 0 and n the standard deviation is n / sqrt(2), and its gradient -+ 1 / sqrt(2).
    x = gpunn.tensor([0.0, 1040.0], dtype="float16", device=device, requires_grad=True)
    y = x.std()
    y.backward()
    assert y.item() == 735.5  # 735.39 as float16
    np.testing.assert_allclose(x.grad.cpu().double().numpy(), [-(0.5**0.5), 0.5**0.5], rtol=1e-3)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_products_that_overflow_on_the_way(device):
    big, small = (gpunn.tensor([v], dtype="float16", device=device) for v in (30000.0, 0.5))
    assert gpunn.addcmul(small, big, small, value=4).item() == 60000  # 4 times 30000 is too large
    assert gpunn.addcdiv(small, big, small * 4, value=3).item() == 44992  # 45000 as float16
    assert gpunn.round(big, decimals=1).item() == 30000
    assert gpunn.lerp(-big, big, 0.25).item() == -15000  # the difference is too large


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("dtype", "x"), [("float32", -20.0), ("float32", -10.0), ("float16", -6.0), ("bfloat16", -8.0)]
)
def test_small_slopes_of_elu_keep_their_digits(dtype, x, device):
    """f'(x) = e^x; as f(x) + 1 it would be the difference of two numbers that are almost the same."""
    for layer in (F.elu, lambda x: F.linear_activation(x, x.detach() * 0 + 1, None, activation="elu")):
        inputs = gpunn.tensor([[x]], dtype=dtype, device=device, requires_grad=True)
        layer(inputs).backward(gpunn.ones(1, 1, dtype=dtype, device=device))
        assert inputs.grad.item() == pytest.approx(np.exp(x), rel=1e-6 if dtype == "float32" else ROUNDING[dtype])
