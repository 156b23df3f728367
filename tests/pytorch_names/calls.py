"""Calls to functions whose signatures do not tell: each is made in both libraries, and gives the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, list[Callable[[Any, Any], Any]]] = {
    "torch.dtype": [lambda t, x: (t.float32, t.bool, t.int16.itemsize, t.float64.is_floating_point)],
    "torch.enable_grad": [lambda t, x: t.enable_grad()(t.is_grad_enabled)()],
    "torch.autograd.enable_grad": [lambda t, x: t.autograd.enable_grad()(t.is_grad_enabled)()],
    "torch.tensor": [lambda t, x: t.tensor([1, 2], dtype=t.float64, device="cpu", requires_grad=True)],
    "torch.arange": [
        lambda t, x: t.arange(5),
        lambda t, x: t.arange(end=5),
        lambda t, x: t.arange(2, 5.5),
        lambda t, x: t.arange(start=9, end=2, step=-3, dtype=t.int32),
    ],
    "torch.linspace": [
        lambda t, x: t.linspace(1, 3, 5),
        lambda t, x: t.linspace(start=1, end=3, steps=4, dtype=t.float64),
    ],
    "torch.logspace": [lambda t, x: t.logspace(0, 2, 3), lambda t, x: t.logspace(0, 3, steps=4, base=2.0)],
    "torch.einsum": [lambda t, x: t.einsum("abc,abd->acd", x, x), lambda t, x: t.einsum("abc->", [x])],
    "torch.max": [
        lambda t, x: t.max(x),
        lambda t, x: tuple(t.max(x, 1)),
        lambda t, x: tuple(t.max(x, dim=1, keepdim=True)),
        lambda t, x: t.max(x, 9 - x),
        lambda t, x: t.max(x, other=9 - x),
    ],
    "torch.min": [
        lambda t, x: t.min(x),
        lambda t, x: tuple(t.min(x, -1, True)),
        lambda t, x: t.min(x, 9 - x),
        lambda t, x: t.min(x, other=9 - x),
    ],
    "torch.meshgrid": [
        lambda t, x: t.meshgrid(x[0, 0], x[0, :, 0], indexing="ij"),
        lambda t, x: t.meshgrid([x[0, 0], x[0, :, 0]], indexing="xy"),
    ],
    "torch.std": [
        lambda t, x: t.std(x, False),
        lambda t, x: t.std(x, 1, False, True),
        lambda t, x: t.std(x, dim=1, unbiased=False),
        lambda t, x: t.std(x, (0, 2), correction=2, keepdim=True),
    ],
    "torch.var": [
        lambda t, x: t.var(x, False),
        lambda t, x: t.var(x, 1, False, True),
        lambda t, x: t.var(x, None, correction=0),
    ],
    "torch.std_mean": [
        lambda t, x: t.std_mean(x, False),
        lambda t, x: t.std_mean(x, 1, False, True),
        lambda t, x: t.std_mean(x, (0, 1), correction=0, keepdim=True),
    ],
    "torch.var_mean": [lambda t, x: t.var_mean(x), lambda t, x: t.var_mean(x, 1, True, True)],
    "torch.repeat_interleave": [
        lambda t, x: t.repeat_interleave(x, 2, 1),
        lambda t, x: t.repeat_interleave(x, t.tensor([1, 0, 2]), dim=1),
        lambda t, x: t.repeat_interleave(t.tensor([1, 0, 2])),
    ],
    "torch.result_type": [
        lambda t, x: t.result_type(x, 2),
        lambda t, x: t.result_type(3, x.to(t.int32)),
        lambda t, x: t.result_type(x, x.float()),
        lambda t, x: t.result_type(2, 2.5),
    ],
    "torch.isin": [
        lambda t, x: t.isin(x, t.tensor([3.0, 4.0])),
        lambda t, x: t.isin(elements=x, test_elements=x[:1], invert=True),
        lambda t, x: t.isin(x, 3),
        lambda t, x: t.isin(3, x),
    ],
    "torch.subtract": [lambda t, x: t.subtract(x, x[:1], alpha=2), lambda t, x: t.subtract(x, 3)],
    "torch.Tensor.subtract": [lambda t, x: x.subtract(x[:1], alpha=2), lambda t, x: x.subtract(3)],
    "torch.Tensor.subtract_": [lambda t, x: x.clone().subtract_(x[:1], alpha=2)],
    # Of these the stubs tell another default than the functions have: no reduction.
    "torch.kl_div": [lambda t, x: t.kl_div(x, x / 24)],
    "torch.binary_cross_entropy_with_logits": [lambda t, x: t.binary_cross_entropy_with_logits(x, x / 24)],
    "torch.hinge_embedding_loss": [lambda t, x: t.hinge_embedding_loss(x, x.sign())],
    "torch.margin_ranking_loss": [lambda t, x: t.margin_ranking_loss(x, x * 2 - 9, x.sign(), 0.5)],
    "torch.dsplit": [lambda t, x: t.dsplit(x, 2), lambda t, x: t.dsplit(x, [1, 3])],
    "torch.hsplit": [lambda t, x: t.hsplit(x, 3), lambda t, x: t.hsplit(x, (1, 2))],
    "torch.vsplit": [lambda t, x: t.vsplit(x, 2), lambda t, x: t.vsplit(x, (1,))],
    "torch.Tensor.dsplit": [lambda t, x: x.dsplit(2), lambda t, x: x.dsplit([1, 3])],
    "torch.Tensor.hsplit": [lambda t, x: x.hsplit(3), lambda t, x: x.hsplit((1, 2))],
    "torch.Tensor.vsplit": [lambda t, x: x.vsplit(2), lambda t, x: x.vsplit([1])],
    "torch.tensor_split": [
        lambda t, x: t.tensor_split(x, 3, dim=2),
        lambda t, x: t.tensor_split(x, (1, 2), 1),
        lambda t, x: t.tensor_split(x, t.tensor([1]), 1),
    ],
    "torch.Tensor.tensor_split": [lambda t, x: x.tensor_split(3, dim=2), lambda t, x: x.tensor_split((1, 2), 1)],
    "torch.Tensor.split": [lambda t, x: x.split(2, 2), lambda t, x: x.split([1, 3], dim=2)],
    "torch.Tensor.broadcast_to": [lambda t, x: x[:, :1].broadcast_to((2, 5, 4)), lambda t, x: x.broadcast_to(x.shape)],
    "torch.Tensor.copy_": [lambda t, x: t.zeros_like(x).copy_(x[:1], non_blocking=True)],
    "torch.Tensor.expand": [lambda t, x: x[:, :1].expand(2, 5, -1), lambda t, x: x[:, :1].expand((2, 5, 4))],
    "torch.Tensor.max": [lambda t, x: x.max(), lambda t, x: tuple(x.max(1)), lambda t, x: x.max(9 - x)],
    "torch.Tensor.min": [lambda t, x: x.min(), lambda t, x: tuple(x.min(1, True)), lambda t, x: x.min(9 - x)],
    "torch.randint": [
        lambda t, x: tuple(t.randint(5, (3,)).shape),
        lambda t, x: tuple(t.randint(high=5, size=(3,)).shape),
        lambda t, x: t.randint(2, 3, (2, 2), dtype=t.int32),
    ],
    "torch.Tensor.requires_grad_": [lambda t, x: x.requires_grad_(requires_grad=True).requires_grad],
    "torch.Tensor.std": [lambda t, x: x.std(False), lambda t, x: x.std(1, False), lambda t, x: x.std(1, keepdim=True)],
    "torch.Tensor.var": [lambda t, x: x.var(False), lambda t, x: x.var(1, False), lambda t, x: x.var((0, 1))],
    "torch.Tensor.to": [
        lambda t, x: x.to(t.float32),
        lambda t, x: x.to(t.int64, True, True),
        lambda t, x: x.to("cpu", t.float32, non_blocking=True),
        lambda t, x: x.to(device="cpu", dtype=t.int32, copy=True),
        lambda t, x: x.to(t.ones(1, dtype=t.int16)),
    ],
    "torch.Tensor.view": [lambda t, x: x.view(4, -1), lambda t, x: x.view((6, 4)), lambda t, x: x.view(t.int64)],
}
"""For a path all ways to call it, as functions of the library and of a tensor of 2 x 3 x 4 numbers, 0.0 to 23.0."""
