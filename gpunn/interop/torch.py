"""gpunn in PyTorch, and PyTorch in gpunn: tensors that share memory, modules and functions with their gradients.

A module of the one library becomes a module of the other by `to_torch` and `from_torch`. Its parameters are those of
both, in the same memory, under the same keys, so that an optimizer of either library trains it. Gradients go across,
also gradients of gradients: each library records its own part of the graph, and where the two meet a function hands the
gradient over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import gpunn
from gpunn import nn
from gpunn.autograd.mode import state
from gpunn.optional import needed

__all__ = ["to_torch", "from_torch", "TorchModule"]


def to_torch(what: Any) -> Any:
    """What gpunn has, for PyTorch: a tensor, a module, or a function of tensors.

    Args:
        what: a tensor becomes one that shares its memory, without its history; a module a ``torch.nn.Module`` with the
            same keys in its state_dict, which follows ``train()``, ``eval()`` and ``to()``; a function one of PyTorch's
            tensors.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: it is none of these.
    """
    torch = needed("torch", "gpunn.interop.torch")
    if isinstance(what, gpunn.Tensor):
        return torch.from_dlpack(what.detach())
    if isinstance(what, nn.Module):
        return _classes().ModuleInTorch(what)
    if callable(what):
        return lambda *args, **kwargs: _called_from_torch(what, args, kwargs, (), ())
    raise TypeError(f"to_torch takes a tensor, a module or a function of gpunn's, got {type(what).__name__}")


def from_torch(what: Any) -> Any:
    """What PyTorch has, for gpunn: a tensor, a module, or a function of tensors; as `to_torch`, the other way round.

    Steps with a module or a function of PyTorch's are done op by op, and not through a plan.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: it is none of these.
    """
    torch = needed("torch", "gpunn.interop.torch")
    if isinstance(what, torch.Tensor):
        return gpunn.from_dlpack(what.detach())
    if isinstance(what, torch.nn.Module):
        return TorchModule(what)
    if callable(what):
        return lambda *args, **kwargs: _called_from_gpunn(what, args, kwargs, (), ())
    raise TypeError(f"from_torch takes a tensor, a module or a function of PyTorch's, got {type(what).__name__}")


class TorchModule(nn.Module):
    """A module of PyTorch's as one of gpunn's; made by `from_torch`.

    Attributes:
        torch_module: the module.
    """

    def __init__(self, module: Any):
        super().__init__()
        self.__dict__["torch_module"] = module
        # What has several names stays one.
        shared = cache(lambda p: nn.Parameter(from_torch(p), p.requires_grad))
        buffer = cache(from_torch)
        for name, child in module.named_modules(remove_duplicate=False):
            own: nn.Module = self
            for part in name.split(".") if name else ():
                if part not in own._modules:
                    own.add_module(part, nn.Module())
                own = own._modules[part]  # type: ignore[assignment]
            for key, p in child.named_parameters(recurse=False):
                own.register_parameter(key, shared(p))
            for key, b in child.named_buffers(recurse=False):
                own.register_buffer(key, buffer(b), persistent=key not in child._non_persistent_buffers_set)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with tensors of gpunn's."""
        theirs = dict(self.torch_module.named_parameters())
        for name, buffer in self.named_buffers():
            _follow(self.torch_module.get_buffer(name), to_torch(buffer))
        ours = [(p, theirs[name]) for name, p in self.named_parameters()]
        for p, t in ours:
            _follow(t, to_torch(p))
        return _called_from_gpunn(self.torch_module, args, kwargs, [p for p, _ in ours], [t for _, t in ours])

    def train(self, mode: bool = True) -> TorchModule:
        """Go into training mode, in both libraries."""
        self.torch_module.train(mode)
        return super().train(mode)


def __getattr__(name: str) -> Any:
    """The class that needs PyTorch, for pickle."""
    if name == "ModuleInTorch":
        return _classes().ModuleInTorch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _follow(theirs: Any, memory: Any) -> None:
    """Let a tensor of PyTorch's show the memory that gpunn's has moved to."""
    if theirs.data_ptr() != memory.data_ptr() or theirs.dtype != memory.dtype:
        theirs.data = memory


@cache
def _classes() -> Any:
    """The classes that need PyTorch."""
    torch = needed("torch", "gpunn.interop.torch")

    class ModuleInTorch(torch.nn.Module):  # type: ignore[name-defined]
        """A module of gpunn's as one of PyTorch's; made by `to_torch`."""

        def __init__(self, module: nn.Module):
            super().__init__()
            self._gpunn = [module]  # in a list, so that it is no attribute that PyTorch looks into
            shared = cache(lambda p: torch.nn.Parameter(to_torch(p), p.requires_grad))
            buffer = cache(to_torch)
            for name, part in module.named_modules(remove_duplicate=False):
                own = self
                for step in name.split(".") if name else ():
                    if step not in own._modules:
                        own.add_module(step, torch.nn.Module())
                    own = own._modules[step]
                for key, p in part._parameters.items():
                    own.register_parameter(key, None if p is None else shared(p))
                for key, b in part._buffers.items():
                    saved = key not in part._not_saved
                    own.register_buffer(key, None if b is None else buffer(b), persistent=saved)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            (module,) = self._gpunn
            theirs = dict(self.named_parameters())
            ours = dict(module.named_parameters())
            for name, p in ours.items():
                if theirs[name].data_ptr() != to_torch(p).data_ptr() or theirs[name].dtype != to_torch(p).dtype:
                    p.data = from_torch(theirs[name])  # where PyTorch has moved it to
                p.requires_grad_(theirs[name].requires_grad)
            for name, b in module.named_buffers():
                moved = self.get_buffer(name)
                if moved.data_ptr() != to_torch(b).data_ptr() or moved.dtype != to_torch(b).dtype:
                    b.data = from_torch(moved)
            module.train(self.training)
            return _called_from_torch(module, args, kwargs, list(ours.values()), [theirs[n] for n in ours])

    class GraphInTorch(torch.autograd.Function):  # type: ignore[name-defined]
        """A part of a graph that gpunn has recorded, as one function of PyTorch's.

        Its inputs stand for gpunn's `leaves`, its results for gpunn's `outputs`; its gradient is gpunn's, which where
        PyTorch records it is such a part itself.
        """

        @staticmethod
        def forward(ctx: Any, outputs: Any, leaves: Any, *inputs: Any) -> Any:
            ctx.outputs, ctx.leaves = outputs, leaves
            ctx.save_for_backward(*inputs)
            results = tuple(to_torch(y) for y in outputs)
            ctx.mark_non_differentiable(*(r for r, y in zip(results, outputs) if not y.requires_grad))
            return results

        @staticmethod
        def backward(ctx: Any, *dys: Any) -> Any:
            inputs, again = ctx.saved_tensors, torch.is_grad_enabled()
            used = [(y, dy) for y, dy in zip(ctx.outputs, dys) if y.requires_grad]
            seeds = [from_torch(dy.contiguous()).requires_grad_(again) for _, dy in used]
            wanted = [i for i, needed_ in enumerate(ctx.needs_input_grad[2:]) if needed_]
            with gpunn.enable_grad():
                found = gpunn.autograd.grad(
                    [y for y, _ in used], [ctx.leaves[i] for i in wanted], seeds, True, again, allow_unused=True
                )
            known = [(i, g) for i, g in zip(wanted, found) if g is not None]
            if again:
                theirs = [dy for _, dy in used]
                given = GraphInTorch.apply([g for _, g in known], [*ctx.leaves, *seeds], *inputs, *theirs)
            else:
                given = [to_torch(g) for _, g in known]
            results: list[Any] = [None] * len(inputs)
            for (i, _), g in zip(known, given):
                results[i] = g
            return (None, None, *results)

    ModuleInTorch.__qualname__ = "ModuleInTorch"  # where pickle finds it, by __getattr__
    return SimpleNamespace(ModuleInTorch=ModuleInTorch, GraphInTorch=GraphInTorch)


class _GraphInGpunn(gpunn.autograd.Function):
    """A part of a graph that PyTorch has recorded, as one function of gpunn's; see ``GraphInTorch``."""

    @staticmethod
    def forward(ctx: Any, outputs: Any, leaves: Any, *inputs: Any) -> Any:
        ctx.outputs, ctx.leaves = outputs, leaves
        ctx.save_for_backward(*inputs)
        results = tuple([from_torch(y) for y in outputs])
        ctx.mark_non_differentiable(*(r for r, y in zip(results, outputs) if not y.requires_grad))
        return results

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        torch = needed("torch", "gpunn.interop.torch")
        inputs, again = ctx.saved_tensors, gpunn.is_grad_enabled()
        used = [(y, dy) for y, dy in zip(ctx.outputs, dys) if y.requires_grad]
        seeds = [to_torch(dy).requires_grad_(again) for _, dy in used]
        wanted = [i for i, needed_ in enumerate(ctx.needs_input_grad[2:]) if needed_]
        with torch.enable_grad():
            found = torch.autograd.grad(
                [y for y, _ in used], [ctx.leaves[i] for i in wanted], seeds, True, again, allow_unused=True
            )
        known = [(i, g) for i, g in zip(wanted, found) if g is not None]
        if again and any(g.requires_grad for _, g in known):
            ours = [dy for _, dy in used]
            given = _GraphInGpunn.apply([g for _, g in known], [*ctx.leaves, *seeds], *inputs, *ours)
        else:
            given = [from_torch(g) for _, g in known]
        results: list[Any] = [None] * len(inputs)
        for (i, _), g in zip(known, given):
            results[i] = g
        return (None, None, *results)


def _called_from_torch(function: Callable[..., Any], args: Any, kwargs: Any, ours: Any, theirs: Any) -> Any:
    """Call a function of gpunn's with tensors of PyTorch's, and with parameters that both have."""
    torch = needed("torch", "gpunn.interop.torch")
    inputs: list[Any] = []
    leaves: list[Any] = []

    def leaf(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        y = from_torch(x).requires_grad_(x.requires_grad)
        inputs.append(x)
        leaves.append(y)
        return y

    records = torch.is_grad_enabled()
    with gpunn.set_grad_enabled(records):
        result = function(*[_mapped(leaf, x) for x in args], **{k: _mapped(leaf, x) for k, x in kwargs.items()})
    found = _tensors(result, gpunn.Tensor)
    if records and any(y.requires_grad for y in found):
        made = iter(_classes().GraphInTorch.apply(found, [*leaves, *ours], *inputs, *theirs))
    else:
        made = iter([to_torch(y) for y in found])
    return _mapped(lambda y: next(made) if isinstance(y, gpunn.Tensor) else y, result)


def _called_from_gpunn(function: Callable[..., Any], args: Any, kwargs: Any, ours: Any, theirs: Any) -> Any:
    """Call a function of PyTorch's with tensors of gpunn's, and with parameters that both have."""
    if state.tracer is not None:
        state.tracer.leave(f"{type(function).__name__} is PyTorch's")
    torch = needed("torch", "gpunn.interop.torch")
    inputs: list[Any] = []
    leaves: list[Any] = []

    def leaf(x: Any) -> Any:
        if not isinstance(x, gpunn.Tensor):
            return x
        y = to_torch(x).requires_grad_(x.requires_grad)
        inputs.append(x)
        leaves.append(y)
        return y

    records = gpunn.is_grad_enabled()
    with torch.set_grad_enabled(records):
        result = function(*[_mapped(leaf, x) for x in args], **{k: _mapped(leaf, x) for k, x in kwargs.items()})
    found = _tensors(result, torch.Tensor)
    if records and any(y.requires_grad for y in found):
        made = iter(_GraphInGpunn.apply(found, [*leaves, *theirs], *inputs, *ours))
    else:
        made = iter([from_torch(y) for y in found])
    return _mapped(lambda y: next(made) if isinstance(y, torch.Tensor) else y, result)


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """`function` of each part of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        return {k: _mapped(function, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_mapped(function, v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return function(value)


def _tensors(value: Any, kind: type) -> Sequence[Any]:
    """The tensors in nested lists, tuples and dicts."""
    found: list[Any] = []
    _mapped(lambda x: found.append(x) if isinstance(x, kind) else None, value)
    return found
