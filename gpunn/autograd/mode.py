"""Whether operations are recorded for differentiation: per thread, as in PyTorch."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class _State(threading.local):
    grad_enabled = True
    inference = False
    tracer: Any = None
    """While a step is traced: called as ``tracer(op, operands, spec)`` in the place of computing."""

    def __init__(self) -> None:
        # Infinities and NaN are results like any other, as in PyTorch: NumPy's warnings are off within an op, and only
        # there. Running in a context of our own costs a tenth of what np.errstate does.
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.quietly: Callable[..., Any] = context.run


state = _State()


class _Mode:
    """A context manager that is also a decorator, and restores what it found."""

    def _enter(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._stack: list[tuple[bool, bool]]
        if not hasattr(self, "_stack"):
            self._stack = []
        self._stack.append((state.grad_enabled, state.inference))
        self._enter()

    def __exit__(self, *exc: object) -> None:
        state.grad_enabled, state.inference = self._stack.pop()

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_Mode):
    """Nothing done inside is recorded: ``with gpunn.no_grad(): ...``, or as a decorator."""

    def _enter(self) -> None:
        state.grad_enabled = False


class enable_grad(_Mode):
    """What is done inside is recorded, also within `no_grad`."""

    def _enter(self) -> None:
        state.grad_enabled = True


class inference_mode(_Mode):
    """As `no_grad`; tensors made inside can also not be saved for a gradient later."""

    def __init__(self, mode: bool = True):
        self.mode = mode

    def _enter(self) -> None:
        state.inference = self.mode
        state.grad_enabled = not self.mode


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once when called, and until the end of the block in a ``with``."""

    def __init__(self, mode: bool):
        self._stack = [(state.grad_enabled, state.inference)]
        self.mode = mode
        state.grad_enabled = mode

    def __enter__(self) -> None:
        state.grad_enabled = self.mode

    def _enter(self) -> None:
        state.grad_enabled = self.mode


def is_grad_enabled() -> bool:
    """True while operations are recorded in this thread."""
    return state.grad_enabled


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode` in this thread."""
    return state.inference
