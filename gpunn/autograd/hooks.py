"""Hooks: functions that see a gradient when it is known, and may replace it."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from .tape import TensorBase

_ids = itertools.count()
_RETAIN = -1
"""The key of the hook that keeps the gradient of a tensor that is no leaf."""
_AFTER = -2
"""The key of a dictionary of hooks that are called when the gradient of a leaf was added to its grad."""


class RemovableHandle:
    """Puts a hook into a dictionary, and removes it again."""

    def __init__(self, hooks: dict[int, Any], hook: Any):
        self._hooks = hooks
        self.id = next(_ids)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Do not call the hook any more."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def hooks_of(x: Any) -> dict[int, Any]:
    """The hooks on the gradient of a tensor: at its node, or at itself if it is a leaf."""
    if x._node is None:
        if x._hooks is None:
            x._hooks = {}
        leaf_hooks: dict[int, Any] = x._hooks
        return leaf_hooks
    if x._node.hooks is None:
        x._node.hooks = {}
    hooks: dict[int, Any] = x._node.hooks.setdefault(x._index, {})
    return hooks


def call_hooks(hooks: dict[int, Callable[[Any], Any]], g: Any) -> Any:
    """The gradient after the hooks, in the order of their registration; what keeps it comes last.

    Raises:
        TypeError: a hook returned something else than a tensor or None.
        RuntimeError: a hook changed shape, type or device.
    """
    from gpunn.ops import identity

    if g is None or not hooks:
        return g
    spec = g._spec
    for key, hook in list(hooks.items()):
        if key < 0:
            continue
        changed = hook(g)
        if changed is None:
            continue
        if not isinstance(changed, TensorBase):
            raise TypeError(f"a hook on a gradient returns a tensor or None, got {type(changed).__name__}")
        if changed._spec != spec:
            raise RuntimeError(f"a hook on a gradient may not change its spec: it was {spec!r}, now {changed._spec!r}")
        g = changed
    if _RETAIN in hooks:
        hooks[_RETAIN](g)
    # The hooks may have kept g: another tensor on its memory is never taken for one that nobody else holds.
    return identity(g)


def retain(x: Any) -> None:
    """Let the gradient of `x`, which is no leaf, be added to ``x.grad`` when it is known."""
    weak = weakref.ref(x)  # the node would hold the tensor, and the tensor holds the node

    def keep(g: Any) -> None:
        from gpunn.ops import add, clone

        t = weak()
        if t is not None:
            t._grad = clone(g) if t._grad is None else add(t._grad, g)

    hooks_of(x)[_RETAIN] = keep


def is_retained(x: Any) -> bool:
    """Whether the gradient of `x`, which is no leaf, is kept."""
    return x._node is not None and x._node.hooks is not None and _RETAIN in x._node.hooks.get(x._index, ())


def after_accumulation(x: Any, hook: Any) -> RemovableHandle:
    """Call ``hook(x)`` each time a gradient was added to the grad of the leaf `x`.

    Raises:
        RuntimeError: `x` is no leaf that requires grad.
    """
    if not x._requires_grad or x._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return RemovableHandle(hooks_of(x).setdefault(_AFTER, {}), hook)


def call_after_accumulation(x: Any) -> None:
    """Call these hooks."""
    for hook in list((x._hooks or {}).get(_AFTER, {}).values()):
        hook(x)
