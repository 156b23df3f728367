"""Operations on shapes alone: nothing is computed, nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpunn.backend.spec import Spec, row_major

from .mode import no_grad, state


class NoElements(RuntimeError):
    """Something reads the elements of a tensor that has a shape only."""


@contextmanager
def only_shapes(note: Callable[[Any, tuple[Any, ...]], None] | None = None) -> Iterator[None]:
    """Inside, operations have results with shapes and types and without elements; nothing is assigned, recorded, drawn.

    What asks for elements raises `NoElements`.

    Args:
        note: called with each op and its inputs.
    """
    shapes, before = Shapes(note), (state.tracer, state.watcher)
    state.tracer, state.watcher = shapes, None
    try:
        with no_grad():
            yield
    finally:
        state.tracer, state.watcher = before
        for generator, calls in reversed(shapes.drawn):
            generator._calls = calls


class Shapes:
    """A tracer that writes nothing down; see `gpunn.autograd.mode`.

    Attributes:
        searching: whether something is tried, so that an error is an answer.
    """

    function = ""
    searching = False

    def __init__(self, note: Callable[[Any, tuple[Any, ...]], None] | None = None) -> None:
        self.note = note
        self.drawn: list[tuple[Any, dict[int, int]]] = []

    def __call__(self, op: Any, inputs: tuple[Any, ...], result: Any) -> Any:
        """No data for the results."""
        if self.note is not None:
            self.note(op, inputs)
        return None if isinstance(result, Spec) else (None,) * len(result)

    def keep_state(self, generator: Any) -> None:
        """Note where a generator stands, to put it back there."""
        self.drawn.append((generator, dict(generator._calls)))

    def next_call(self, generator: Any, stream: int, number: int) -> int:
        """The number as it is."""
        return number

    def assign(self, target: Any, value: Any) -> None:
        """Write nothing."""

    def is_state(self, tensor: Any) -> bool:
        """As if everything had been there before."""
        return True

    def is_written(self, tensor: Any) -> bool:
        """As if nothing ever were."""
        return False

    def is_constant(self, tensor: Any) -> bool:
        """As if nothing had elements."""
        return False

    def strides(self, tensor: Any) -> tuple[int, ...]:
        """As if nothing had gaps."""
        return row_major(tensor._spec.shape)

    def read(self, tensor: Any) -> None:
        """Refuse to give elements that are not there; those of a parameter are."""
        if tensor._data is None:
            raise NoElements(f"the elements of {tensor._spec!r} are read, and there are only shapes here")

    def refuse(self, what: str) -> None:
        """Refuse what needs elements, or changes something."""
        raise NoElements(what)

    leave = refuse
