"""What a step can read in Python, found by following what its code names, without running it.

From the step's body on: the functions that it calls, the variables of functions around them, the globals that they
name, the objects in these, the attributes of those that some of this code names, and the elements of containers.
"""

from __future__ import annotations

import dis
import random
import sys
from array import array
from collections import UserDict, UserList, deque
from collections.abc import Set
from functools import lru_cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from gpunn.autograd.tape import TensorBase
from gpunn.nn import Module
from gpunn.optim.optimizer import Optimizer
from gpunn.random import Generator

from .probe import Cells, Draws, Elements, Forwards, Groups, Items, Names, Probe, Slots, content

ELEMENTS = 1000
"""Containers with more elements than this are not looked into."""
ARRAY_BYTES = 1 << 12
"""Of NumPy arrays that are larger than this the elements are not looked at."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), BuiltinFunctionType)
_MUTABLE = (list, dict, set, deque, array, bytearray)
_DYNAMIC = {"getattr", "hasattr", "setattr", "vars", "__dict__"}
"""Code with these may read attributes that it does not name, or that are not there yet."""
_OPEN = ("train", "models", "cli", "bench")
"""The parts of gpunn that read more than their arguments; of layers, `forward` names attributes."""
_KNOWN = {"numpy", "ml_dtypes", "cupy", "torch"}
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"}
_REGISTRIES = {
    "_modules",
    "_parameters",
    "_buffers",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "training",
}
"""Attributes of modules that are looked at in other ways."""
_CALLED = {"forward", "backward", "setup_context", "body"}
"""Methods that are called without being named."""
_UNREAD = {"__init__", "__new__", "__repr__", "__str__", "__del__", "__reduce__", "__getstate__", "__setstate__"}


class Reach:
    """All that is reached from a step.

    Args:
        body: the method of the step that does it op by op.
        known: what its code is known to name, from an earlier look at it; it saves time.

    Attributes:
        names: what its code names.
        modules: all modules, those in plain lists and in variables too.
        tensors: all tensors that are no parameters or buffers of a module.
        generators: gpunn's generators of random numbers.
        probes: for all other state that code names, to be looked at before each step.
        of_step: the attributes of the step itself that code names.
        inside: for more that a step may change while it is traced: all attributes, hooks, Python's random numbers.
    """

    def __init__(self, body: MethodType, known: Set[str] = frozenset()):
        self._step: Any = body.__self__
        self._body: CodeType = body.__func__.__code__
        names = set(known)
        while True:  # what code names decides what is looked at, and that leads to more code
            self.modules: dict[int, Module] = {}
            self.tensors: dict[int, Any] = {}
            self.generators: dict[int, Generator] = {}
            self.probes: list[Probe] = []
            self.inside: list[Probe] = [Draws("random", random), Draws("numpy.random", np.random)]
            self.names, self._more = names, set(names)
            self._globals: dict[int, tuple[dict[str, Any], set[str]]] = {}
            self.of_step: list[str] = []
            self._forwards: list[type] = []
            self._cells: list[tuple[str, CellType]] = []
            self._seen: dict[int, Any] = {}
            self._left: list[tuple[str, Any]] = [("step", body)]
            while self._left:
                self._visit(*self._left.pop())
            if self._more == names:
                break
            names = self._more
        del self._step, self._body, self._seen
        self.probes += [probe for probe in (Forwards(self._forwards), Cells(self._cells)) if probe.now()]
        for there, named in self._globals.values():
            if not named.isdisjoint(there):
                self.probes.append(Names("", there, sorted(named.intersection(there))))
            self.inside.append(Names("", there, sorted(named)))

    def _visit(self, what: str, x: Any) -> None:
        if isinstance(x, _PLAIN) or id(x) in self._seen:
            return
        self._seen[id(x)] = x
        if isinstance(x, TensorBase):
            self.tensors[id(x)] = x
        elif isinstance(x, FunctionType):
            self._function(what, x)
        elif isinstance(x, MethodType):
            self._left += [(what, x.__func__), (what, x.__self__)]
        elif isinstance(x, partial):
            self._left += [(what, part) for part in (x.func, *x.args, *x.keywords.values())]
        elif isinstance(x, (staticmethod, classmethod)):
            self._left.append((what, x.__func__))
        elif isinstance(x, property):
            self._left += [(what, f) for f in (x.fget, x.fset) if f is not None]
        elif isinstance(x, type):
            self._class(x)
        elif isinstance(x, ModuleType):
            if _is_open(x.__name__):
                self._attributes(what.removeprefix("the global "), x)
        elif isinstance(x, (*_MUTABLE, tuple, frozenset)):
            self._container(what, x)
        elif isinstance(x, np.ndarray):
            if x.nbytes <= ARRAY_BYTES and x.dtype != object:
                self.probes.append(Elements(f"the elements of {what}", x))
        elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
            self.inside.append(Draws(what, x))
        elif isinstance(x, Generator):
            self.generators[id(x)] = x
        elif isinstance(x, Optimizer):
            self._optimizer(what, x)
        else:
            self._object(what, x)

    def _function(self, what: str, function: FunctionType) -> None:
        if not _is_open(function.__module__) and function.__name__ != "body":
            return
        self._more.update(_names(function.__code__))
        named = _globals_of(function.__code__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            self._cells.append((f"the variable {name} around {function.__name__}", cell))
            self._left.append((name, content(cell)))
        self._left += [(what, d) for d in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())]
        there = function.__globals__
        if "globals" in _names(function.__code__):  # may read any of them, by names that are made as it runs
            named = named.union(n for n in there if not n.startswith("__"))
        self._globals.setdefault(id(there), (there, set()))[1].update(named)
        self._left += [(f"the global {name}", there[name]) for name in sorted(named.intersection(there))]
        if vars(function):
            self._attributes(function.__name__, function)

    def _class(self, cls: type) -> None:
        for c in cls.__mro__:
            if _is_open(c.__module__):
                special = {n for n, f in vars(c).items() if n.startswith("__") and isinstance(f, FunctionType)}
                self._attributes(c.__name__, c, special | _CALLED - _UNREAD)
            elif issubclass(c, Module) and c is not Module and "forward" in vars(c):
                self._forwards.append(c)
                self._more.update(_names(vars(c)["forward"].__code__))

    def _attributes(self, what: str, owner: Any, also: Set[str] = frozenset(), probed: bool = True) -> None:
        """Those that code names."""
        there = vars(owner)
        everything = not _DYNAMIC.isdisjoint(self.names)
        found = [n for n in there if n in self.names or n in also or (everything and not n.startswith("__"))]
        found = [n for n in found if n not in (_REGISTRIES if isinstance(owner, Module) else _UNREAD)]
        if probed:
            # What its class has, an object may come to have itself; and what code asks for that has getattr, anything.
            asked = everything and not isinstance(owner, Module)
            absent = [n for n in self.names if n not in there and n[:2] != "__" and (asked or hasattr(type(owner), n))]
            if isinstance(owner, (type, FunctionType, ModuleType)) and not asked:
                absent = []
            if found or absent:
                self.probes.append(Names(what, owner, (*found, *sorted(absent))))
        self._left += [(f"{what}.{name}", there[name]) for name in found]

    def _container(self, what: str, x: Any) -> None:
        if len(x) > ELEMENTS:
            return
        if isinstance(x, _MUTABLE):
            self.probes.append(Items(what, x))
        if isinstance(x, dict):
            self._left += [(f"{what}[{k!r}]", v) for k, v in x.items()]
        elif not isinstance(x, (array, bytearray)):
            self._left += [(f"{what}[{i}]", v) for i, v in enumerate(x)]

    def _optimizer(self, what: str, optimizer: Optimizer) -> None:
        """Its methods and its groups; what it remembers, and the options, are read at each step anyway."""
        self.probes.append(Groups(what, optimizer))
        own = vars(optimizer)
        self.inside += [Items(what, own), Items(f"{what}.param_groups", optimizer.param_groups)]
        self.inside += [Items(f"{what}.param_groups[{i}]", group) for i, group in enumerate(optimizer.param_groups)]
        self.inside += [Items(f"{what}.state", state) for state in (optimizer.state, *optimizer.state.values())]
        self._left += [(what, own[name]) for name in ("step", "zero_grad") if name in own]
        self._left.append((what, type(optimizer)))

    def _object(self, what: str, x: Any) -> None:
        cls = type(x)
        self._left.append((what, cls))
        if isinstance(x, Module):
            self._module(what, x)
        elif x is self._step:  # what it remembers of its plans is nothing that it reads
            self.of_step = [n for n in vars(x) if n in self._body.co_names and not n.startswith("_")]
            self._left += [(n, vars(x)[n]) for n in self.of_step]
        elif isinstance(getattr(x, "__dict__", None), dict):
            self._attributes(what, x)
            self.inside.append(Items(what, vars(x)))
            if isinstance(x, (UserDict, UserList)):
                self._left.append((what, x.data))
        slots = [n for c in cls.__mro__ for n in _slots(c) if n in self.names]
        if slots and _is_open(cls.__module__):
            self.probes.append(Slots(what, x, slots))
            self._left += [(f"{what}.{n}", getattr(x, n)) for n in slots if hasattr(x, n)]

    def _module(self, what: str, module: Module) -> None:
        self.modules[id(module)] = module
        self.inside += [Items(what, d) for d in (vars(module), module._parameters, module._buffers)]
        self.inside += [Items(what, d) for d in (module._forward_hooks, module._forward_pre_hooks)]
        if module._modules:
            self.probes.append(Items(f"the modules of {what}", module._modules))
            self._left += [(f"{what}.{name}", m) for name, m in module._modules.items()]
        # Modules note themselves what is set, so that those of gpunn need no more; see FROZEN.
        self._attributes(what, module, {"forward"}, probed=_is_open(type(module).__module__))


@lru_cache(maxsize=4096)
def _names(code: CodeType) -> frozenset[str]:
    """What a function's code names, also as text, which may stand in ``getattr``, and also in functions inside."""
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    texts = (constant for constant in code.co_consts if isinstance(constant, str) and constant.isidentifier())
    return frozenset(code.co_names).union(texts, *inside)


@lru_cache(maxsize=4096)
def _globals_of(code: CodeType) -> set[str]:
    """The globals that a function's code reads or sets, also in functions inside.

    Those that no program can name are not: pytest puts itself under `@pytest_ar` into code that asserts.
    """
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _GLOBAL and i.argval.isidentifier()}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _globals_of(constant)
    return found


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_open(module: str | None) -> bool:
    """Whether what a Python module defines may read more than its arguments; not so for what gpunn computes with."""
    package, _, rest = (module or "").partition(".")
    if package == "gpunn":
        return rest.partition(".")[0] in _OPEN
    return package not in _KNOWN and package not in sys.stdlib_module_names
