"""Nested structures taken apart into named arrays and JSON, and put together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpunn.backend.memory_format import in_last_order
from gpunn.backend.spec import Size, row_major
from gpunn.tensor import Tensor

Array = np.ndarray[Any, Any]

DEPTH = 100
"""How deeply structures may be nested: a reader of JSON gives up some three times as deep."""

_LARGEST = 1 << 48
"""The largest stride that is read; that of an axis of size 1 may be any."""
EXPECTED = "expected dicts, lists, tuples, int, float, bool, str, None, tensors and NumPy arrays"


def take_apart(value: Any) -> tuple[Any, dict[str, Array]]:
    """A structure as what JSON can hold, and its arrays by name.

    An array's name is its path, "optimizer.state.0.exp_avg": of a state_dict, its key. JSON's own types stand for
    themselves; the rest is an object with one entry:

        {"tensor": name}  {"array": name}  {"tuple": [...]}  {"dict": [[key, value], ...]}  {"float": "nan"}

    Arrays are row-major. A tensor whose elements lie in another order, without gaps, is {"strided": [name, strides]},
    with its strides in elements.

    Raises TypeError, with the path, for anything else; ValueError for a structure that contains itself, or is nested
    more than `DEPTH` deep.
    """
    arrays: dict[str, Array] = {}
    inside: set[int] = set()

    def name_of(path: tuple[Any, ...]) -> str:
        name = ".".join(map(str, path)) or "value"
        while name in arrays or name == "__metadata__":  # "a.b" may be one key or two; safetensors keeps the other
            name += "'"
        return name

    def encode(x: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(x, Tensor):
            array = x.detach().cpu().numpy()
            arrays[name := name_of(path)] = _plain(array)
            return {"strided": [name, list(steps)]} if (steps := own_strides(array)) else {"tensor": name}
        if isinstance(x, np.ndarray):
            if x.dtype.kind in "OUSMmV" and x.dtype.name != "bfloat16":
                raise TypeError(f"{_place(path)} is a NumPy array of {x.dtype}; expected numbers or bools")
            arrays[name := name_of(path)] = _plain(x)
            return {"array": name}
        if x is None or type(x) in (bool, int, str):
            return x
        if type(x) is float:
            return x if math.isfinite(x) else {"float": repr(x)}
        if type(x) is Size:
            x = tuple(x)
        if type(x) not in (list, tuple) and not isinstance(x, dict):
            raise TypeError(f"{_place(path)} is {_described(x)}{_instead(x)}")
        if id(x) in inside:
            raise ValueError(f"{_place(path)} contains itself, which a file can't hold")
        if len(path) >= DEPTH:
            raise ValueError(f"{_place(path[:3])}... is nested more than {DEPTH} deep")
        inside.add(id(x))
        result: Any
        if isinstance(x, dict):
            result = {"dict": [[_key(key, path), encode(entry, (*path, key))] for key, entry in x.items()]}
        else:
            result = [encode(entry, (*path, i)) for i, entry in enumerate(x)]
        inside.discard(id(x))
        return {"tuple": result} if type(x) is tuple else result

    return encode(value, ()), arrays


def put_together(tree: Any, arrays: Mapping[str, Array], tensor: Callable[[Array], Tensor]) -> Any:
    """The structure that `take_apart` took apart; `tensor` makes tensors of arrays.

    Raises ValueError or KeyError for JSON that no structure was taken apart to: it names each array once at most.
    """
    left = dict(arrays)

    def decode(tree: Any, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError(f"the structure is nested more than {DEPTH} deep")
        if isinstance(tree, list):
            return [decode(entry, depth + 1) for entry in tree]
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        if kind == "tensor":
            return tensor(left.pop(content))
        if kind == "strided":
            name, steps = content
            return tensor(in_strides(left.pop(name), steps))
        if kind == "array":
            return left.pop(content)
        if kind == "tuple":
            return tuple(decode(entry, depth + 1) for entry in content)
        if kind == "dict":
            return {_key(key, ()): decode(entry, depth + 1) for key, entry in content}
        if kind == "float":
            return float(content)
        raise ValueError(f"the structure holds an entry of the unknown kind {kind!r}")

    return decode(tree, 0)


def own_strides(array: Array) -> tuple[int, ...] | None:
    """The strides, in elements, of an array whose elements lie without gaps, but not row-major; else None."""
    steps = tuple(s // array.itemsize for s in array.strides)
    if array.flags.c_contiguous:  # and channels last as well, if the strides of axes of size 1 say so
        return steps if in_last_order(array.shape, steps) and steps != row_major(array.shape) else None
    return steps if order_of(array.shape, steps) else None


def in_strides(array: Array, steps: Any) -> Array:
    """A copy of an array, with elements that lie as `own_strides` says.

    Raises:
        ValueError: there would be gaps, or these are no strides.
    """
    if not isinstance(steps, list) or len(steps) != array.ndim or any(type(s) is not int for s in steps):
        raise ValueError(f"strides of an array of {array.ndim} dimensions are said to be {steps!r}")
    order = None if not all(0 <= s <= _LARGEST for s in steps) else order_of(array.shape, steps)
    if order is None:
        raise ValueError(f"with the strides {list(steps)} an array of the shape {list(array.shape)} would have gaps")
    base = np.ascontiguousarray(array.transpose(order))
    return np.lib.stride_tricks.as_strided(base, array.shape, [s * array.itemsize for s in steps])


def order_of(shape: Sequence[int], steps: Sequence[int]) -> list[int] | None:
    """The axes from the one of the largest stride on, if these strides leave no gaps; else None."""
    order = sorted(range(len(shape)), key=lambda d: (-steps[d], shape[d] == 1))
    expected = 1
    for d in reversed(order):
        if shape[d] != 1:
            if steps[d] != expected:
                return None
            expected *= shape[d]
    return order if expected else None


def _key(key: Any, path: tuple[Any, ...]) -> Any:
    if type(key) not in (str, int):
        raise TypeError(f"{_place(path)} has the key {key!r}, {_described(key)}; expected str or int")
    return key


def _plain(array: Array) -> Array:
    """In the byte order of this machine and without gaps."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _place(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path)) if path else "the object"


def _instead(x: Any) -> str:
    """What to save in the place of something that a file can't hold."""
    if not hasattr(x, "state_dict"):
        return f"; {EXPECTED}"
    name = "optimizer" if hasattr(x, "param_groups") else "model"
    return (
        ", whose class a file can't hold, as reading it would run code. Save its state by "
        f"gpunn.save({name}.state_dict(), f), and later make it anew and call {name}.load_state_dict(gpunn.load(f))"
    )


def _described(x: Any) -> str:
    kind = type(x)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(x, np.generic):
        return f"a {name} (write x.item() for a Python number, np.asarray(x) for an array)"
    return f"a {name}"
