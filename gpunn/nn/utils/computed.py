"""Attributes of a module that are computed of its parameters whenever they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gpunn.tensor import Tensor

from ..module import Module
from ..parameter import Parameter

Compute = Callable[[Module], Any]
"""What an attribute is, of its module."""


def named_tensor(module: Module, name: str) -> Tensor:
    """The parameter or buffer, or the attribute that is computed.

    Raises:
        ValueError: there is none.
    """
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ValueError(f"{type(module).__name__} has no parameter or buffer with name {name!r}")
    return found


def compute(module: Module, name: str, function: Compute, prefix: str = "") -> None:
    """Let ``module.name``, which is not there now, be ``function(module)`` from here on.

    ``function.assign(module, value)``, if there is one, is what setting the attribute does. The module's class becomes
    one below it, whose name has the prefix.
    """
    base: Any = _plain(module)
    module.__class__ = _class_with(base, (*_computed(module), (name, function)), prefix)


def compute_no_more(module: Module, name: str, prefix: str = "") -> None:
    """Let ``module.name`` be an attribute that can be set, as before `compute`."""
    rest = tuple(pair for pair in _computed(module) if pair[0] != name)
    base: Any = _plain(module)
    module.__class__ = _class_with(base, rest, prefix) if rest else base


def is_computed(module: Module, name: str | None = None) -> bool:
    """Whether an attribute, or any, is computed."""
    names = [own for own, _ in _computed(module)]
    return bool(names) if name is None else name in names


def computed_by(module: Module) -> dict[str, Compute]:
    """What computes each attribute that is computed."""
    return dict(_computed(module))


def plain_class(module: Module) -> type[Module]:
    """The module's class, without what is computed."""
    return _plain(module)


def register(module: Module, name: str, tensor: Tensor) -> None:
    """Make a tensor a parameter of the module, or a buffer if it is no parameter."""
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _computed(module: Module) -> tuple[tuple[str, Compute], ...]:
    return getattr(type(module), "_computed", ())


def _plain(module: Module) -> type[Module]:
    cls = type(module)
    return cls.__bases__[0] if "_computed" in vars(cls) else cls


@lru_cache(None)
def _class_with(base: Any, computed: tuple[tuple[str, Compute], ...], prefix: str) -> type[Module]:
    """A class that no module changes, so that copies of modules can have it too."""
    fields: dict[str, Any] = {
        name: property(function, getattr(function, "assign", None)) for name, function in computed
    }
    fields |= {"_computed": computed, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(prefix + base.__name__, (base,), fields)
