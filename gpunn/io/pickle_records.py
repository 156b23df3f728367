"""A reader of pickles that runs nothing: it knows data and a list of records, and refuses all else by its name.

The standard library's `pickletools` reads the opcodes (https://docs.python.org/3/library/pickletools.html); what they
do to the stack is written here.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from gpunn.io.structure import DEPTH

MOST_OPCODES = 10_000_000
"""A state_dict has some thirty for each tensor."""


class Refused(ValueError):
    """A pickle that is damaged, or holds what is no plain data; the message says what."""


class Named:
    """A class or a function that a pickle names; it is never looked up.

    Attributes:
        name: with its module, such as ``torch.FloatStorage``.
    """

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


_MARK = object()
_PLAIN = {
    "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
"""Opcodes that put their argument onto the stack."""
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict, "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}  # fmt: skip
_IGNORED = {"PROTO", "FRAME"}


def read_pickle(
    data: bytes,
    records: Mapping[str, Callable[..., Any]],
    values: Mapping[str, Any],
    persistent: Callable[[Any], Any],
    leaves: tuple[type, ...],
) -> Any:
    """The object in a pickle.

    Args:
        data: the pickle.
        records: what may be called, by name; called with what the pickle gives it.
        values: what may be named without being called.
        persistent: what a persistent id stands for.
        leaves: what the object may hold besides numbers and text.

    Raises:
        Refused: it is truncated or damaged, names something else, contains itself, or is nested too deeply. Whatever
            `records` and `persistent` raise.
    """
    machine = _Machine(records, values, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MOST_OPCODES:
                raise Refused(f"it has more than {MOST_OPCODES:,} opcodes")
            machine.step(opcode.name, argument)
    except Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError, AttributeError) as error:
        raise Refused(f"its pickle is truncated or damaged ({type(error).__name__}: {error})") from None
    result = machine.result()
    _check(result, (str, int, float, type(None), *leaves))
    return result


class _Machine:
    """The stack of a pickle."""

    def __init__(self, records: Any, values: Any, persistent: Any):
        self.records, self.values, self.persistent = records, values, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        """What is left when it has stopped."""
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise Refused("its pickle is damaged: it does not end with one object")
        return self.stack[0]

    def step(self, name: str, argument: Any) -> None:
        """Do one opcode."""
        stack = self.stack
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(self._named(argument.replace(" ", ".", 1)))
        elif name not in _IGNORED and name != "STOP":
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise Refused(f"its pickle does what plain data does not need ({name})")
            method()

    def _named(self, name: str) -> Any:
        """What a global stands for.

        Raises:
            Refused: it is none of the records.
        """
        if name in self.values:
            return self.values[name]
        if name not in self.records:
            raise Refused(f"it holds {name}, which is neither a tensor nor plain data, and is not loaded")
        return Named(name)

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise Refused("its pickle is damaged: a mark stands for an object")
        return value

    def _from_mark(self) -> list[Any]:
        """What was put onto the stack since the last mark."""
        found: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def _mark(self) -> None:
        self.stack.append(_MARK)

    def _pop_mark(self) -> None:
        self._from_mark()

    def _tuple(self) -> None:
        self.stack.append(tuple(self._from_mark()))

    def _tuple1(self) -> None:
        self.stack.append((self._pop(),))

    def _tuple2(self) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def _tuple3(self) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    def _list(self) -> None:
        self.stack.append(self._from_mark())

    def _dict(self) -> None:
        values = self._from_mark()
        self.stack.append({})
        self._set(values)

    def _append(self) -> None:
        self._extend([self._pop()])

    def _appends(self) -> None:
        self._extend(self._from_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused(f"its pickle is damaged: it appends to a {type(target).__name__}")
        target.extend(values)

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _setitems(self) -> None:
        self._set(self._from_mark())

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise Refused(f"its pickle is damaged: it sets entries of a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2]):
            if not isinstance(key, (str, int, float)):
                raise Refused(f"it has a dict with a {type(key).__name__} as a key; expected text or numbers")
            target[key] = value

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refused("its pickle is damaged: a name is no text")
        self.stack.append(self._named(f"{module}.{name}"))

    def _binpersid(self) -> None:
        self.stack.append(self.persistent(self._pop()))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise Refused("its pickle calls what is no function")
        self.stack.append(self.records[function.name](*arguments))

    def _build(self) -> None:
        """The attributes of a dict, such as the versions of modules that a state_dict of PyTorch's has."""
        self._pop()
        if not isinstance(self.stack[-1], dict):
            raise Refused("its pickle sets attributes of what is no dict")


def _check(value: Any, leaves: tuple[type, ...]) -> None:
    """See to it that a structure holds only leaves, ends, and is not nested too deeply for whoever goes through it.

    Raises:
        Refused: it holds something else, contains itself, or is nested more than `DEPTH` deep.
    """
    depths: dict[int, int] = {}
    path: set[int] = set()
    todo: list[tuple[Any, bool]] = [(value, False)]
    while todo:
        x, done = todo.pop()
        if not isinstance(x, (dict, list, tuple)):
            if not isinstance(x, leaves):
                raise Refused(f"it holds {getattr(x, 'name', type(x).__name__)} itself, which is no data")
            continue
        if id(x) in depths and not done:
            continue
        parts = list(x.values()) if isinstance(x, dict) else x
        if done:
            path.discard(id(x))
            depths[id(x)] = 1 + max((depths.get(id(p), 0) for p in parts), default=0)
            if depths[id(x)] > DEPTH:
                raise Refused(f"it is nested more than {DEPTH} deep")
        elif id(x) in path:
            raise Refused("it contains itself")
        else:
            path.add(id(x))
            todo.append((x, True))
            todo += [(p, False) for p in parts]
