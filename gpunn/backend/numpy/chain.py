"""Chains of elementwise functions, in blocks that stay in the cache from the first function to the last.

The functions are the primitives themselves, so the bits are those of one primitive after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from . import elementwise
from .activation import activation, activation_backward
from .blocks import _blocks
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
    calls = _calls(tuple(steps))
    dtype = next(x.dtype for x in arrays if x.dtype != _BOOL)
    y = np.empty(shape, _BOOL if calls[-1][2] else dtype) if out is None else out
    if all(x.shape == shape and x.flags.c_contiguous for x in arrays):
        shape, target = (y.size,), y.reshape(-1)
        whole = [x.reshape(-1) if isinstance(x, _array) else x for x in inputs]
    else:
        target = y
        whole = [np.broadcast_to(x, shape) if isinstance(x, _array) else x for x in inputs]
    for block in _blocks(shape[0], prod(shape[1:]) * (len(arrays) + len(steps))):
        values = [x[block] if isinstance(x, _array) else x for x in whole]
        result = target[block]
        with scratch() as take:
            for function, operands, truths in calls[:-1]:
                made = take(result.shape, _BOOL if truths else dtype)
                function(*[values[v] for v in operands], out=made)
                values.append(made)
            function, operands, _ = calls[-1]
            function(*[values[v] for v in operands], out=result)
    return y


@lru_cache(maxsize=1024)
def _calls(steps: tuple[tuple[Any, ...], ...]) -> list[tuple[Callable[..., Any], tuple[int, ...], bool]]:
    """For each step its primitive, what it takes, and whether it makes booleans."""
    return [(_function(name), tuple(operands), name in _TRUTHS) for name, *operands in steps]


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
