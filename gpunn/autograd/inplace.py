"""Writing into tensors: the one place where memory that a tensor shows is changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .mode import no_grad, state
from .tape import TensorBase, alias


def assign(target: Any, value: Any) -> None:
    """Write `value` (same shape and type) into the memory of `target`, unrecorded; every view of it changes.

    All state changes so: parameters, moments, running statistics, counters.

    Raises:
        RuntimeError: shape, type or device differ.
    """
    if target._spec != value._spec:
        raise RuntimeError(f"assign: cannot write {value._spec!r} into {target._spec!r}")
    if state.tracer is not None:
        state.tracer.assign(target, value)
        return
    check_writable(target)
    target._spec.device.backend.copy(value._data, out=target._data)
    count_write(target)


def update(x: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``x`` becomes ``function(x, *args)``, in place where nothing is recorded, else as a new node under the same name.

    Raises:
        RuntimeError: `x` is a leaf that requires grad, or a view of a recorded tensor, while recording; or the result
            has another shape, or a type of a higher kind (float into integer).
    """
    if state.grad_enabled:
        if x._requires_grad and x._node is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation: "
                f"{x._spec!r} would lose its history; do it under no_grad(), or write y = x + ... instead of x += ..."
            )
        recorded = x._requires_grad or any(
            isinstance(a, TensorBase) and a._requires_grad for a in (*args, *kwargs.values())
        )
        if recorded and x._base is not None:
            raise RuntimeError(
                f"in-place change of a view ({x._spec!r}) of a recorded tensor; write the whole result instead, "
                "such as y = gpunn.where(mask, new, x), y = gpunn.cat([...]), or y = x.clone(); y[i] = ..."
            )
        if recorded:
            if state.tracer is not None and state.tracer.is_state(x):
                state.tracer.leave("the step records an in-place change of a tensor that was there before")
            result = _fitting(x, function(alias(x, x._node, x._index), *args, **kwargs))
            if result._base is not None:
                result = result.clone()  # memory that is also another tensor's
            x._data, x._version = result._data, result._version
            x._node, x._index, x._requires_grad = result._node, result._index, result._requires_grad
            return x
    with no_grad():
        result = function(x, *args, **kwargs)
    assign(x, _fitting(x, result))
    return x


def in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a method that changes its first argument: PyTorch's name with an underscore."""

    @functools.wraps(function)
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        return update(x, function, *args, **kwargs)

    method.__name__ += "_"
    method.__doc__ = f"`{function.__name__}` in place."
    return method


def write(target: Any, primitive: Callable[..., Any], *args: Any) -> None:
    """Let a primitive that may write over its first input change the memory of `target`, unrecorded."""
    check_writable(target)
    primitive(target._data, *args, out=target._data)
    count_write(target)


def check_writable(target: Any) -> None:
    """Refuse to write to what was made in `inference_mode` from outside.

    Raises:
        RuntimeError: this is outside.
    """
    if target._version[0] < 0 and not state.inference:
        raise RuntimeError(
            f"{target._spec!r} was made in inference_mode(), and is changed in place outside; clone() it"
        )


def count_write(target: Any) -> None:
    """Count a write to the memory of `target`, so that a gradient that needs what was there before can say so."""
    if target._version[0] >= 0:
        target._version[0] += 1


def _fitting(x: Any, result: Any) -> Any:
    if result._spec.device is not x._spec.device:
        raise RuntimeError(f"in-place: the result is on {result.device}, and {x._spec!r} on {x.device}")
    if result._spec.shape != x._spec.shape:
        raise RuntimeError(f"in-place: the result {list(result.shape)} does not fit into {x._spec!r}")
    if result._spec.dtype.category > x._spec.dtype.category:
        raise RuntimeError(
            f"in-place: result type {result.dtype!r} can't be cast to the desired output type {x.dtype!r}"
        )
    return result.to(x.dtype)
