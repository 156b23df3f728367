"""Clipping gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm


def parameters(dtype: str = "float32") -> list[gpunn.Tensor]:
    result = []
    for i, shape in enumerate([(2, 3), (4,), (), (0, 2), (5,)]):
        p = gpunn.zeros(*shape, dtype=dtype, requires_grad=True)
        if i != 4:
            p.grad = gpunn.tensor(np.random.default_rng(i).standard_normal(shape) * 3, dtype=dtype)
        result.append(p)
    return result


def vector(tensors: list[gpunn.Tensor]) -> np.ndarray:
    return np.concatenate([p.grad.double().numpy().ravel() for p in tensors if p.grad is not None])


@pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("max_norm", [1.5, 1e6])
def test_norm(p: float, dtype: str, max_norm: float) -> None:
    ps = parameters(dtype)
    before = vector(ps)
    expected = np.linalg.norm(before, p)
    rtol = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3}[dtype]
    norm = clip_grad_norm_(ps, max_norm, norm_type=p)
    np.testing.assert_allclose(norm.item(), expected, rtol=rtol)
    np.testing.assert_allclose(vector(ps), before * min(1, max_norm / (expected + 1e-6)), rtol=rtol)
    assert ps[4].grad is None and {q.grad.dtype for q in ps[:4]} == {gpunn.backend.dtypes.as_dtype(dtype)}


def test_value() -> None:
    ps = parameters()
    before = vector(ps)
    clip_grad_value_(ps, 0.7)
    np.testing.assert_array_equal(vector(ps), np.clip(before, np.float32(-0.7), np.float32(0.7)))


def test_the_gradients_stay_the_objects_they_are() -> None:
    p = gpunn.zeros(2, requires_grad=True)
    gradient = p.grad = gpunn.tensor([3.0, 4.0])
    assert clip_grad_norm_(p, 1.0).item() == 5
    assert p.grad is gradient
    clip_grad_value_(p, 0.7)
    np.testing.assert_allclose(gradient.numpy(), [0.6, 0.7], rtol=1e-6)


def test_nothing_to_clip() -> None:
    assert clip_grad_norm_([gpunn.ones(2)], 1.0).item() == 0
    assert get_total_norm([]).item() == 0
    clip_grad_value_([], 1.0)


def test_norms_that_are_not_finite() -> None:
    p = gpunn.zeros(2, requires_grad=True)
    p.grad = gpunn.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 is nan"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[1] == 1
    assert math.isnan(clip_grad_norm_(p, 1.0).item())
    with pytest.raises(ValueError, match="norm_type is positive, got 0"):
        clip_grad_norm_(p, 1.0, norm_type=0)


@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_torch_agrees(p: float, torch: Any) -> None:
    ours = parameters("float64")
    theirs = []
    for q in ours:
        t = torch.zeros(q.shape, dtype=torch.float64, requires_grad=True)
        t.grad = None if q.grad is None else torch.tensor(q.grad.numpy())
        theirs.append(t)
    a, b = clip_grad_norm_(ours[:3], 2.0, p), torch.nn.utils.clip_grad_norm_(theirs[:3], 2.0, p)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-14)
    for x, y in zip(ours[:3], theirs):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-14)
