"""The calls of a step as rows of a table, through which the library goes by itself.

A step of a small network is a few dozen calls, and between two of them Python takes about ten microseconds: as long as
such a call. What a primitive tells the library is the same at each step, but for the addresses of the batch, so it is
taken down once. The library goes through the rows until it meets a call that is Python's: a primitive without loops, or
a label that is no class, which the primitive itself has to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from gpunn.backend.numpy import memory
from gpunn.backend.numpy.blas import _place
from gpunn.backend.products import precision
from gpunn.backend.span import span

from . import primitives
from .library import POINTERS, WORDS, NotTaken, taken_down

Call = tuple[Any, list[Any], dict[str, Any]]
_PYTHONS = np.zeros((1, 1 + WORDS), np.int64)
"""The row of a call that Python makes."""


class _Loops:
    """In the place of the backend: the primitives that have loops, and no other."""

    updates_by_product = False

    def __getattr__(self, name: str) -> Any:
        if name not in primitives.__all__:
            raise NotTaken(name)
        return getattr(primitives, name)


_loops = _Loops()


class Joined:
    """Calls, of which the library makes those that it can::

        joined.begin()
        while (done := joined.run(done)) < len(calls):
            done = joined.make(done)

    Args:
        calls: functions with their arguments: primitives, updates (`gpunn.optim.bound`), and anything else.
        places: where the arrays are that are others at each step, for each of them as (arguments of a call, number of
            the argument).
    """

    def __init__(self, calls: Sequence[Call], places: Mapping[int, Iterable[tuple[list[Any], int]]]):
        self._calls = calls
        self._others: dict[int, list[int]] = {}
        for args, at in (spot for some in places.values() for spot in some):
            self._others.setdefault(id(args), []).append(at)
        self._moving: dict[int, list[tuple[int, int, int]]] = {}
        """Of a call the row, the place in it and the number of the argument that it is the address of."""
        self._keys: dict[int, Any] = {}
        """What `begin` of an update returned when its rows were made, by the number of its call."""
        self._never: set[int] = set()
        """The updates that are none of the library's,"""
        self._begun: set[int] = set()
        """and those of them that have begun in this step."""
        self._row = np.zeros(1, np.int64)
        """The row that the library is at, which it keeps up to date."""
        self._rows = [self._row_of(number) for number in range(len(calls))]
        self._lay_out()

    def __str__(self) -> str:
        ours = sum(bool(rows[0, 0]) for rows in self._rows)
        return f"{ours} of {len(self._calls)} calls are made by the loops' library in a row, the others by Python"

    @property
    def position(self) -> int:
        """How many calls the library has come to the end of, those that Python made in between included."""
        return self._call_of[int(self._row[0])]

    def begin(self) -> None:
        """Take the arrays of a step."""
        self._row[0] = 0
        self._usable = self._take_arrays()
        self._until = min(self._keys, default=len(self._calls))

    def run(self, done: int) -> int:
        """Make calls from number `done` on; the number of the first that is not made, or how many there are."""
        start = self._starts[done]
        if not self._usable or not self._table[start, 0]:
            return done
        primitives.library.rows(self._address, 1 + WORDS, start, self._starts[self._until], self._row.ctypes.data)
        return self.position

    def make(self, done: int) -> int:
        """Make call number `done`, or see to what the library needs for it; the number of the next one."""
        function, args, kwargs = self._calls[done]
        if self._usable and done == self._until:
            self._begin_updates()
            return done
        if self._usable and hasattr(function, "only_calls") and done not in self._never:
            if self._take(done, function.begin()):
                return done
            self._begun.add(done)
        if done in self._begun:
            self._begun.remove(done)
            function.make(*args)
        else:
            function(*args, **kwargs)
        return done + 1

    def _begin_updates(self) -> None:
        """What they do beside computing, for all at once, where the first of them stands."""
        self._until = len(self._calls)
        for number, key in list(self._keys.items()):
            now = self._calls[number][0].begin()
            if now != key and not self._take(number, now):
                self._begun.add(number)

    def _take(self, number: int, key: Any) -> bool:
        """Make the rows of an update that has begun; False if it is none of the library's."""
        update = self._calls[number][0]
        rows = _PYTHONS
        if update.only_calls:
            rows = self._taken(number, lambda given: update.make(*given, _loops), update.arrays)
        before, self._rows[number] = self._rows[number], rows
        if len(before) == len(rows) and number not in self._moving:
            self._table[self._starts[number] :][: len(rows)] = rows
        else:
            self._lay_out()
            self._take_arrays()
        if rows is _PYTHONS:
            self._keys.pop(number, None)
            self._never.add(number)
            return False
        self._keys[number] = key
        return True

    def _row_of(self, number: int) -> Any:
        function, _, kwargs = self._calls[number]
        if getattr(function, "__module__", "") != primitives.__name__:
            return _PYTHONS
        return self._taken(number, lambda given: function(*given, **kwargs), lambda: [kwargs.get("out")])

    def _taken(self, number: int, call: Callable[[list[Any]], Any], others: Callable[[], list[Any]]) -> Any:
        """The rows of a call, with other arrays for those that are others at each step, by whose addresses these are
        found; `_PYTHONS` where it is none of the library's, or works on something else than what it is given and
        `others`: on a copy, which is another one each time.
        """
        self._moving.pop(number, None)
        if precision() != "highest":  # factors are rounded before, somewhere
            return _PYTHONS
        given = list(self._calls[number][1])
        found: dict[int, int] = {}
        for at in self._others.get(id(self._calls[number][1]), ()):
            given[at] = np.zeros_like(given[at], order="C")
            found[_place(given[at])] = at
        try:
            rows = taken_down(lambda: call(given))
        except NotTaken:
            return _PYTHONS
        spans = [span(memory, x) for x in _arrays([*given, *others()])]
        addresses = [int(word) for row in rows for word in row[1:][POINTERS[int(row[0])]] if word]
        if not len(rows) or not all(any(low <= word < high for low, high in spans) for word in addresses):
            return _PYTHONS
        if found:
            words = [(int(r), int(c), found[int(rows[r, c])]) for r, c in zip(*np.isin(rows, list(found)).nonzero())]
            self._moving[number] = words
        return rows

    def _lay_out(self) -> None:
        """The table of all rows, and which call each is of."""
        lengths = [len(rows) for rows in self._rows]
        self._table = np.concatenate([*self._rows, _PYTHONS])
        self._address = self._table.ctypes.data
        self._starts = [0, *accumulate(lengths)]
        self._call_of = [number for number, length in enumerate(lengths) for _ in range(length)] + [len(lengths)]
        self._words = self._table.reshape(-1).data
        self._spots = [
            (self._calls[number][1], at, (self._starts[number] + row) * (1 + WORDS) + place)
            for number, words in self._moving.items()
            for row, place, at in words
        ]

    def _take_arrays(self) -> bool:
        """Where the arrays lie that are others at each step; whether the library can work on them."""
        usable = True
        for args, at, word in self._spots:
            array = args[at]
            usable &= array.flags.c_contiguous
            self._words[word] = _place(array)
        return usable


def _arrays(values: Iterable[Any]) -> Iterator[Any]:
    """The arrays among values, and in tuples of them."""
    for x in values:
        if isinstance(x, np.ndarray):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _arrays(x)
