"""Gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .engine import grad
from .mode import enable_grad, no_grad
from .tape import TensorBase


class GradcheckError(RuntimeError):
    """A gradient differs from the central differences."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of `func` with central differences, (f(x + eps) - f(x - eps)) / (2 eps).

    Every element of every float64 input that requires grad is moved by itself; with `fast_mode` each input is moved
    once, along a random direction, which is enough to find almost any mistake (as in HIPS/autograd's check_grads).

    Args:
        func: takes the inputs, returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of arguments.
        eps: the step.
        atol: allowed absolute difference.
        rtol: allowed relative difference.
        raise_exception: raise, rather than return False.
        fast_mode: one direction for each input.

    Raises:
        GradcheckError: a gradient differs; the message names the input and the largest difference.
        ValueError: no input requires grad, or one that does is not float64.
    """
    arguments = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    checked = [i for i, x in enumerate(arguments) if isinstance(x, TensorBase) and x._requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires grad")
    for i in checked:
        if arguments[i].dtype.name != "float64":
            raise ValueError(f"gradcheck: input {i} is {arguments[i].dtype!r}; differences need float64")
    rng = np.random.default_rng(0)
    with enable_grad():
        outputs = [y for y in _outputs(func(*arguments)) if y._requires_grad]
    if not outputs:
        raise GradcheckError("gradcheck: no output requires grad")
    weights = [rng.uniform(0.5, 1.5, y.shape) for y in outputs]
    for which, y in enumerate(outputs):
        cotangent = _tensor_like(weights[which], y)
        wanted = [arguments[i] for i in checked]
        found = grad(y, wanted, cotangent, retain_graph=True, allow_unused=True)
        for i, g in zip(checked, found):
            analytic = np.zeros(arguments[i].shape) if g is None else g.detach().cpu().numpy()
            for direction in _directions(arguments[i].shape, rng, fast_mode):
                numeric = _slope(func, arguments, i, direction, which, weights[which], eps)
                expected, got = numeric, float((analytic * direction).sum())
                if not abs(got - expected) <= atol + rtol * abs(expected):
                    message = (
                        f"gradcheck: the gradient of output {which} with respect to input {i} "
                        f"({arguments[i]._spec!r}) is {got:.9g}, the central difference is {expected:.9g}"
                        f"{_place(direction, fast_mode)}"
                    )
                    if raise_exception:
                        raise GradcheckError(message)
                    return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
) -> bool:
    """`gradcheck` of the gradient of `func`: its second derivatives, with respect to the inputs and the cotangents."""
    arguments = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    places = [i for i, x in enumerate(arguments) if isinstance(x, TensorBase) and x._requires_grad]
    with no_grad():
        shapes = [y for y in _outputs(func(*arguments)) if y.dtype.is_floating_point]
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        given = [_tensor_like(rng.standard_normal(y.shape), y).requires_grad_() for y in shapes]
    else:
        given = list(_outputs(grad_outputs))

    def first(*both: Any) -> tuple[Any, ...]:
        xs, vs = both[: len(arguments)], both[len(arguments) :]
        ys = [y for y in _outputs(func(*xs)) if y.dtype.is_floating_point]
        pairs = [(y, v) for y, v in zip(ys, vs) if y._requires_grad]
        found = grad(
            [y for y, _ in pairs],
            [xs[i] for i in places],
            [v for _, v in pairs],
            create_graph=True,
            allow_unused=True,
        )
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first,
        (*arguments, *given),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        fast_mode=fast_mode,
    )


def _outputs(result: Any) -> tuple[Any, ...]:
    return (result,) if isinstance(result, TensorBase) else tuple(result)


def _directions(shape: tuple[int, ...], rng: Any, fast: bool) -> Any:
    if fast and 0 not in shape:
        yield rng.standard_normal(shape)
        return
    for k in range(int(np.prod(shape))):
        direction = np.zeros(shape)
        direction.reshape(-1)[k] = 1
        yield direction


def _slope(func: Any, arguments: Any, i: int, direction: Any, which: int, weight: Any, eps: float) -> float:
    """d/dt of <weight, output> at inputs[i] + t direction."""
    values = arguments[i].detach().cpu().numpy()
    ends = []
    for step in (eps, -eps):
        moved = list(arguments)
        moved[i] = _tensor_like(values + step * direction, arguments[i]).requires_grad_()
        with enable_grad():  # the function may itself take gradients
            ys = [y for y in _outputs(func(*moved)) if y._requires_grad]
        ends.append(float((ys[which].detach().cpu().numpy() * weight).sum()))
    return (ends[0] - ends[1]) / (2 * eps)


def _place(direction: Any, fast: bool) -> str:
    return " along a random direction" if fast else f" at element {tuple(int(k[0]) for k in np.nonzero(direction))}"


def _tensor_like(values: Any, x: Any) -> Any:
    from gpunn.tensor import tensor

    return tensor(np.asarray(values), dtype=x.dtype, device=x.device)
