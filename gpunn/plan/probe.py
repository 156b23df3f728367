"""Probes: each looks at one piece of Python state, tells whether it is as it was, and can put it back."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from itertools import repeat
from operator import is_
from types import CellType
from typing import Any

import numpy as np

from gpunn.backend.spec import Spec

MISSING = object()
"""In the place of what is not there."""
_VALUES = (bool, int, float, complex, str, bytes, tuple, type(None), Spec)


class Probe:
    """One piece of state.

    Args:
        what: it, in words.
    """

    def __init__(self, what: str):
        self.what = what

    def now(self) -> list[Any]:
        """What is there. Objects are compared by identity, and plain values by value; see `same`."""
        raise NotImplementedError

    def put_back(self, then: list[Any]) -> None:
        """Make it again what `now` gave."""
        raise NotImplementedError

    def differs(self, then: list[Any]) -> str:
        """Which part of it is not what it was, in words."""
        return self.what


def same(now: list[Any], then: list[Any]) -> bool:
    """Whether the elements of two lists are the same objects, or plain values of one type that are equal."""
    return len(now) == len(then) and (all(map(is_, now, then)) or all(map(_equal, now, then)))


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, _VALUES):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b) and (not isinstance(a, (float, complex)) or repr(a) == repr(b))  # 0.0 and -0.0


class Names(Probe):
    """Some names of an object's, a class's or a module's attributes, which need not all be there.

    Args:
        what: whose, in words, such as "loss_fn"; empty for globals.
        owner: the object, class or module.
        names: the names.
    """

    def __init__(self, what: str, owner: Any, names: Iterable[str]):
        super().__init__(what)
        self.owner = owner
        self.names = tuple(names)
        self._there: Mapping[str, Any] = owner if isinstance(owner, dict) else vars(owner)

    def now(self) -> list[Any]:
        """The values."""
        return list(map(self._there.get, self.names, repeat(MISSING)))

    def put_back(self, then: list[Any]) -> None:
        """Set those that differ."""
        for name, now, value in zip(self.names, self.now(), then):
            if now is value:
                continue
            if isinstance(self.owner, type):
                delattr(self.owner, name) if value is MISSING else setattr(self.owner, name, value)
            elif value is MISSING:
                del self._there[name]  # type: ignore[attr-defined]  # a dict, where it is no class
            else:
                self._there[name] = value  # type: ignore[index]

    def differs(self, then: list[Any]) -> str:
        """The first attribute that does."""
        name = next(n for n, a, b in zip(self.names, self.now(), then) if not _equal(a, b))
        return f"{self.what}.{name}" if self.what else f"the global {name}"


class Slots(Probe):
    """The attributes of an object that has no dictionary for them."""

    def __init__(self, what: str, owner: Any, names: Iterable[str]):
        super().__init__(what)
        self.owner = owner
        self.names = tuple(names)

    def now(self) -> list[Any]:
        """The values."""
        return [getattr(self.owner, name, MISSING) for name in self.names]

    def put_back(self, then: list[Any]) -> None:
        """Set those that differ."""
        for name, now, value in zip(self.names, self.now(), then):
            if now is not value:
                delattr(self.owner, name) if value is MISSING else setattr(self.owner, name, value)


class Items(Probe):
    """What a list, dict, set or deque holds."""

    def __init__(self, what: str, container: Any):
        super().__init__(what)
        self.container = container

    def now(self) -> list[Any]:
        """How many there are, and the elements; of a dict the keys and then the values."""
        c = self.container
        return [len(c), *c, *c.values()] if isinstance(c, dict) else [len(c), *c]

    def put_back(self, then: list[Any]) -> None:
        """Fill it anew."""
        c, then = self.container, then[1:]
        if isinstance(c, dict):
            half = len(then) // 2
            c.clear()
            c.update(zip(then[:half], then[half:]))
        elif isinstance(c, set):
            c.clear()
            c.update(then)
        else:
            for _ in range(len(c)):
                c.pop()
            c.extend(then)

    def differs(self, then: list[Any]) -> str:
        """For the attributes of an object, the first that does."""
        if not isinstance(self.container, dict):
            return self.what
        then, half = then[1:], then[0]
        before = dict(zip(then[:half], then[half:]))
        for key in (*self.container, *before):
            if key != "_changed" and not _equal(self.container.get(key, MISSING), before.get(key, MISSING)):
                return f"{self.what}.{key}" if isinstance(key, str) else self.what
        return self.what


class Groups(Probe):
    """The groups of an optimizer with their parameters, and methods that are set on it."""

    def __init__(self, what: str, optimizer: Any):
        super().__init__(what)
        self._own = vars(optimizer)

    def now(self) -> list[Any]:
        """The methods, the list of groups, each group and its parameters."""
        own = self._own
        groups = own["param_groups"]
        found = [own.get("step"), own.get("zero_grad"), groups]
        for group in groups:
            found += (group, group["params"], *group["params"])
        return found

    def put_back(self, then: list[Any]) -> None:
        """Other probes do that."""

    def differs(self, then: list[Any]) -> str:
        """Which of them."""
        return f"the groups of {self.what}, or a method of it"


class Forwards(Probe):
    """How gpunn's own layers compute."""

    def __init__(self, classes: list[type]):
        super().__init__("the forward of a layer of gpunn")
        self._there = [(cls, vars(cls)) for cls in classes]

    def now(self) -> list[Any]:
        """The function of each class."""
        return [there["forward"] for _, there in self._there]

    def put_back(self, then: list[Any]) -> None:
        """Set it."""
        for (cls, _), forward in zip(self._there, then):
            cls.forward = forward  # type: ignore[attr-defined]


class Cells(Probe):
    """Variables of functions around, each with its name in words."""

    def __init__(self, cells: list[tuple[str, CellType]]):
        super().__init__("a variable")
        self._cells = cells

    def now(self) -> list[Any]:
        """Their values."""
        try:
            return [cell.cell_contents for _, cell in self._cells]
        except ValueError:  # one is not set yet, or deleted
            return [content(cell) for _, cell in self._cells]

    def put_back(self, then: list[Any]) -> None:
        """Set those that differ."""
        for (_, cell), value in zip(self._cells, then):
            if content(cell) is value:
                continue
            if value is MISSING:
                del cell.cell_contents
            else:
                cell.cell_contents = value

    def differs(self, then: list[Any]) -> str:
        """The first that does."""
        return next(what for (what, cell), value in zip(self._cells, then) if not _equal(content(cell), value))


def content(cell: CellType) -> Any:
    """What a variable holds, or `MISSING`."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


class Elements(Probe):
    """The elements of a NumPy array, or of a tensor that a step has read."""

    def __init__(self, what: str, array: Any):
        super().__init__(what)
        self.array = array

    def now(self) -> list[Any]:
        """Shape and bytes."""
        a = np.asarray(self.array)
        return [a.shape, a.tobytes()]

    def put_back(self, then: list[Any]) -> None:
        """Write them."""
        shape, content = then
        self.array[...] = np.frombuffer(content, self.array.dtype).reshape(shape)


class Draws(Probe):
    """Where a source of Python's or NumPy's random numbers stands: a generator, or a module such as ``random``."""

    def __init__(self, what: str, source: Any):
        super().__init__(what)
        self.source = source

    def now(self) -> list[Any]:
        """Its state."""
        s = self.source
        if isinstance(s, np.random.Generator):
            return [pickle.dumps(s.bit_generator.state)]
        return [pickle.dumps(s.getstate() if hasattr(s, "getstate") else s.get_state())]

    def put_back(self, then: list[Any]) -> None:
        """Set it there."""
        s, state = self.source, pickle.loads(then[0])  # noqa: S301 (what `now` has made)
        if isinstance(s, np.random.Generator):
            s.bit_generator.state = state
        else:
            (s.setstate if hasattr(s, "setstate") else s.set_state)(state)
