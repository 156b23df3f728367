"""Module: what layers and networks are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from gpunn.autograd.mode import no_grad, state
from gpunn.backend.device import cuda_device
from gpunn.backend.dtypes import as_dtype, bfloat16, float16, float32, float64
from gpunn.backend.memory_format import preserve_format
from gpunn.ops import empty_like
from gpunn.ops.cast import parse_to
from gpunn.tensor import Tensor

from .hooks import ModuleHandle, call_with_hooks
from .parameter import Parameter
from .place import RAISED, given_no_tensor, name_layer
from .stateful import Stateful

M = TypeVar("M", bound="Module")
T = TypeVar("T")


class Module(Stateful):
    """Base class of layers and networks.

    A subclass calls ``super().__init__()``, sets its parameters and the modules it is made of as attributes, and
    computes in ``forward``::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(784, 128)
                self.out = nn.Linear(128, 10)

            def forward(self, x):
                return self.out(self.hidden(x).relu())


        net = Net()
        scores = net(x)

    Attributes:
        training: True in training, False in evaluation; dropout and batch norm ask for it. Set by `train` and `eval`.
    """

    training: bool
    _forward_pre_hooks: dict[int, Any]
    _forward_hooks: dict[int, Any]
    _backward_hooks: dict[int, Any]

    def __init__(self) -> None:
        super().__init__()
        fields = self.__dict__
        fields["training"] = True
        fields["_forward_pre_hooks"] = {}
        fields["_forward_hooks"] = {}
        fields["_backward_hooks"] = {}

    def forward(self, *inputs: Any) -> Any:
        """What the module computes. Call the module itself, not this: ``module(x)`` runs the hooks too."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watcher = state.watcher
        outside = None if watcher is None else watcher.enter(self)
        try:
            if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except RAISED as error:
            better = given_no_tensor(error, self, args)
            name_layer(better or error, self, args)
            if better is not None:
                raise better from error
            raise
        finally:
            if watcher is not None:
                watcher.layer = outside

    # Going through it

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, with their paths, from the outside in. One used twice comes once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all inside it."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, with their names."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their paths; one used twice comes once."""
        return self._named_members(lambda m: m._parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, for an optimizer."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their paths."""
        return self._named_members(lambda m: m._buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def _named_members(
        self, members: Callable[[Module], Mapping[str, T | None]], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, T]]:
        seen: set[int] = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in modules:
            for name, value in members(module).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"features.2"``; the module itself for ``""``.

        Raises:
            AttributeError: there is none.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"there is no module {name!r} in {type(module).__name__} (looking for {target!r})")
            module = child
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as ``"features.2"``, in the place of the one that is there, if any.

        Raises:
            ValueError: the path is empty, or `module` is no module.
            AttributeError: there is nothing to put it into, something else has its name, or, if `strict`, nothing.
        """
        if not target or not isinstance(module, Module):
            raise ValueError(f"set_submodule takes a path and a module, got {target!r} and {type(module).__name__}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        there = getattr(parent, name, None)
        if not isinstance(there, Module) and (strict or there is not None):
            raise AttributeError(f"{name!r} of {type(parent).__name__} is no module (setting {target!r})")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"features.2.weight"``."""
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"there is no parameter {target!r} in {type(self).__name__}")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as ``"features.3.running_mean"``."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"there is no buffer {target!r} in {type(self).__name__}")
        return buffer

    # Its mode

    def train(self: M, mode: bool = True) -> M:
        """Go into training mode, here and in all modules inside."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is True or False, got {mode!r}")
        self.training = mode
        for child in self.children():  # each by its own train(), which a user may have changed to keep it as it is
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """Go into evaluation mode: dropout lets everything pass, batch norm uses its running statistics."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set for every parameter whether it gets a gradient."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0."""
        for parameter in self.parameters():
            if parameter._grad is not None:
                if set_to_none:
                    parameter._grad = None
                else:
                    parameter._grad.detach_().zero_()

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call ``fn(module)`` for every module, from the inside out; made for initialisation."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # Other types and devices

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move the module, convert its floats, or both: ``to("cuda")``, ``to(gpunn.float64)``, ``to(tensor)``.

        With ``memory_format=gpunn.channels_last``, or without any other argument, parameters and buffers of four
        dimensions come to lie so, and what is computed with them does too.

        Raises:
            RuntimeError: channels last, and a parameter or buffer has five dimensions.
        """
        order = kwargs.get("memory_format", preserve_format)
        dtype, device = parse_to(args, kwargs.get("dtype"), kwargs.get("device"))
        d = None if dtype is None else as_dtype(dtype)
        if d is not None and not d.is_floating_point:
            raise TypeError(f"Module.to takes a floating point type, got {d!r}")

        def converted(t: Tensor) -> Tensor:
            own = order if t.ndim in (4, 5) else preserve_format
            return t.to(dtype=d if t.is_floating_point() else None, device=device, memory_format=own)

        return self._convert(converted)

    def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
        """Move the module without its elements, which are not set then: from ``meta`` to where they are to be.

        Without `recurse` what is inside stays where it is.
        """
        return self._convert(lambda t: empty_like(t, device=device), recurse)

    def type(self: M, dst_type: Any) -> M:
        """Convert parameters and buffers, those of integers too, to a type."""
        d = as_dtype(dst_type)
        return self._convert(lambda t: t.to(d))

    def share_memory(self: M) -> M:
        """The module: its memory is that of the process, and stays so, as `Tensor.share_memory_` has it."""
        return self

    def float(self: M) -> M:
        """Convert the floats to float32."""
        return self.to(float32)

    def double(self: M) -> M:
        """Convert the floats to float64."""
        return self.to(float64)

    def half(self: M) -> M:
        """Convert the floats to float16."""
        return self.to(float16)

    def bfloat16(self: M) -> M:
        """Convert the floats to bfloat16."""
        return self.to(bfloat16)

    def cpu(self: M) -> M:
        """Move the module to the CPU."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """Move the module to the current or the given GPU."""
        return self.to(cuda_device(device))

    def _convert(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Parameters stay the objects they are, as an optimizer holds them; only their memory is another."""
        with no_grad():
            for parameter in self.parameters(recurse):
                for tensor in (parameter, parameter._grad):
                    if tensor is not None and (new := fn(tensor.detach()))._data is not tensor._data:
                        tensor.data = new
            for module in self.modules() if recurse else (self,):
                for name, buffer in module._buffers.items():
                    if buffer is not None and (new := fn(buffer)) is not buffer:
                        module._buffers[name] = module.__dict__[name] = new
                module._note_change()
        return self

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> ModuleHandle:
        """Call ``hook(module, args)`` before forward; what it returns, if anything, replaces the arguments.

        With `with_kwargs` it is ``hook(module, args, kwargs)``, which returns None or ``(args, kwargs)``. `prepend`
        puts it before the others. Returns a handle with ``remove()``.
        """
        return ModuleHandle(self, self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> ModuleHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns, if anything, replaces the output.

        With `with_kwargs` it is ``hook(module, args, kwargs, output)``. With `always_call` it is called after an error
        too, with None as the output; what it raises then is a warning, and the first error goes on.
        """
        return ModuleHandle(self, self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> ModuleHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        Both are tuples, with None where there is no gradient. What the hook returns, if anything, replaces
        `grad_input`.
        """
        return ModuleHandle(self, self._backward_hooks, (hook, False), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> ModuleHandle:
        """Call ``hook(module, grad_output)`` before the gradients go through the module; what it returns replaces them.

        `grad_output` is a tuple, with None where there is no gradient.
        """
        return ModuleHandle(self, self._backward_hooks, (hook, True), prepend)

    # As text

    def _repr_html_(self) -> str:
        from gpunn import notebook

        rows: list[tuple[str, ...]] = []
        seen: set[int] = set()
        for path, module in self.named_modules():
            own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
            seen.update(map(id, own))
            rows.append((path, module._get_name(), module.extra_repr(), f"{sum(p.numel() for p in own):,}"))
        mode = "training" if self.training else "evaluation"
        note = f"{sum(p.numel() for p in self.parameters()):,} parameters, in {mode} mode"
        return notebook.table(["place", "layer", "", "parameters"], rows, note=note)

    def extra_repr(self) -> str:
        """What the repr says besides the modules inside; a subclass names its sizes here."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if not self._modules and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        lines += [indented(f"({name}): {module!r}") for name, module in self._modules.items()]
        return "\n  ".join([f"{self._get_name()}(", *lines]) + "\n)"


def indented(text: str) -> str:
    """All lines after the first two columns further in."""
    return text.replace("\n", "\n  ")
