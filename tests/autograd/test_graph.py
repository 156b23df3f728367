"""gpunn.autograd.graph and gpunn.autograd.functional: the same programs in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.autograd.graph import saved_tensors_hooks

WAYS = ("packed", "second", "parameters", "mutated", "on_cpu", "disabled", "several", "first", "edges", "versions")


def packed(t):
    x, calls = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True), []
    with t.autograd.graph.saved_tensors_hooks(lambda a: calls.append(1) or a * 10, lambda a: a):
        y = (x * x).exp()
    y.sum().backward()
    return len(calls) > 2, x.grad.tolist()


def second(t):
    x = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)
    with t.autograd.graph.saved_tensors_hooks(lambda a: a.numpy().copy(), lambda a: t.tensor(a)):
        y = (x**3).tanh().sum() + (x * x * x).sum()
    (g,) = t.autograd.grad(y, x, create_graph=True)
    return g.tolist(), t.autograd.grad(g.sum(), x)[0].tolist()


def parameters(t):
    model = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Tanh(), t.nn.BatchNorm1d(3), t.nn.Linear(3, 1)).double()
    with t.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(t.linspace(-1, 1 + i, p.numel(), dtype=t.float64).reshape(p.shape))
    with t.autograd.graph.saved_tensors_hooks(lambda a: (a.detach().clone(),), lambda a: a[0]):
        y = model(t.linspace(0, 1, 8, dtype=t.float64).reshape(4, 2) ** 2)
    y.exp().sum().backward()
    return [p.grad.tolist() for p in model.parameters()]


def mutated(t):
    x = t.tensor([1.0, 2.0], requires_grad=True)
    with t.autograd.graph.allow_mutation_on_saved_tensors() as ctx:
        a = x * 1
        y = a.sin()
        a.fill_(0)
        y.sum().backward()
        ctx.clear()
    return x.grad.tolist()


def on_cpu(t):
    x = t.tensor([1.0, 2.0], requires_grad=True)
    with t.autograd.graph.save_on_cpu():
        y = (x * x).sum()
    y.backward()
    return x.grad.tolist()


def disabled(t):
    graph = t.autograd.graph
    with graph.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not here"):
        graph.saved_tensors_hooks(lambda a: a, lambda a: a).__enter__()
    with graph.saved_tensors_hooks(lambda a: a, lambda a: a):
        return True


def several(t, mode="all"):
    calls = []
    a, b = (t.tensor([v], requires_grad=True) for v in (2.0, 3.0))
    c, d = a * b, a + b
    tell = calls.append if mode == "all" else lambda g: calls.append(g is None)
    handle = t.autograd.graph.register_multi_grad_hook((a, b, c, d), tell, mode=mode)
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    handle.remove()
    c.sum().backward()
    return [[g if g is None else g.tolist() for g in call] if mode == "all" else call for call in calls]


def first(t):
    with pytest.raises(ValueError, match="Expects mode"):
        t.autograd.graph.register_multi_grad_hook((), print, mode="none")
    return several(t, "any")


def edges(t):
    edge_of = t.autograd.graph.get_gradient_edge
    x = t.tensor([2.0], requires_grad=True)
    h = x * x
    y = h.exp()
    found = t.autograd.grad(edge_of(y), [edge_of(h), edge_of(x)], t.ones(1), retain_graph=True)
    t.autograd.backward(edge_of(h), t.ones(1))
    with pytest.raises(RuntimeError, match="not possible to get the gradient edge"):
        edge_of(t.ones(1))
    return [g.tolist() for g in found], x.grad.tolist(), edge_of(y).output_nr


def versions(t):
    x = t.tensor([2.0], requires_grad=True)
    h = x * 1
    y = h * h
    t.autograd.graph.increment_version([h])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    return True


@pytest.mark.parametrize("name", WAYS)
def test_as_torch(torch, name):
    found, wanted = numbers(globals()[name](gpunn)), numbers(globals()[name](torch))
    assert found == pytest.approx(wanted, rel=1e-6, nan_ok=True) and len(found) > 0


def numbers(tree):
    if isinstance(tree, (list, tuple)):
        return [v for x in tree for v in numbers(x)]
    return [float("nan") if tree is None else tree]


def test_what_is_unpacked_is_a_tensor():
    x = gpunn.ones(2, requires_grad=True)
    with saved_tensors_hooks(lambda a: 1, lambda a: a):
        y = (x * x).sum()
    with pytest.raises(TypeError, match="unpack hook of what Mul saved returns a tensor, got int"):
        y.backward()


def f(x, z):
    return (x * z).sum().exp() + (x**3).sum(), x * 2


def number(x, z):
    return ((x**3) * z).sum()


CALLS = {
    "vjp": lambda a, x, z: a.vjp(f, (x, z), (x.sum() * 0 + 1, x)),
    "vjp of one": lambda a, x, z: a.vjp(lambda x: x.sin().sum(), x),
    "jvp": lambda a, x, z: a.jvp(f, (x, z), (z, x)),
    "jacobian": lambda a, x, z: a.jacobian(f, (x, z)),
    "jacobian of one": lambda a, x, z: a.jacobian(lambda x: x**2, x),
    "hessian": lambda a, x, z: a.hessian(number, (x, z)),
    "hessian of one": lambda a, x, z: a.hessian(lambda x: (x**3).sum(), x),
    "hvp": lambda a, x, z: a.hvp(number, (x, z), (z, x)),
    "vhp": lambda a, x, z: a.vhp(number, (x, z), (z, x)),
    "create_graph": lambda a, x, z: a.jacobian(lambda x: x**3, x.requires_grad_(), create_graph=True).sum(),
}


def flat(tree):
    return [v for t in tree for v in flat(t)] if isinstance(tree, tuple) else [tree]


@pytest.mark.parametrize("name", CALLS)
def test_functional_as_torch(torch, name):
    results = []
    for t in (gpunn, torch):
        x, z = (t.tensor(v, dtype=t.float64) for v in ([0.3, -0.7], [0.5, 1.1]))
        results.append(CALLS[name](t.autograd.functional, x, z))
    for ours, theirs in zip(*map(flat, results), strict=True):
        assert ours.requires_grad == theirs.requires_grad == (name == "create_graph")
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
    if name == "create_graph":
        x = gpunn.tensor([2.0], requires_grad=True)
        gpunn.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True).sum().backward()
        assert x.grad.tolist() == [12]


def test_functional_refuses():
    functional, x = gpunn.autograd.functional, gpunn.ones(2)
    with pytest.raises(RuntimeError, match="Output 0 of the user-provided function is independent of input 1"):
        functional.vjp(lambda a, b: a.sum(), (x, x), strict=True)
    with pytest.raises(RuntimeError, match="v can only be None if the output is a single number"):
        functional.vjp(lambda a: a, x)
    with pytest.raises(RuntimeError, match=r"\[\[2\]\], got \[\[3\]\]"):
        functional.jvp(lambda a: a, x, gpunn.ones(3))
    with pytest.raises(RuntimeError, match="single element"):
        functional.hessian(lambda a: a, x)
    with pytest.raises(TypeError, match="number 0 is int"):
        functional.jacobian(lambda a: a, 3)
