"""Chains of elementwise functions, in blocks that stay in the cache from the first function to the last.

The functions are the primitives themselves, so the bits are those of one primitive after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import elementwise
from .activation import activation, activation_backward
from .blocks import _BLOCK
from .erf import erf
from .workspace import scratch

_BOOL = np.dtype(np.bool_)
_TRUTHS = {
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite"),
    *("logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert"),
}
"""The functions whose results are booleans."""

_array = np.ndarray


def chain(steps: Sequence[tuple[Any, ...]], inputs: Sequence[Any], out: Any = None) -> Any:
    """Several elementwise functions, each of inputs and of results of earlier ones; the last one's result.

    Values are numbered: first the inputs, then what each step makes. A step is the name of a function and the numbers
    of the values that it takes, see `gpunn.ops.chain`. Inputs are arrays of one float type, arrays of booleans, and
    Python numbers; arrays are broadcast.
    """
    arrays = [x for x in inputs if isinstance(x, _array)]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    calls = _calls(tuple(steps), len(inputs))
    dtype = next(x.dtype for x in arrays if x.dtype != _BOOL)
    y = np.empty(shape, _BOOL if calls[-1].truths else dtype) if out is None else out
    if all(x.shape == shape and x.flags.c_contiguous for x in arrays):
        shape, target = (y.size,), y.reshape(-1)
        whole = [x.reshape(-1) if isinstance(x, _array) else x for x in inputs]
    else:
        target = y
        whole = [np.broadcast_to(x, shape) if isinstance(x, _array) else x for x in inputs]
    for block in _tiles(shape):
        values = [x[block] if isinstance(x, _array) else x for x in whole]
        result = target[block]
        with scratch() as take:
            places: dict[int, Any] = {}
            for call in calls:
                if call.place is None:
                    made = result
                elif call.place in places:
                    made = places[call.place]
                else:
                    made = places[call.place] = take(result.shape, _BOOL if call.truths else dtype)
                call.function(*[values[v] for v in call.operands], out=made)
                values.append(made)
    return y


class _Call(NamedTuple):
    """A step: its primitive, what it takes, whether it makes booleans, and where; None is the result."""

    function: Callable[..., Any]
    operands: tuple[int, ...]
    truths: bool
    place: int | None


@lru_cache(maxsize=1024)
def _calls(steps: tuple[tuple[Any, ...], ...], count: int) -> list[_Call]:
    """The steps of a chain of `count` inputs. What nobody reads later leaves its place to a later step."""
    last = {v: k for k, (_, *operands) in enumerate(steps) for v in operands}
    free: dict[bool, list[int]] = {True: [], False: []}
    calls: list[_Call] = []
    for k, (name, *operands) in enumerate(steps):
        truths = name in _TRUTHS
        place = None if k == len(steps) - 1 else free[truths].pop() if free[truths] else len(calls)
        calls.append(_Call(_function(name), tuple(operands), truths, place))
        for v in {v for v in operands if v >= count and last[v] == k}:
            made = calls[v - count]
            free[made.truths].append(made.place)
    return calls


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Indices that cut an array of this shape into blocks."""
    size = prod(shape[1:])
    if size <= _BLOCK:
        step = max(1, _BLOCK // max(1, size))
        for start in range(0, shape[0], step):
            yield (slice(start, start + step),)
    else:
        for i in range(shape[0]):
            for block in _tiles(shape[1:]):
                yield (i, *block)


def _function(name: str) -> Callable[..., Any]:
    name, _, kind = name.partition(":")
    if name == "activation":
        return lambda x, parameter, out: activation(x, kind, parameter, out=out)
    if kind:
        from_output = name.endswith("from_output")
        return lambda dy, s, parameter, out: activation_backward(dy, s, kind, parameter, from_output, out=out)
    if name == "cast":
        return lambda x, out: elementwise.cast(x, out.dtype, out=out)
    function: Callable[..., Any] = erf if name == "erf" else getattr(elementwise, name)
    return function
