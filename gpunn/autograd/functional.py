"""Derivatives of a function at a point, as torch.autograd.functional; `gpunn.func` has them as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpunn import ops

from .engine import grad
from .mode import enable_grad
from .tape import TensorBase

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
Function = Callable[..., Any]


def vjp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), v^T J), where J is the Jacobian: the gradient along `v`.

    Args:
        func: a function of tensors that gives one, or a tuple of them.
        inputs: a tensor or a tuple of tensors.
        v: in the form of the output; it may be left out for a single number.
        create_graph: whether the results can be differentiated.
        strict: whether an input that an output does not depend on is an error; without it the result is 0.

    Raises:
        RuntimeError: `v` is missing or of other shapes; or see `strict`.
    """
    xs = _inputs("vjp", func, inputs, create_graph, strict)
    with enable_grad():
        outputs = func(*xs)
        found = _gradients(_tuple(outputs), xs, _direction("vjp", v, outputs, "output"))
    return _settled(create_graph, outputs), _settled(create_graph, _like(inputs, found))


def jvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), J v): the derivative along `v`, which has the form of the inputs; otherwise as `vjp`.

    Going backward twice: the gradient along u is linear in u, and its gradient with respect to u along v is J v.
    """
    xs = _inputs("jvp", func, inputs, create_graph, strict)
    vs = _direction("jvp", v, inputs, "input")
    with enable_grad():
        outputs = func(*xs)
        us = [ops.zeros_like(y).requires_grad_() for y in _tuple(outputs)]
        found = _gradients(_gradients(_tuple(outputs), xs, us), us, vs)
    return _settled(create_graph, outputs), _settled(create_graph, _like(outputs, found))


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for output y and input x a tensor (*y.shape, *x.shape); tuples where there are several.

    `vectorize` and `strategy` change nothing; the other arguments are those of `vjp`.
    """
    xs = _inputs("jacobian", func, inputs, create_graph, strict)
    with enable_grad():
        outputs = func(*xs)
        found = _like(outputs, [_like(inputs, _rows(y, xs)) for y in _tuple(outputs)])
    return _settled(create_graph, found)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function that gives one number: for inputs x and z a tensor (*x.shape, *z.shape).

    `vectorize` and `outer_jacobian_strategy` change nothing; the other arguments are those of `vjp`.
    """
    xs = _inputs("hessian", func, inputs, create_graph, strict)
    with enable_grad():
        first = _gradients((_number("hessian", func(*xs)),), xs, [None])
        found = _like(inputs, [_like(inputs, _rows(g, xs)) for g in first])
    return _settled(create_graph, found)


def vhp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), v^T H), where H are the second derivatives of a function that gives one number; see `vjp`."""
    xs = _inputs("vhp", func, inputs, create_graph, strict)
    vs = _direction("vhp", v, inputs, "input")
    with enable_grad():
        outputs = _number("vhp", func(*xs))
        found = _gradients(_gradients((outputs,), xs, [None]), xs, vs)
    return _settled(create_graph, outputs), _settled(create_graph, _like(inputs, found))


def hvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), H v); as H is symmetric, the same as `vhp`."""
    return vhp(func, inputs, v, create_graph, strict)


def _gradients(ys: Sequence[Any], xs: Sequence[Any], vs: Sequence[Any]) -> tuple[Any, ...]:
    """The gradient of each x, zeros where nothing depends on one."""
    pairs = [(y, v) for y, v in zip(ys, vs) if y.requires_grad]
    if not pairs:
        return tuple(ops.zeros_like(x) for x in xs)
    outputs, along = zip(*pairs)
    return grad(outputs, xs, along, create_graph=True, materialize_grads=True)


def _rows(y: Any, xs: Sequence[Any]) -> tuple[Any, ...]:
    """The derivatives of y, one pass back for each of its elements: for each x a tensor (*y.shape, *x.shape)."""
    flat = y.reshape(-1)
    rows = [_gradients([flat[i]], xs, [None]) for i in range(y.numel())]
    if not rows:
        return tuple(ops.zeros((*y.shape, *x.shape), dtype=x.dtype, device=x.device) for x in xs)
    return tuple(ops.reshape(ops.stack(each), (*y.shape, *x.shape)) for each, x in zip(zip(*rows), xs))


def _tuple(tree: Any) -> tuple[Any, ...]:
    return tuple(tree) if isinstance(tree, (tuple, list)) else (tree,)


def _like(tree: Any, found: Sequence[Any]) -> Any:
    return tuple(found) if isinstance(tree, (tuple, list)) else found[0]


def _number(name: str, y: Any) -> Any:
    if not isinstance(y, TensorBase) or y._spec.numel() != 1:
        raise RuntimeError(f"The output of the function given to {name} should contain a single element")
    return y


def _inputs(name: str, func: Function, inputs: Any, create_graph: bool, strict: bool) -> tuple[Any, ...]:
    xs = _tuple(inputs)
    for i, x in enumerate(xs):
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}: inputs is a tensor or a tuple of tensors, number {i} is {type(x).__name__}")
    if strict:
        own: Any = [x.detach().requires_grad_() for x in xs]
        with enable_grad():
            ys = _tuple(func(*own))
        for i, y in enumerate(ys):
            gradients = (
                grad(y.sum(), own, allow_unused=True, retain_graph=True) if y.requires_grad else [None] * len(xs)
            )
            for j, g in enumerate(gradients):
                if g is None:
                    raise RuntimeError(
                        f"{name}: Output {i} of the user-provided function is independent of input {j}. "
                        "This is not allowed in strict mode."
                    )
    with enable_grad():
        return tuple(ops.identity(x) if create_graph and x._requires_grad else x.detach().requires_grad_() for x in xs)


def _direction(name: str, v: Any, like: Any, what: str) -> tuple[Any, ...]:
    """`v`, checked, a tensor for each of what it is along; 1 for a single number."""
    likes = _tuple(like)
    if v is None:
        if len(likes) != 1 or likes[0].numel() != 1:
            raise RuntimeError(f"{name}: the vector v can only be None if the {what} is a single number")
        return (ops.ones_like(likes[0]),)
    vs = _tuple(v)
    if [tuple(a.shape) for a in vs] != [tuple(b.shape) for b in likes]:
        raise RuntimeError(
            f"{name}: v has the shapes of the {what}s, {[list(b.shape) for b in likes]}, "
            f"got {[list(a.shape) for a in vs]}"
        )
    return vs


def _settled(create_graph: bool, tree: Any) -> Any:
    if isinstance(tree, (tuple, list)):
        return tuple(_settled(create_graph, x) for x in tree)
    return tree if create_graph else tree.detach()
