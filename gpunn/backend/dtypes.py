"""Data types and PyTorch's rules for promoting them."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

BOOL, INTEGER, FLOAT = 0, 1, 2


class dtype:
    """The type of a tensor's elements, such as ``gpunn.float32``.

    There is one object per type, so types are compared with ``is`` or ``==``.

    Attributes:
        name: ``"float32"``, ...
        itemsize: bytes per element.
        numpy: the NumPy type that stores it (bfloat16 through ml_dtypes).
        category: 0 boolean, 1 integer, 2 floating point; the order in which PyTorch promotes.
    """

    __slots__ = ("bits", "category", "itemsize", "name", "numpy", "signed")

    def __init__(self, name: str, numpy_type: Any, category: int, signed: bool = True):
        self.name = name
        self.numpy = np.dtype(numpy_type)
        self.itemsize = self.numpy.itemsize
        self.bits = 8 * self.itemsize
        self.category = category
        self.signed = signed

    @property
    def is_floating_point(self) -> bool:
        """True for float16, bfloat16, float32 and float64."""
        return self.category == FLOAT

    @property
    def is_signed(self) -> bool:
        """False for bool and uint8."""
        return self.signed

    def __repr__(self) -> str:
        return f"gpunn.{self.name}"

    def __reduce__(self) -> Any:
        return as_dtype, (self.name,)


bool_ = dtype("bool", np.bool_, BOOL, signed=False)
uint8 = dtype("uint8", np.uint8, INTEGER, signed=False)
int8 = dtype("int8", np.int8, INTEGER)
int16 = dtype("int16", np.int16, INTEGER)
int32 = dtype("int32", np.int32, INTEGER)
int64 = dtype("int64", np.int64, INTEGER)
float16 = dtype("float16", np.float16, FLOAT)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT)
float32 = dtype("float32", np.float32, FLOAT)
float64 = dtype("float64", np.float64, FLOAT)

DTYPES = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
_BY_NUMPY = {d.numpy: d for d in DTYPES}
_BY_NAME = {d.name: d for d in DTYPES} | {
    "float": float32,
    "double": float64,
    "half": float16,
    "short": int16,
    "int": int32,
    "long": int64,
}

_default = float32


def get_default_dtype() -> dtype:
    """The type of tensors made from Python floats (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the type of tensors made from Python floats.

    Raises:
        TypeError: ``d`` is not a floating point type.
    """
    global _default
    d = as_dtype(d)
    if not d.is_floating_point:
        raise TypeError(f"set_default_dtype takes a floating point type, got {d!r}")
    _default = d


def as_dtype(obj: Any) -> dtype:
    """The gpunn type for a gpunn type, a NumPy type, a Python type or a name.

    Raises:
        TypeError: nothing of that name or kind exists here.
    """
    if isinstance(obj, dtype):
        return obj
    if obj is float:
        return float64
    if obj is int:
        return int64
    if obj is bool:
        return bool_
    if isinstance(obj, str) and obj in _BY_NAME:
        return _BY_NAME[obj]
    try:
        if obj is None:  # which NumPy takes for float64
            raise TypeError
        return _BY_NUMPY[np.dtype(obj)]
    except (KeyError, TypeError):
        names = ", ".join(d.name for d in DTYPES)
        raise TypeError(f"{obj!r} is no type that gpunn has; it has {names}") from None


def scalar_dtype(value: Any) -> dtype:
    """The type that a Python number takes by itself."""
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else _default


@cache
def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that holds both, by PyTorch's table."""
    a, b = type1, type2
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.category == FLOAT:
        if a.bits == b.bits:  # float16 with bfloat16
            return float32
        return a if a.bits > b.bits else b
    if a.signed == b.signed:
        return a if a.bits > b.bits else b
    unsigned, signed = (b, a) if a.signed else (a, b)
    return signed if signed.bits > unsigned.bits else {8: int16, 16: int32}.get(unsigned.bits, int64)


def result_type_of(operands: list[tuple[dtype, int]]) -> dtype:
    """PyTorch's result type for operands given as ``(dtype, rank)``.

    The rank is 2 for tensors with dimensions, 1 for 0-d tensors and 0 for Python numbers: an operand of a lower rank
    decides the type only where its category is higher. A Python float beside integers gives the default type.
    """
    result: dtype | None = None
    for rank in (2, 1, 0):
        here: dtype | None = None
        for d, r in operands:
            if r == rank:
                here = d if here is None else promote_types(here, d)
        if here is not None and (result is None or here.category > result.category):
            result = here
    assert result is not None
    return result
