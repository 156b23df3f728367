"""PyTorch's type promotion, done before an op: ops themselves see one type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import FLOAT, INTEGER, dtype, get_default_dtype, promote_types, result_type_of, scalar_dtype

from .base import Op, Operand

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

OPERANDS = (TensorBase, bool, int, float, np.generic, np.ndarray)
"""What arithmetic takes beside a tensor."""
_NUMBERS = frozenset((int, float))


def binary(op: Op, x: Operand, y: Operand) -> Tensor:
    """Run an elementwise op of two operands, in the type that PyTorch would use."""
    if isinstance(x, TensorBase):
        if isinstance(y, TensorBase):
            if x._spec.dtype is y._spec.dtype:
                return apply(op, x, y)
        elif type(y) in _NUMBERS and x._spec.dtype.category == FLOAT:
            return apply(op, x, y)
    return apply(op, *promote(op, x, y))


def binary_float(op: Op, x: Operand, y: Operand) -> Tensor:
    """As `binary`, for ops whose result is a float also where both operands are integers."""
    if isinstance(x, TensorBase) and (d := x._spec.dtype).category == FLOAT:
        if isinstance(y, TensorBase):
            if y._spec.dtype is d:
                return apply(op, x, y)
        elif type(y) in _NUMBERS:
            return apply(op, x, y)
    return apply(op, *promote_floats(op, x, y))


def unary_float(op: Op, x: Tensor) -> Tensor:
    """Run an op of one tensor whose result is a float also for integers."""
    if not isinstance(x, TensorBase):
        raise TypeError(f"{op.name} takes a tensor, got {type(x).__name__}; make one with gpunn.tensor(...)")
    return apply(op, x if x._spec.dtype.category == FLOAT else x.to(get_default_dtype()))


def to_float(x: Any) -> Any:
    """`x` itself if it is a float, else `x` in the default type."""
    if isinstance(x, TensorBase):
        return x if x._spec.dtype.category == FLOAT else x.to(get_default_dtype())  # type: ignore[attr-defined]
    return float(x)


def rounded_once(function: Callable[..., Tensor], *operands: Any) -> Tensor:
    """``function(*operands)``, in float32 where the result is in half precision.

    What is made of several ops would else be rounded after each of them, or overflow on the way to a result that half
    precision holds.
    """
    d = result_type(*operands)
    if d.category != FLOAT or d.itemsize != 2:
        return function(*operands)
    return function(*(x.float() if isinstance(x, TensorBase) else x for x in operands)).to(d)  # type: ignore[attr-defined]


def promote(op: Op | str, *operands: Operand) -> list[Any]:
    """The operands with every tensor in their common type; Python numbers stay numbers.

    Integers that an integer type does not hold keep their lowest bits, as in PyTorch, but where they are compared.

    Raises:
        TypeError: an operand is neither a tensor, an array nor a number.
    """
    checked = [operand(op, x) for x in operands]
    if not any(isinstance(x, TensorBase) for x in checked):
        from .creation import full

        checked[0] = full((), checked[0])
    common = result_type(*checked)
    if common.category == INTEGER and (op in _WRAPPING if isinstance(op, str) else getattr(op, "wraps", False)):
        checked = [x if isinstance(x, TensorBase) else wrapped(int(x), common) for x in checked]
    return [
        x.to(common) if isinstance(x, TensorBase) and x._spec.dtype is not common else x  # type: ignore[attr-defined]
        for x in checked
    ]


def promote_floats(op: Op | str, *operands: Operand) -> list[Any]:
    """As `promote`, but of integers alone in the default float type, which has values that no common integer type has.

    Raises:
        TypeError: as `promote`.
    """
    checked = [operand(op, x) for x in operands]
    if result_type(*checked).category != FLOAT:
        checked = [to_float(x) for x in checked]
    return [to_float(x) for x in promote(op, *checked)]


_WRAPPING = ("where", "gcd", "lcm", "<<", ">>")


def wrapped(value: int, d: dtype) -> int:
    """The number of an integer type that has the lowest bits of a number."""
    low = -(1 << (d.bits - 1)) if d.signed else 0
    return (value - low) % (1 << d.bits) + low


def held(value: float, d: dtype) -> int:
    """A number as an integer type holds it: the whole part of a float, the bits of a negative integer, as in PyTorch.

    Raises:
        RuntimeError: the type does not hold it, as none holds NaN.
    """
    if isinstance(value, int):
        kept = wrapped(value, d)
        fits = kept == value or (value < 0 and not d.signed and value >= -(1 << d.bits))
    else:
        low = -(1 << (d.bits - 1)) if d.signed else 0
        fits = low <= value <= low + (1 << d.bits) - 1
        kept = int(value) if fits else 0
    if not fits:
        raise RuntimeError(f"value {value} cannot be converted to type {d!r} without overflow")
    return kept


def result_type(*operands: Any) -> dtype:
    """The type that arithmetic on these tensors and numbers gives, by PyTorch's rules."""
    if all(isinstance(x, TensorBase) and x._spec.shape for x in operands):
        common = operands[0]._spec.dtype
        for x in operands[1:]:
            common = promote_types(common, x._spec.dtype)
        return common
    return result_type_of(
        [
            (x._spec.dtype, 2 if x._spec.shape else 1) if isinstance(x, TensorBase) else (scalar_dtype(x), 0)
            for x in operands
        ]
    )


def as_number(x: Any) -> Any:
    """A NumPy scalar as the Python number it holds: NumPy would take its type for that of the whole result."""
    return x.item() if isinstance(x, np.generic) else x


def operand(op: Op | str, x: Any) -> Any:
    """`x` as a tensor or a Python number.

    Raises:
        TypeError: it is neither, nor a NumPy or CuPy array.
    """
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (TensorBase, bool, int, float)):
        return x
    if isinstance(x, np.ndarray):
        from .construct import from_numpy

        return from_numpy(x)
    from .construct import from_gpu, on_gpu

    if on_gpu(x):
        return from_gpu(x)
    name = op if isinstance(op, str) else op.name
    raise TypeError(f"{name} takes tensors and numbers, got {type(x).__name__}; make a tensor with gpunn.tensor(...)")
