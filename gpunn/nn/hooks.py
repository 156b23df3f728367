"""Hooks of modules: what a user's function is called with, and when."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.function import Function
from gpunn.autograd.hooks import RemovableHandle
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase

if TYPE_CHECKING:
    from .module import Module


class ModuleHandle(RemovableHandle):
    """Takes a module's hook back; the module counts both as changes of itself."""

    def __init__(self, module: Module, hooks: dict[int, Any], hook: Any, prepend: bool = False):
        super().__init__(hooks, hook)
        self._module = module
        if prepend:
            others = [(key, hooks.pop(key)) for key in list(hooks) if key != self.id]
            hooks.update(others)
        module._note_change()

    def remove(self) -> None:
        """Do not call the hook any more."""
        super().remove()
        self._module._note_change()


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Pre-hooks, forward, hooks; and around all of it, the watchers of the gradient."""
    for hook, with_kwargs in list(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"a forward pre-hook with kwargs returns None or (args, kwargs), got {changed!r}"
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    watch = _Watch(module) if module._backward_hooks and state.grad_enabled else None
    if watch is not None:
        args = watch.inputs(args)
    waiting = list(module._forward_hooks.values())
    try:
        result = module.forward(*args, **kwargs)
        while waiting:
            hook, with_kwargs, _ = waiting.pop(0)
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if changed is not None:
                result = changed
        return result if watch is None else watch.outputs(result)
    except Exception:
        for hook, with_kwargs, always in waiting:
            if always:
                _call_after_error(hook, (module, args, kwargs, None) if with_kwargs else (module, args, None))
        raise


def _call_after_error(hook: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        hook(*args)
    except Exception as error:
        name = type(args[0]).__name__
        warnings.warn(f"forward hook with always_call=True of {name} raised, after an error: {error!r}", stacklevel=2)


class _Watch:
    """One call of a module, for its backward hooks: the gradients come out first and in last."""

    def __init__(self, module: Module):
        self.module = module
        hooks: list[tuple[Callable[..., Any], bool]] = list(module._backward_hooks.values())
        self.hooks = [hook for hook, before in hooks if not before]
        self.before = [hook for hook, before in hooks if before]
        self.grad_outputs: tuple[Any, ...] = ()
        self.places: list[int] = []
        """Which arguments have a gradient."""
        self.arguments = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.arguments = len(args)
        self.places = [i for i, a in enumerate(args) if isinstance(a, TensorBase) and a._requires_grad]
        if not self.places:
            return args
        passed = iter(_Inputs.apply(self, *(args[i] for i in self.places)))
        return tuple(next(passed) if i in self.places else a for i, a in enumerate(args))

    def outputs(self, result: Any) -> Any:
        if isinstance(result, TensorBase):
            return _Outputs.apply(self, result)[0]
        if isinstance(result, tuple) and all(isinstance(y, TensorBase) for y in result):
            return _Outputs.apply(self, *result)
        raise TypeError(
            f"backward hooks of {type(self.module).__name__} need forward to return a tensor or a tuple of them, "
            f"got {type(result).__name__}"
        )

    def begin(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Keep the gradients of the results, after the hooks that may replace them."""
        for hook in self.before:
            changed = hook(self.module, grads)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(grads):
                    raise RuntimeError(
                        f"a backward pre-hook of {type(self.module).__name__} returned {len(changed)} gradients "
                        f"for {len(grads)} results"
                    )
                grads = changed
        self.grad_outputs = grads
        return grads

    def call(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Show the gradients to the hooks, and give on what they make of them."""
        found = dict(zip(self.places, grads))
        grad_input = tuple(found.get(i) for i in range(self.arguments))
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_outputs)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
                if len(grad_input) != self.arguments:
                    raise RuntimeError(
                        f"a backward hook of {type(self.module).__name__} returned {len(grad_input)} gradients "
                        f"for {self.arguments} inputs"
                    )
        return tuple(grad_input[i] for i in self.places)


class _Inputs(Function):
    """y = x, for every input; dx = what the hooks make of dy."""

    @staticmethod
    def forward(ctx: Any, watch: _Watch, *inputs: Any) -> Any:
        ctx.watch = watch
        ctx.set_materialize_grads(False)
        return inputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.watch.call(grads))


class _Outputs(Function):
    """y = x, for every result; keeps dy for the hooks."""

    @staticmethod
    def forward(ctx: Any, watch: _Watch, *results: Any) -> Any:
        ctx.watch = watch
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grads = ctx.watch.begin(grads)
        if not ctx.watch.places:  # no input has a gradient, so there is nothing further down to wait for
            ctx.watch.call(())
        return (None, *grads)
