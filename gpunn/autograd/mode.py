"""Whether operations are recorded for differentiation: per thread, as in PyTorch."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class _State(threading.local):
    grad_enabled = True
    inference = False
    tracer: Any = None
    """While a step is traced: called as ``tracer(op, operands, spec)`` in the place of computing."""
    watcher: Any = None
    """While a step is traced or profiled: told which layer is at work. ``enter(module)`` returns the layer around it,
    which becomes `layer` again behind it; ``enter_gradient(node, dys)`` says whose gradient comes next, and what the
    gradients of its results are, if they are known; ``give_gradient(node, i, g)`` what of it goes to input i."""
    part: Any = None
    """While a part of a batch is computed: the `gpunn.parts.Part` that knows which."""
    autocast: Any = None
    """Inside `gpunn.autocast`: the `Casting` that gives an op its inputs in the types that it is to compute in."""
    packing: Any = None
    """The `saved.Packing` of what ops save; a text where there may be none, which is the error that says so."""
    recomputing: int = 0
    """While a checkpoint computes again what it did not keep: a number of its own, else 0."""

    def __init__(self) -> None:
        # Infinities and NaN are results like any other, as in PyTorch: NumPy's warnings are off within an op, and only
        # there. Running in a context of our own costs a tenth of what np.errstate does.
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.quietly: Callable[..., Any] = context.run
        self.at_end: list[Callable[[], None]] = []  # called at the end of a backward, once
        self.outer: list[tuple[bool, bool]] = []  # what the modes that are entered go back to


state = _State()


def is_tracing() -> bool:
    """Whether a step is being traced: tensors have shapes and no elements."""
    return state.tracer is not None


class _Mode:
    """A context manager that is also a decorator, and restores what it found.

    As in PyTorch, ``@no_grad`` and ``@no_grad()`` are the same.
    """

    def __new__(cls, mode: Any = None) -> Any:
        return cls()(mode) if callable(mode) else object.__new__(cls)

    def again(self) -> _Mode:
        """The object that a decorated function enters at a call."""
        return self

    def enter(self) -> None:
        """Set the mode in this thread."""
        raise NotImplementedError

    def __enter__(self) -> None:
        state.outer.append((state.grad_enabled, state.inference))
        self.enter()

    def __exit__(self, *exc: object) -> None:
        state.grad_enabled, state.inference = state.outer.pop()

    def __call__(self, function: F) -> F:
        """`function`, run in this mode; a generator's steps each run in it."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return (yield from self._steps(function(*args, **kwargs)))

        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self.again():
                    return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _steps(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        step, reply = generator.send, None
        while True:
            with self.again():
                try:
                    value = step(reply)
                except StopIteration as stop:
                    return stop.value
            try:
                step, reply = generator.send, (yield value)
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:  # thrown in by the caller: the generator's to handle
                step, reply = generator.throw, error


class no_grad(_Mode):
    """Nothing done inside is recorded: ``with gpunn.no_grad(): ...``, or as a decorator."""

    def enter(self) -> None:
        """Record no more."""
        state.grad_enabled = False


class enable_grad(_Mode):
    """What is done inside is recorded, also within `no_grad`; within `inference_mode` nothing is."""

    def enter(self) -> None:
        """Record."""
        state.grad_enabled = not state.inference


class inference_mode(_Mode):
    """As `no_grad`; tensors made inside can also not be saved for a gradient later."""

    def __init__(self, mode: bool = True):
        self.mode = mode

    def enter(self) -> None:
        """Record no more, or again."""
        state.inference = self.mode
        state.grad_enabled = not self.mode


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once when called, and until the end of the block in a ``with``."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before = (state.grad_enabled, state.inference)
        self.enter()

    def again(self) -> set_grad_enabled:
        """Another one, which goes back to what is set at the call."""
        return set_grad_enabled(self.mode)

    def enter(self) -> None:
        """Set it in this thread."""
        state.grad_enabled = self.mode and not state.inference

    def __enter__(self) -> None:
        state.outer.append(self._before)
        self.enter()

    def __call__(self, function: F) -> F:
        """`function`, run in this mode; the mode outside of it stays what it was."""
        state.grad_enabled, state.inference = self._before
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """True while operations are recorded in this thread."""
    return state.grad_enabled


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode` in this thread."""
    return state.inference
