"""Parameters that are computed of others by modules, under the names of torch.nn.utils.parametrize."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor

from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter
from .computed import compute, compute_no_more, is_computed, named_tensor, plain_class, register

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

PREFIX = "Parametrized"
_cache: dict[tuple[int, str], Tensor] | None = None


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, one after the other, and what they compute it of.

    Attributes:
        original: what the first one takes; ``original0``, ``original1``, ... if it takes several.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                new = _inverse(module, new)
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise ValueError(f"right_inverse gives a tensor or a sequence of tensors, got {type(new).__name__}")
        self.ntensors = 1 if self.is_tensor else len(new)
        shape, dtype = original.shape, original.dtype
        if self.is_tensor:
            if new.dtype is not dtype or new.device is not original.device:
                raise ValueError(
                    f"right_inverse may not change type or device, from {original._spec!r} to {new._spec!r}"
                )
            _set(original, new)
            register(self, "original", original)
        else:
            for i, tensor in enumerate(new):
                if not isinstance(tensor, Tensor):
                    raise ValueError(f"right_inverse gives tensors, element {i} is {type(tensor).__name__}")
                if isinstance(original, Parameter):
                    tensor = Parameter(tensor.detach(), original.requires_grad)
                register(self, f"original{i}", tensor)
        if not unsafe:
            _check_result(self(), shape, dtype)

    def right_inverse(self, value: Tensor) -> None:
        """Set what the tensor is computed of so that it becomes `value`.

        Raises:
            RuntimeError: a parametrization has no right_inverse.
        """
        new: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                new = module.right_inverse(new)
            given = [new] if self.is_tensor else new
            if len(given) != self.ntensors:
                raise ValueError(f"right_inverse gives {self.ntensors} tensors, got {len(given)}")
            for own, tensor in zip(self._originals(), given):
                if own.dtype is not tensor.dtype:
                    raise ValueError(f"right_inverse gives {own.dtype!r} here, got {tensor._spec!r}")
                _set(own, tensor)

    def forward(self) -> Any:
        first, *others = self
        result = first(*self._originals())
        for module in others:
            result = module(result)
        return result

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]


@dataclass(frozen=True)
class _Parametrized:
    name: str

    def __call__(self, module: Any) -> Any:
        if _cache is None:
            return module.parametrizations[self.name]()
        key = (id(module), self.name)
        if key not in _cache:
            _cache[key] = module.parametrizations[self.name]()
        return _cache[key]

    def assign(self, module: Any, value: Tensor) -> None:
        module.parametrizations[self.name].right_inverse(value)


@contextmanager
def cached() -> Iterator[None]:
    """A context in which each parametrized tensor is computed once."""
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let ``module.tensor_name`` be ``parametrization(original)``, computed whenever it is asked for.

    Args:
        module: gets the attribute ``parametrizations``, with a `ParametrizationList` for each such tensor; the
            optimizer goes on with the same parameter where one is computed of one.
        tensor_name: a parameter or a buffer; one that is parametrized already is then computed of what it is now.
        parametrization: a module of one input; of several where its ``right_inverse(tensor)`` gives several.
        unsafe: whether it may change shape and type; else that is an error.

    Raises:
        ValueError: there is no such tensor, or its shape or type would change.
    """
    parametrization.train(module.training)
    before = named_tensor(module, tensor_name)
    if is_parametrized(module, tensor_name):
        listed: Any = module.parametrizations[tensor_name]
        if not unsafe:
            _check_result(parametrization(before), before.shape, before.dtype)
        listed.append(parametrization)
        listed.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(f"{type(module).__name__} has no parameter or buffer with name {tensor_name!r}")
    listed = ParametrizationList([parametrization], before, unsafe)
    if "parametrizations" not in module._modules:
        module.parametrizations = ModuleDict()
    delattr(module, tensor_name)
    module.parametrizations[tensor_name] = listed
    compute(module, tensor_name, _Parametrized(tensor_name), PREFIX)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module, or any of them, is parametrized."""
    listed: Any = module._modules.get("parametrizations")
    if not isinstance(listed, ModuleDict) or not is_computed(module):
        return False
    return len(listed) > 0 if tensor_name is None else tensor_name in listed


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor a parameter or a buffer again, as it is, or with ``leave_parametrized=False`` as it was before.

    Raises:
        ValueError: it is not parametrized; or it is computed of several, which leave nothing behind.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    parametrizations: Any = module.parametrizations
    listed = parametrizations[tensor_name]
    if not listed.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    if leave_parametrized:
        value = getattr(module, tensor_name)
        learned = any(isinstance(t, Parameter) for t in listed._originals())
        if listed.is_tensor:
            with no_grad():
                _set(listed.original, value.detach())
            left = listed.original
        else:
            left = Parameter(value.detach(), value.requires_grad) if learned else value.detach()
    else:
        left = listed.original
    compute_no_more(module, tensor_name, PREFIX)
    del parametrizations[tensor_name]
    if not len(parametrizations):
        del module.parametrizations
    register(module, tensor_name, left)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without parametrizations."""
    return plain_class(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give a module the parametrizations of another, of one tensor or of all, and what they are computed of."""
    if not is_parametrized(from_module):
        return to_module
    every: Any = from_module.parametrizations
    for name in list(every) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            register(to_module, name, Parameter(getattr(from_module, name).detach()))
        listed = every[name]
        for parametrization in listed:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        given: Any = to_module.parametrizations
        for own, other in zip(given[name]._originals(), listed._originals()):
            _set(own, other.detach().clone())
    return to_module


def _inverse(module: Any, value: Any) -> Any:
    """What the parametrization makes `value` of; `value` itself where it does not say."""
    if not hasattr(module, "right_inverse"):
        return value
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return value


def _set(tensor: Tensor, value: Tensor) -> None:
    """The same tensor with other elements, of another shape maybe."""
    if value is tensor:
        return
    if value.shape == tensor.shape:
        with no_grad():
            tensor.copy_(value)
    else:
        tensor.data = value.detach()


def _check_result(result: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(result, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
    if result.shape != shape or result.dtype is not dtype:
        raise ValueError(
            "Registering a parametrization may not change shape or type of the tensor, unless unsafe=True: "
            f"{dtype!r}{list(shape)} became {result._spec!r}"
        )
