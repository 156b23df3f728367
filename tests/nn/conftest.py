"""Functions of both libraries side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn


@pytest.fixture
def same(torch: Any) -> Callable[..., None]:
    """Compares ``f(library, *tensors)`` of both libraries; f sees the library's `nn.functional` as ``library.F``."""

    def check(
        f: Callable[..., Any],
        *arrays: np.ndarray,
        second: bool = True,
        dtype: str = "float64",
        device: str = "cpu",
        rtol: float = 1e-9,
    ) -> None:
        ours, theirs = (_results(library, f, arrays, second, dtype, device) for library in (gpunn, torch))
        for a, b in zip(ours, theirs, strict=True):
            if a is None or b is None:  # no gradient, or one of zeros
                assert not np.any(a if b is None else b)
            else:
                assert a.shape == b.shape and a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=rtol, atol=max(rtol * 1e-1, 1e-10) * max(1, np.abs(b).max()))

    return check


def _results(
    library: Any, f: Callable[..., Any], arrays: tuple[np.ndarray, ...], second: bool, dtype: str, device: str
) -> list[Any]:
    tensors = []
    for a in arrays:
        floats = a.dtype.kind == "f"
        t = library.tensor(a.astype(dtype) if floats else a)
        t = t.to(device) if library is gpunn else t
        tensors.append(t.requires_grad_() if floats else t)
    ys = f(library.nn.functional, *tensors)
    ys = [y for y in (ys if isinstance(ys, tuple) else (ys,)) if y is not None]
    found, inputs = list(ys), [t for t in tensors if t.requires_grad]
    weights = np.random.default_rng(7)
    loss = 0
    for y in ys:
        if y.requires_grad:
            w = library.tensor(weights.standard_normal(tuple(y.shape)).astype(dtype))
            loss = loss + (y * (w.to(device) if library is gpunn else w)).sum() + (y * y * y).sum() * 0.1
    if inputs and ys[0].requires_grad:
        first = library.autograd.grad(loss, inputs, create_graph=second, allow_unused=True)
        found += first
        if second:
            squares = sum((g * g).sum() for g in first if g is not None)
            found += (
                library.autograd.grad(squares, inputs, allow_unused=True)
                if squares.requires_grad
                else [None] * len(inputs)
            )
    return [None if y is None else y.detach().cpu().numpy() for y in found]
