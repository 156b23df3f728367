"""Writing into tensors: the one place where memory that a tensor shows is changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .mode import enable_grad, no_grad, state
from .tape import TensorBase, alias, apply, show, views


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
        RuntimeError: `x` is a leaf that requires grad, or a view of one, while recording; or the result has another
            shape, or a type of a higher kind (float into integer).

    A change of a view is a change of what it is a view of, and of all its other views: see `rewrite`.
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
        if recorded:
            if state.tracer is not None and state.tracer.is_state(x if x._base is None else x._base):
                state.tracer.leave("the step records an in-place change of a tensor that was there before")
            same = views(x)
            result = _fitting(x, function(alias(x, x._node, x._index), *args, **kwargs))
            if result._base is not None:
                result = result.clone()  # memory that is also another tensor's
            if x._base is None and not same:
                _become(x, result)
                x._version = result._version
            else:
                rewrite(x, result, same)
            return x
        if x._base is not None and x._base._requires_grad and _has_history(x):
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled: "
                f"{x._spec!r} of a recorded tensor, which would not know of it; do both in no_grad(), or neither"
            )
    with no_grad():
        result = function(x, *args, **kwargs)
    assign(x, _fitting(x, result))
    return x


def rewrite(x: Any, value: Any, same: list[Any]) -> None:
    """Record that `x`, a view or something that has views, becomes `value`: its base and all its views follow.

    The base becomes a new node, the old one with the value in the place of the view (`View.put`); each view is taken
    again from what it is a view of. What has no history, or lost it under `no_grad`, gets the elements alone.

    Args:
        x: what is changed.
        value: what it becomes, in memory of its own.
        same: the views of the memory of `x`.

    Raises:
        RuntimeError: the base is a leaf that requires grad; or the view shows an element twice, or is one of several
            results of one op.
    """
    root = x
    while root._view is not None:
        op, source = root._view
        if op is None:
            break
        if op.name == "Reshape" and not _is_view(root, source):
            break
        value = op.put(source, value)
        root = source
    if root is not x and root._requires_grad and root._node is None:
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation: "
            f"{root._spec!r} would lose its history; do it under no_grad()"
        )
    below = _below(root, same)
    # A detached tensor stays where it is: others show this memory, which has no history for them.
    stays = root._view is not None and root._view[0] is None
    if stays and state.tracer is not None:
        state.tracer.leave("the step records a change of a detached tensor in place")
    lost = {id(t) for t in below if t is not x and t._view[1]._requires_grad and not t._requires_grad}
    if stays:
        with no_grad():
            assign(root, value)
        root._node, root._index, root._requires_grad = value._node, value._index, value._requires_grad
    else:
        if value._base is not None:
            value = value.clone()
        cell = value._version
        _become(root, value)
        root._version, root._base, root._view = cell, None, None
    for t in below:
        op, source = t._view
        if op is None:
            t._data = source._data  # with a history of its own, or none
        else:
            with no_grad() if id(t) in lost else enable_grad():
                _become(t, _view_again(op, source, t))
        if not stays:
            show(t, op, source)


def _below(root: Any, same: list[Any]) -> list[Any]:
    """Of the views those that were made from `root`, or from a view of it, each behind what it was made from."""
    known, left = {id(root)}, same
    found: list[Any] = []
    while True:
        next_ones = [t for t in left if id(t._view[1]) in known and _shares(t)]
        if not next_ones:
            return found
        found += next_ones
        known = {id(t) for t in next_ones}
        left = [t for t in left if id(t) not in known]


def _has_history(x: Any) -> bool:
    """Whether a view has that of its base, and was not detached."""
    while x._view is not None:
        if x._view[0] is None:
            return False
        x = x._view[1]
    return True


def _shares(t: Any) -> bool:
    op, source = t._view
    return op is None or op.name != "Reshape" or _is_view(t, source)


def _is_view(t: Any, source: Any) -> bool:
    """Whether a reshaped tensor lies in the memory of its source, and is no copy."""
    if state.tracer is not None:
        x = source
        while x._view is not None:
            if x._view[0] is not None and x._view[0].name not in ("Reshape", "Identity"):
                state.tracer.leave("the step changes a reshaped view of a view in place")
            x = x._view[1]
        return True
    return bool(t._spec.device.backend.is_view(source._data, t._data))


def _view_again(op: Any, source: Any, t: Any) -> Any:
    """What `t` is now, as the result of its op."""
    made = apply(op, source)
    return made[t._index] if isinstance(made, tuple) else made


def _become(x: Any, y: Any) -> None:
    """The elements and the history of y."""
    x._data, x._node, x._index, x._requires_grad = y._data, y._node, y._index, y._requires_grad


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
