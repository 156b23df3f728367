"""Modules made of modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from .module import Module, indented

S = TypeVar("S", bound="_Numbered")


class _Numbered(Module):
    """Modules in an order; their names are their places, counted from 0."""

    def _name_at(self, index: int) -> str:
        i, n = operator.index(index), len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range for {type(self).__name__} of {n} modules")
        return list(self._modules)[i]

    def _restart(self, modules: Iterable[Module]) -> None:
        """Take these modules instead, numbered anew."""
        wanted = list(modules)
        for name in list(self._modules):
            delattr(self, name)
        self.extend(wanted)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self: S, index: slice) -> S: ...

    def __getitem__(self: S, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(*self._slice(index))
        return self._modules[self._name_at(index)]

    def _slice(self, index: slice) -> tuple[Any, ...]:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._name_at(index)
        del modules[index]
        self._restart(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self._modules.values())

    def append(self: S, module: Module) -> S:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self: S, modules: Iterable[Module]) -> S:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: S, index: int, module: Module) -> S:
        """Put a module before the one at `index`."""
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"index {index} is out of range for {type(self).__name__} of {n} modules")
        if not isinstance(module, Module):
            raise TypeError(f"insert takes a Module, got {type(module).__name__}")
        modules = list(self)
        modules.insert(index, module)
        self._restart(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a module out, and return it."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self: S, modules: Iterable[Module]) -> S:
        return self.extend(modules)


class Sequential(_Numbered):
    """Modules one after the other: y = f_n(... f_2(f_1(x))).

    ::

        nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        nn.Sequential(OrderedDict(hidden=nn.Linear(784, 128), act=nn.ReLU(), out=nn.Linear(128, 10)))

    Indexing gives a module, slicing a Sequential of the same modules.

    Args:
        args: the modules, or one dict of them by name.
    """

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _slice(self, index: slice) -> tuple[Any, ...]:
        return (dict(list(self._modules.items())[index]),)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise TypeError(f"a Sequential can be added to a Sequential, not to {type(other).__name__}")
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of modules that registers them; it computes nothing itself."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _slice(self, index: slice) -> tuple[Any, ...]:
        return (list(self)[index],)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Equal modules that follow one another are written once, as ``(0-2): 3 x Linear(...)``."""
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        if not runs:
            return f"{self._get_name()}()"
        lines = [f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}" for a, b, text in runs]
        return "\n  ".join([f"{self._get_name()}(", *map(indented, lines)]) + "\n)"


class ModuleDict(Module):
    """A dictionary of modules that registers them; it computes nothing itself."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]) -> None:
        """Add the modules of a mapping, or pairs of name and module; names that are there get the new module."""
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for name, module in pairs:
            self[name] = module

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Any:
        """Take a module out, and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self._modules):
            del self[key]
