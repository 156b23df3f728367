"""Calls to functions whose signatures do not tell: each is made in both libraries, and gives the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, list[Callable[[Any, Any], Any]]] = {
    "torch.dtype": [lambda t, x: (t.float32, t.bool, t.int16.itemsize, t.float64.is_floating_point)],
    "torch.enable_grad": [lambda t, x: t.enable_grad()(t.is_grad_enabled)()],
    "torch.autograd.enable_grad": [lambda t, x: t.autograd.enable_grad()(t.is_grad_enabled)()],
    "torch.tensor": [lambda t, x: t.tensor([1, 2], dtype=t.float64, device="cpu", requires_grad=True)],
    "torch.Tensor.expand": [lambda t, x: x[:, :1].expand(2, 5, -1), lambda t, x: x[:, :1].expand((2, 5, 4))],
    "torch.Tensor.requires_grad_": [lambda t, x: x.requires_grad_(requires_grad=True).requires_grad],
    "torch.Tensor.to": [
        lambda t, x: x.to(t.float32),
        lambda t, x: x.to(t.int64, True, True),
        lambda t, x: x.to("cpu", t.float32, non_blocking=True),
        lambda t, x: x.to(device="cpu", dtype=t.int32, copy=True),
        lambda t, x: x.to(t.ones(1, dtype=t.int16)),
    ],
}
"""For a path all ways to call it, as functions of the library and of a tensor of 2 x 3 x 4 numbers, 0.0 to 23.0."""
