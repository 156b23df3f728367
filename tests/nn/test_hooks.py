"""Hooks of modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn


class Scale(nn.Module):
    """Uses nothing that the gradient of another argument needs, so that gradients are easily told."""

    def forward(self, x: Any, factor: Any = 2.0) -> Any:
        return x * factor


def test_pre_hooks_change_the_arguments() -> None:
    m = Scale()
    calls: list[Any] = []
    handle = m.register_forward_pre_hook(lambda module, args: calls.append((module, args)))
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"factor": 10.0}), with_kwargs=True)
    x = gpunn.tensor([1.0])
    assert m(x).item() == 20
    assert calls == [(m, (x,))]
    handle.remove()
    m(x)
    assert len(calls) == 1


def test_hooks_change_the_output() -> None:
    m = Scale()
    order: list[str] = []
    m.register_forward_hook(lambda module, args, y: order.append("first"))
    m.register_forward_hook(lambda module, args, y: y + 1)
    m.register_forward_hook(lambda module, args, kwargs, y: y * kwargs["factor"], with_kwargs=True)
    m.register_forward_hook(lambda module, args, y: order.append("before"), prepend=True)
    assert m(gpunn.tensor([1.0]), factor=3.0).item() == (1 * 3 + 1) * 3
    assert order == ["before", "first"]


def test_a_pre_hook_with_kwargs_returns_both() -> None:
    m = Scale()
    m.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"returns None or \(args, kwargs\)"):
        m(gpunn.ones(1))


def test_handles_are_context_managers() -> None:
    m = Scale()
    with m.register_forward_hook(lambda module, args, y: y * 0):
        assert m(gpunn.ones(1)).item() == 0
    assert m(gpunn.ones(1)).item() == 2


def test_backward_hooks_see_the_gradients() -> None:
    seen: list[Any] = []
    m = Scale()
    m.register_full_backward_hook(lambda module, gx, gy: seen.append((module, gx, gy)))
    x = gpunn.tensor([1.0, 2.0], requires_grad=True)
    (m(x, 3.0) * gpunn.tensor([10.0, 20.0])).sum().backward()
    ((module, gx, gy),) = seen
    assert module is m
    assert gy[0].tolist() == [10, 20]
    assert gx[0].tolist() == [30, 60] and gx[1] is None
    assert x.grad.tolist() == [30, 60]


def test_backward_hooks_change_the_gradients() -> None:
    m = Scale()
    m.register_full_backward_hook(lambda module, gx, gy: (gx[0] * 100,))
    x = gpunn.tensor([1.0], requires_grad=True)
    m(x).backward()
    assert x.grad.item() == 200


def test_backward_hooks_where_no_input_has_a_gradient() -> None:
    seen: list[Any] = []
    m = nn.Linear(2, 1)
    m.register_full_backward_hook(lambda module, gx, gy: seen.append((gx, gy)))
    m(gpunn.ones(1, 2)).sum().backward()
    ((gx, gy),) = seen
    assert gx == (None,) and gy[0].tolist() == [[1.0]]
    assert m.weight.grad is not None
    with gpunn.no_grad():
        m(gpunn.ones(1, 2))
    assert len(seen) == 1


def test_backward_hooks_through_several_results() -> None:
    class Split(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2, x * 3

    seen: list[Any] = []
    m = Split()
    m.register_full_backward_hook(lambda module, gx, gy: seen.append((gx, gy)))
    x = gpunn.tensor([1.0], requires_grad=True)
    a, b = m(x)
    (a + 5 * b).backward()
    ((gx, gy),) = seen
    assert [g.item() for g in gy] == [1, 5] and gx[0].item() == 17


def test_backward_hook_errors() -> None:
    m = Scale()
    m.register_full_backward_hook(lambda module, gx, gy: (gx[0], gx[0]))
    y = m(gpunn.tensor([1.0], requires_grad=True))
    with pytest.raises(RuntimeError, match="returned 2 gradients for 1 inputs"):
        y.backward()

    class Dictionary(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"y": x}

    d = Dictionary()
    d.register_full_backward_hook(lambda *_: None)
    with pytest.raises(TypeError, match="return a tensor or a tuple of them, got dict"):
        d(gpunn.tensor([1.0], requires_grad=True))


def test_torch_agrees(torch: Any) -> None:
    """The same hooks on the same small network, with gradients scaled on their way."""

    def run(library: Any, wrap: Any) -> list[Any]:
        seen: list[Any] = []
        net = library.nn.Sequential(library.nn.Linear(2, 3), library.nn.ReLU(), library.nn.Linear(3, 1))
        with library.no_grad():
            for i, p in enumerate(net.parameters()):
                p.copy_(wrap(np.linspace(-1, 1.5, p.numel()).reshape(p.shape) + i))

        def hook(module: Any, gx: Any, gy: Any) -> Any:
            seen.extend(np.array(g.detach().numpy()) for g in (*gx, *gy))
            return tuple(g * 2 for g in gx)

        for layer in net:
            layer.register_full_backward_hook(hook)
        x = wrap(np.array([[1.0, 2.0], [-0.5, 0.25]])).requires_grad_()
        net(x).sum().backward()
        return [*seen, *(p.grad.numpy() for p in net.parameters()), x.grad.numpy()]

    ours = run(gpunn, lambda a: gpunn.tensor(a, dtype="float32"))
    theirs = run(torch, lambda a: torch.tensor(a, dtype=torch.float32))
    assert len(ours) == len(theirs) == 3 * 2 + 4 + 1
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-6)
