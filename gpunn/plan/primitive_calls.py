"""The primitives that an op calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .graph import Compute

PrimitiveCall = tuple[Callable[..., Any], list[Any], dict[str, Any]]
"""A function with its arguments."""


def primitive_calls(backend: Any, node: Compute, arrays: Sequence[Any], outs: tuple[Any, ...]) -> list[PrimitiveCall]:
    """The primitives that an op calls, written down by a backend that does not compute.

    An op that makes arrays of its own between two primitives is called as a whole.
    """
    out = outs[0] if node.single else outs
    recorder = _Recorder(backend)
    try:
        node.op.forward(recorder, *arrays, out=out)
        return recorder.calls
    except _NotRecorded:
        return [(node.op.forward, [backend, *arrays], {"out": out})]


class _NotRecorded(Exception):
    """The op computes something without a place to put it."""


class _Recorder:
    """In the place of a backend: writes down what an op calls."""

    def __init__(self, backend: Any):
        self._backend = backend
        self.calls: list[PrimitiveCall] = []

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(self._backend, name)

        def record(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is None or any(isinstance(a, (list, tuple)) and any(hasattr(e, "shape") for e in a) for a in args):
                raise _NotRecorded
            self.calls.append((primitive, list(args), {**kwargs, "out": out}))
            return out

        return record
