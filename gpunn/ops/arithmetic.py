"""Arithmetic, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL

from .base import Operand
from .elementwise import Elementwise
from .promote import binary, binary_float, promote, result_type, unary_float

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

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz * y if needs[0] else None, dz * x if needs[1] else None


class Div(Elementwise):
    """z = x / y;  dx = dz / y,  dy = -dz x / y^2, computed as -(dz / y) (x / y), which overflows later."""

    primitive = "divide"
    saved = (0, 1)

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        dx = dz / y
        return dx, -dx * (x / y) if needs[1] else None


class FloorDivide(Elementwise):
    """z = floor(x / y); constant almost everywhere."""

    primitive = "floor_divide"
    differentiable = False


class Remainder(Elementwise):
    """z = x - floor(x / y) y, with the sign of y;  dx = dz,  dy = -dz floor(x / y)."""

    primitive = "remainder"
    saved = (0, 1)

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        return dz, -dz * floor_divide(x, y) if needs[1] else None


class Pow(Elementwise):
    """z = x^y;  dx = dz y x^(y-1),  dy = dz z ln x.

    At y = 0 dx is 0, and at x = 0, y >= 0 dy is 0, as in PyTorch: the limits, where the formula has 0 times infinity.
    """

    primitive = "power"
    saved = (0, 1)
    saves_output = True

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        from .comparison import eq, ge, logical_and, where
        from .math import log

        dx = dy = None
        if needs[0]:
            if isinstance(y, TensorBase):
                dx = dz * where(eq(y, 0), 0.0, y * pow(x, y - 1))
            else:
                dx = dz * (y * pow(x, y - 1)) if y != 0 else dz * 0
        if needs[1]:
            if isinstance(x, TensorBase):
                at_zero = logical_and(eq(x, 0), ge(y, 0))
                dy = dz * where(at_zero, 0.0, z * log(where(at_zero, 1.0, x)))
            else:
                import math

                dy = dz * z * (math.log(x) if x > 0 else 0.0 if x == 0 else math.nan)
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
    """y = -1, 0 or 1; its gradient is 0."""

    primitive = "sign"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * 0


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
        from .comparison import eq, gt, lt

        first, second = (gt, lt) if isinstance(self, Maximum) else (lt, gt)
        half = dz * (eq(x, y).to(dz.dtype) * 0.5)
        return dz * first(x, y) + half if needs[0] else None, dz * second(x, y) + half if needs[1] else None


class Maximum(_Extremum):
    """z = max(x, y), NaN where either is;  dx = dz [x > y] + dz/2 [x = y], dy likewise."""

    primitive = "maximum"


class Minimum(_Extremum):
    """z = min(x, y), NaN where either is;  dx = dz [x < y] + dz/2 [x = y], dy likewise."""

    primitive = "minimum"


@dataclass(frozen=True)
class Round(Elementwise):
    """y = x rounded: ``"floor"``, ``"ceil"``, ``"trunc"``, or ``"rint"`` (to nearest, halves to even); dx = 0."""

    mode: str

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.mode)(x, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * 0


ADD, SUB, MUL, DIV, POW, NEG = Add(), Sub(), Mul(), Div(), Pow(), Neg()


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """input + alpha other, broadcast and promoted as in PyTorch."""
    return binary(ADD, input, other if alpha == 1 else mul(other, alpha))


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """input - alpha other.

    Raises:
        RuntimeError: both are boolean; ``logical_xor`` is probably meant.
    """
    other = other if alpha == 1 else mul(other, alpha)
    _no_bool("sub", input, other)
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
        exact = binary_float(DIV, input, other)
        return trunc(exact).to(result_type(*promote("div", input, other)))
    raise RuntimeError(f"div: rounding_mode is None, 'trunc' or 'floor', got {rounding_mode!r}")


def rdiv(input: Operand, other: Operand) -> Tensor:
    """other / input."""
    return div(other, input)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """floor(input / other)."""
    return binary(FloorDivide(), input, other)


def rfloor_divide(input: Operand, other: Operand) -> Tensor:
    """floor(other / input)."""
    return floor_divide(other, input)


def remainder(input: Operand, other: Operand) -> Tensor:
    """input modulo other, with the sign of other, as Python's ``%``."""
    return binary(Remainder(), input, other)


def rremainder(input: Operand, other: Operand) -> Tensor:
    """other modulo input."""
    return remainder(other, input)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """input to the power of exponent.

    Raises:
        RuntimeError: an integer to a negative integer power.
    """
    if isinstance(exponent, (int, float)) and not isinstance(exponent, bool) and isinstance(input, TensorBase):
        if exponent == 2 and input._spec.dtype.category != BOOL:
            return apply(Square(), input)
        if exponent < 0 and isinstance(exponent, int) and not input._spec.dtype.is_floating_point:
            raise RuntimeError("pow: integers to negative integer powers are not integers; convert with .float() first")
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
    return apply(Abs(), input)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return apply(Sign(), input)


def reciprocal(input: Tensor) -> Tensor:
    """1 / input."""
    return unary_float(Reciprocal(), input)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger, element by element."""
    return binary(Maximum(), input, other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller, element by element."""
    return binary(Minimum(), input, other)


def floor(input: Tensor) -> Tensor:
    """The largest integer that is not larger."""
    return _round("floor", input)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not smaller."""
    return _round("ceil", input)


def trunc(input: Tensor) -> Tensor:
    """The integer part."""
    return _round("trunc", input)


def round(input: Tensor) -> Tensor:
    """The nearest integer, halves to the even one."""
    return _round("rint", input)


def _round(mode: str, x: Any) -> Tensor:
    return apply(Round(mode), x) if x.dtype.is_floating_point else x


def _no_bool(name: str, *operands: Any) -> None:
    def is_bool(x: Any) -> bool:
        return x._spec.dtype.category == BOOL if isinstance(x, TensorBase) else isinstance(x, bool)

    if all(map(is_bool, operands)):
        raise RuntimeError(f"{name}: there is no difference of booleans; use logical_xor, ~ or .to(gpunn.int64)")
