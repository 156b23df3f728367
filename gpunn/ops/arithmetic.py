"""Arithmetic, element by element."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL, FLOAT, INTEGER

from .base import Operand
from .creation import zeros_like
from .elementwise import Elementwise
from .promote import as_number, binary, binary_float, promote, result_type, rounded_once, unary_float
from .view import clone

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Add(Elementwise):
    """z = x + y;  dx = dz,  dy = dz."""

    primitive = "add"

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz, dz


class Sub(Elementwise):
    """z = x - y;  dx = dz,  dy = -dz."""

    primitive = "subtract"

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz, -dz if needs[1] else None


class Mul(Elementwise):
    """z = x y;  dx = dz y,  dy = dz x."""

    primitive = "multiply"
    saved = (0, 1)
    saved_for = ((1,), (0,))

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz * y if needs[0] else None, dz * x if needs[1] else None


class Div(Elementwise):
    """z = x / y;  dx = dz / y,  dy = -dz x / y^2, computed as -dz ((x / y) / y): neither y^2 nor 1 / y overflows."""

    primitive = "divide"
    saved = (0, 1)
    saved_for = ((1,), (0, 1))

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz / y if needs[0] else None, -dz * (x / y / y) if needs[1] else None


class FloorDivide(Elementwise):
    """z = floor(x / y);  dx = 0,  dy = 0."""

    primitive = "floor_divide"

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        zero = zeros_like(dz)
        return zero, zero


class TruncDivide(Elementwise):
    """z = trunc(x / y);  dx = 0,  dy = 0."""

    def forward(self, backend: Any, x: Any, y: Any, out: Any = None) -> Any:
        return backend.trunc(backend.divide(x, y, out=out), out=out)

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        zero = zeros_like(dz)
        return zero, zero


class Remainder(Elementwise):
    """z = x - floor(x / y) y, with the sign of y;  dx = dz,  dy = -dz floor(x / y)."""

    primitive = "remainder"
    saved = (0, 1)
    saved_for = ((1,), (1,))

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz, -dz * floor_divide(x, y) if needs[1] else None


class Fmod(Elementwise):
    """z = x - trunc(x / y) y, with the sign of x;  dx = dz,  dy = -dz trunc(x / y)."""

    primitive = "fmod"
    saved = (0, 1)
    saved_for = ((1,), (1,))

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz, -dz * binary(TruncDivide(), x, y) if needs[1] else None


class Pow(Elementwise):
    """z = x^y;  dx = dz y x^(y-1),  dy = dz z ln x.

    At y = 0 dx is 0, whatever dz is, and at x = 0, y >= 0 dy is 0, as in PyTorch: the limits, where the formula has 0
    times infinity.
    """

    primitive = "power"
    wraps = False
    saved = (0, 1)
    saves_output = True
    output_for = (1,)

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        from .comparison import eq, ge, logical_and, where
        from .math import log

        dx = dy = None
        x_is_number, y_is_number = (not isinstance(v, TensorBase) for v in (x, y))
        if needs[0]:
            if y_is_number:
                dx = dz * (y * pow(x, y - 1)) if y != 0 else zeros_like(dz)
            else:
                dx = where(eq(y, 0), 0.0, dz * (y * pow(x, y - 1)))
        if needs[1]:
            if not x_is_number:
                at_zero = logical_and(eq(x, 0), ge(y, 0))
                dy = dz * where(at_zero, 0.0, z * log(where(at_zero, 1.0, x)))
            elif x == 0:
                dy = dz * where(ge(y, 0), 0.0, z * -math.inf)
            else:
                dy = dz * z * (math.log(x) if x > 0 else math.nan)
        return dx, dy


class Square(Elementwise):
    """y = x^2;  dx = 2 x dy."""

    primitive = "square"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (2 * x)


class Neg(Elementwise):
    """y = -x;  dx = -dy."""

    primitive = "negative"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return -dy


class Abs(Elementwise):
    """y = |x|;  dx = dy sign(x), 0 at 0."""

    primitive = "absolute"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * sign(x)


class Sign(Elementwise):
    """y = sign(x), which is -1, 0 or 1;  dx = 0."""

    primitive = "sign"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return zeros_like(dy)


class Reciprocal(Elementwise):
    """y = 1 / x;  dx = -dy y^2."""

    primitive = "reciprocal"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return -dy * y * y


class _Extremum(Elementwise, abstract=True):
    """The larger or smaller of two; where they are equal each gets half of the gradient, as in PyTorch."""

    saved = (0, 1)

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        from .comparison import eq, gt, lt, where

        less, more = (lt, gt) if isinstance(self, Maximum) else (gt, lt)
        share = dz * (1 - eq(x, y).to(dz.dtype) * 0.5)  # all beside NaN, as in PyTorch
        return tuple(where(relation(x, y), 0.0, share) if need else None for relation, need in zip((less, more), needs))


class Maximum(_Extremum):
    """z = max(x, y), NaN if either is;  dx = dz [x > y] + dz/2 [x = y],  dy = dz [y > x] + dz/2 [x = y]."""

    primitive = "maximum"


class Minimum(_Extremum):
    """z = min(x, y), NaN if either is;  dx = dz [x < y] + dz/2 [x = y],  dy = dz [y < x] + dz/2 [x = y]."""

    primitive = "minimum"


_ROOTS = (0.5, -0.5)
ADD, SUB, MUL, DIV, POW, NEG = Add(), Sub(), Mul(), Div(), Pow(), Neg()


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """input + alpha other, broadcast and promoted as in PyTorch."""
    return binary(ADD, input, other if alpha == 1 else mul(other, alpha))


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """input - alpha other.

    Raises:
        RuntimeError: one of them is boolean; ``~`` or ``logical_xor`` is probably meant.
    """
    other = other if alpha == 1 else mul(other, alpha)
    if _is_bool(input) or _is_bool(other):
        raise RuntimeError("sub: no booleans; use ~ or logical_xor, or convert with .to(gpunn.int64)")
    return binary(SUB, input, other)


def rsub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """other - alpha input."""
    return sub(other, input, alpha=alpha)


def mul(input: Operand, other: Operand) -> Tensor:
    """input * other."""
    return binary(MUL, input, other)


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other as floats; ``rounding_mode="floor"`` or ``"trunc"`` rounds, and keeps integers integers."""
    if rounding_mode is None:
        return binary_float(DIV, input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        x, y = promote("div", input, other)
        if result_type(x, y).is_floating_point:
            return binary(TruncDivide(), x, y)
        return floor_divide(sub(x, fmod(x, y)), y)
    raise RuntimeError(f"div: rounding_mode is None, 'trunc' or 'floor', got {rounding_mode!r}")


def rdiv(input: Operand, other: Operand) -> Tensor:
    """other / input."""
    return div(other, input)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """floor(input / other)."""
    _no_bool("floor_divide", input, other)
    return binary(FloorDivide(), input, other)


def rfloor_divide(input: Operand, other: Operand) -> Tensor:
    """floor(other / input)."""
    return floor_divide(other, input)


def remainder(input: Operand, other: Operand) -> Tensor:
    """input modulo other, with the sign of other, as Python's ``%``."""
    _no_bool("remainder", input, other)
    return binary(Remainder(), input, other)


def rremainder(input: Operand, other: Operand) -> Tensor:
    """other modulo input."""
    return remainder(other, input)


def fmod(input: Operand, other: Operand) -> Tensor:
    """input modulo other, with the sign of input, as C's fmod."""
    _no_bool("fmod", input, other)
    return binary(Fmod(), input, other)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """input to the power of exponent.

    Raises:
        RuntimeError: an integer to a negative integer power.
    """
    exponent = as_number(exponent)
    if type(exponent) in (int, float) and isinstance(input, TensorBase):
        category = input._spec.dtype.category
        if exponent == 2 and (category == FLOAT or (category == INTEGER and isinstance(exponent, int))):
            return apply(Square(), input)
        if exponent in _ROOTS and category == FLOAT:  # not C's pow, for -0 and -inf: as in PyTorch
            from .math import rsqrt, sqrt

            return sqrt(input) if exponent > 0 else rsqrt(input)
        if category != FLOAT and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("pow: Integers to negative integer powers are not allowed; convert with .float() first")
    _no_bool("pow", input, exponent)
    return binary(POW, input, exponent)


def rpow(input: Operand, other: Operand) -> Tensor:
    """other to the power of input."""
    return pow(other, input)


def square(input: Tensor) -> Tensor:
    """input squared."""
    return pow(input, 2)


def neg(input: Tensor) -> Tensor:
    """The negative of input."""
    _no_bool("neg", input)
    return apply(NEG, input)


def abs(input: Tensor) -> Tensor:
    """The absolute value."""
    _no_bool("abs", input)
    return apply(Abs(), input)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN."""
    return apply(Sign(), input) if input.dtype.category != BOOL else clone(input)


def reciprocal(input: Tensor) -> Tensor:
    """1 / input."""
    return unary_float(Reciprocal(), input)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger, element by element."""
    return binary(Maximum(), input, other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller, element by element."""
    return binary(Minimum(), input, other)


def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """input + weight (end - input); from the nearer end, so that weight 1 gives `end` exactly, as in PyTorch."""
    from .comparison import where

    def by_number(a: Tensor, b: Tensor, w: Any) -> Tensor:
        return a + (b - a) * w if builtins.abs(w) < 0.5 else b - (b - a) * (1 - w)

    def by_tensor(a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        return where(abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))

    return rounded_once(by_tensor if isinstance(weight, TensorBase) else by_number, input, end, weight)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 tensor2."""
    return rounded_once(lambda x, a, b: x + (a if value == 1 else a * value) * b, input, tensor1, tensor2)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 / tensor2."""
    return rounded_once(lambda x, a, b: x + (a if value == 1 else a * value) / b, input, tensor1, tensor2)


def _is_bool(x: Any) -> bool:
    return x._spec.dtype.category == BOOL if isinstance(x, TensorBase) else isinstance(x, bool)


def _no_bool(name: str, *operands: Any) -> None:
    for x in operands:
        if not _is_bool(x):
            return
    raise RuntimeError(f"{name}: not for booleans alone; use logical_xor or ~, or convert with .to(gpunn.int64)")
