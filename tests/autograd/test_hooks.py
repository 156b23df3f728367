"""Hooks on gradients, and gradients of tensors that are no leaves."""

from __future__ import annotations

import gc
import weakref

import pytest

import gpunn
from gpunn.autograd import grad


@pytest.fixture
def x() -> gpunn.Tensor:
    return gpunn.tensor([1.0, 2.0], requires_grad=True)


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once(x) -> None:
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5, 5]]
    assert x.grad.tolist() == [5, 5]


def test_a_hook_may_replace_the_gradient(x) -> None:
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)  # gets what the first one made
    (x * 2).sum().backward()
    assert x.grad.tolist() == [21, 21]
    assert grad((x * 2).sum(), x)[0].tolist() == [21, 21]


def test_a_hook_on_an_inner_tensor_acts_on_what_is_before_it(x) -> None:
    h = x * 2
    h.register_hook(lambda g: g * 10)
    (h * 3).sum().backward()
    assert x.grad.tolist() == [60, 60]


def test_hooks_are_removed(x) -> None:
    seen = []
    handle = x.register_hook(lambda g: seen.append("leaf"))
    h = x * 2
    with h.register_hook(lambda g: seen.append("inner")):
        h.sum().backward(retain_graph=True)
    handle.remove()
    handle.remove()  # again is no harm
    h.sum().backward()
    assert seen == ["inner", "leaf"]


def test_a_hook_that_removes_itself(x) -> None:
    seen = []

    def once(g: gpunn.Tensor) -> None:
        seen.append(g.tolist())
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        x.sum().backward()
    assert seen == [[1, 1]]


def test_hooks_of_one_of_several_results(x) -> None:
    a, b = x.unbind()
    seen = []
    b.register_hook(lambda g: seen.append(g.item()))
    (a * 2).backward()
    assert seen == []
    a, b = x.unbind()
    b.register_hook(lambda g: seen.append(g.item()))
    (a * 2 + b * 3).backward()
    assert seen == [3]


def test_hooks_can_be_differentiated_through(x) -> None:
    x.register_hook(lambda g: g * x)
    (g,) = grad((x * x).sum(), x, create_graph=True)  # 2 x * x
    assert g.tolist() == [2, 8]
    x._hooks.clear()
    assert grad(g.sum(), x)[0].tolist() == [4, 8]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda g: 1.0, TypeError, "got float"),
        (lambda g: g.sum(), RuntimeError, "may not change"),
        (lambda g: g.double(), RuntimeError, "float64"),
    ],
)
def test_a_hook_returns_a_gradient_or_nothing(x, returned, error, message) -> None:
    x.register_hook(returned)
    with pytest.raises(error, match=message):
        (x * 2).sum().backward()


def test_no_hooks_without_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        gpunn.ones(2).register_hook(print)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gpunn.ones(2).retain_grad()


def test_retain_grad(x) -> None:
    h = x * 2
    h.retain_grad()
    h.retain_grad()  # once is enough
    h.register_hook(lambda g: g * 10)
    y = (h * h).sum()
    y.backward(retain_graph=True)
    assert h.grad.tolist() == [40, 80]  # after the hooks, whenever they were registered
    y.backward()
    assert h.grad.tolist() == [80, 160]  # adds up, as in leaves
    assert x.grad.tolist() == [160, 320]


def test_retain_grad_of_a_leaf_changes_nothing(x) -> None:
    x.retain_grad()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_retain_grad_keeps_no_tensor_alive(x) -> None:
    gc.disable()
    try:
        h = x * 2
        h.retain_grad()
        y = h.sum()
        ref = weakref.ref(h)
        del h
        assert ref() is None
        y.backward()  # with nobody there to keep it
    finally:
        gc.enable()
