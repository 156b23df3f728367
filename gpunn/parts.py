"""What is drawn in the parts of a batch, ahead of its time, or once more: contexts that number the draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import state

if TYPE_CHECKING:
    from gpunn.random import Generator


class Parts:
    """A batch that is computed in parts, one after the other, which draw the numbers that the whole would.

    ::

        parts = Parts()
        with parts.from_sample(0, 32):
            ...
        with parts.from_sample(32, 16):
            ...

    So draws dropout, and what draws one number after the other (`rand`, `randn`, `randint`, `normal_`, ...) where the
    first dimension is as large as the part. Numbers of another size are the same in all parts, as in the whole; what
    does not draw one by one (`randperm`, `poisson`, gamma numbers) begins anew in each.
    """

    def __init__(self) -> None:
        self._calls: list[int] = []

    def from_sample(self, first: int, samples: int, counts: bool = True) -> Part:
        """A context in which the part of so many samples that begins with that one is computed.

        counts: False where its samples are another part's, and nothing of them counts
        """
        return Part(self._calls, first, samples, counts)


class Part:
    """One part of a batch; see `Parts`.

    Attributes:
        first: the place of its first sample in the whole batch.
        samples: how many it has.
        counts: whether its samples count.
    """

    def __init__(self, calls: list[int], first: int, samples: int, counts: bool):
        self.first, self.samples = first, samples
        self.counts = counts
        self._calls = calls
        self._used = 0

    def next_call(self, generator: Generator, stream: int) -> int:
        """The number that the first part drew at this place, or a new one."""
        if self._used == len(self._calls):
            self._calls.append(generator._next_call(stream))
        self._used += 1
        return self._calls[self._used - 1]

    def __enter__(self) -> None:
        self._outer, state.part = state.part, self

    def __exit__(self, *_: object) -> None:
        state.part = self._outer


class Ahead:
    """A context whose draws use up no numbers: they get those that come next, and so do the draws behind it."""

    first, samples = 0, -1

    def __init__(self) -> None:
        self._before: dict[int, tuple[Generator, dict[str, Any]]] = {}

    def next_call(self, generator: Generator, stream: int) -> int:
        """The number of the next draw."""
        self._before.setdefault(id(generator), (generator, generator.get_state()))
        return generator._next_call(stream)

    def __enter__(self) -> None:
        self._outer, state.part = state.part, self

    def __exit__(self, *_: object) -> None:
        state.part = self._outer
        for generator, before in self._before.values():
            generator.set_state(before)


class Draws:
    """What is drawn at one time, to be drawn again at another::

    draws = Draws()
    with draws.drawing(again=False):
        ...
    with draws.drawing(again=True):
        ...
    """

    def __init__(self) -> None:
        self._part: Part | None = state.part
        self._calls: list[int] = []
        self._used: int | None = None

    @property
    def first(self) -> int:
        """The place in the whole batch of the first sample of the part that is computed, 0 for a whole one."""
        return 0 if self._part is None else self._part.first

    @property
    def samples(self) -> int:
        """How many samples that part has; -1 for a whole batch."""
        return -1 if self._part is None else self._part.samples

    def next_call(self, generator: Generator, stream: int) -> int:
        """A new number, or the one that was drawn at this place before.

        Raises:
            RuntimeError: more is drawn than before.
        """
        if self._used is None:
            draw = generator._next_call if self._part is None else partial(self._part.next_call, generator)
            self._calls.append(draw(stream))
            return self._calls[-1]
        if self._used == len(self._calls):
            raise RuntimeError(f"called again, a function draws more than the {self._used} times that it drew before")
        self._used += 1
        return self._calls[self._used - 1]

    @contextmanager
    def drawing(self, again: bool) -> Iterator[None]:
        """Inside, what is drawn is kept, or is what was kept."""
        before, state.part = state.part, self
        self._used = 0 if again else None
        try:
            yield
        finally:
            state.part = before
