"""Comparison, logic and choice, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ml_dtypes

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL
from gpunn.backend.spec import Spec

from .base import Operand, frozen
from .elementwise import Elementwise, Predicate
from .promote import as_number, binary, promote
from .view import clone

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Compare(Predicate):
    """z = x ? y, for one of ``equal, not_equal, less, less_equal, greater, greater_equal``, as bool."""

    relation: str

    def forward(self, backend: Any, x: Any, y: Any, out: Any = None) -> Any:
        return getattr(backend, self.relation)(x, y, out=out)


@frozen
class Logical(Predicate):
    """z = x ? y, for ``logical_and``, ``logical_or`` or ``logical_xor`` of what is not 0, as bool."""

    operation: str

    def forward(self, backend: Any, x: Any, y: Any, out: Any = None) -> Any:
        return getattr(backend, self.operation)(x, y, out=out)


class LogicalNot(Predicate):
    """y = not x, as bool."""

    primitive = "logical_not"


@frozen
class Bitwise(Elementwise):
    """z = x ? y, for ``bitwise_and``, ``bitwise_or`` or ``bitwise_xor`` of the bits of integers, or of booleans."""

    operation: str
    differentiable = False

    def forward(self, backend: Any, x: Any, y: Any, out: Any = None) -> Any:
        return getattr(backend, self.operation)(x, y, out=out)


class Invert(Elementwise):
    """y = ~x, every bit flipped."""

    primitive = "invert"
    differentiable = False


@frozen
class Test(Predicate):
    """y = whether x is ``isnan``, ``isinf`` or ``isfinite``."""

    property: str

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.property)(x, out=out)


class Where(Elementwise):
    """z = x if c else y;  dx = dz if c else 0,  dy = 0 if c else dz."""

    primitive = "where"
    saved = (0,)

    def shape(self, *specs: Any) -> Spec:
        result = super().shape(*specs)
        typed = next((s for s in specs[1:] if isinstance(s, Spec)), None)
        return result if typed is None else result.like(dtype=typed.dtype)

    def vjp(self, needs: Any, dz: Any, z: Any, c: Any, x: Any, y: Any) -> Any:
        return None, where(c, dz, 0) if needs[1] else None, where(c, 0, dz) if needs[2] else None


@frozen
class Clamp(Elementwise):
    """y = min(max(x, low), high);  dx = dy if low <= x <= high else 0."""

    low: float | None
    high: float | None
    saved = (0,)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.clip(x, self.low, self.high, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return where(_within(x, self.low, self.high), dy, 0)


def eq(input: Operand, other: Operand) -> Tensor:
    """input == other, as bool."""
    return binary(Compare("equal"), input, other)


def ne(input: Operand, other: Operand) -> Tensor:
    """input != other, as bool."""
    return binary(Compare("not_equal"), input, other)


def lt(input: Operand, other: Operand) -> Tensor:
    """input < other, as bool."""
    return binary(Compare("less"), input, other)


def le(input: Operand, other: Operand) -> Tensor:
    """input <= other, as bool."""
    return binary(Compare("less_equal"), input, other)


def gt(input: Operand, other: Operand) -> Tensor:
    """input > other, as bool."""
    return binary(Compare("greater"), input, other)


def ge(input: Operand, other: Operand) -> Tensor:
    """input >= other, as bool."""
    return binary(Compare("greater_equal"), input, other)


def logical_and(input: Operand, other: Operand) -> Tensor:
    """True where both are not 0."""
    return binary(Logical("logical_and"), input, other)


def logical_or(input: Operand, other: Operand) -> Tensor:
    """True where either is not 0."""
    return binary(Logical("logical_or"), input, other)


def logical_xor(input: Operand, other: Operand) -> Tensor:
    """True where exactly one is not 0."""
    return binary(Logical("logical_xor"), input, other)


def logical_not(input: Tensor) -> Tensor:
    """True where input is 0."""
    return apply(LogicalNot(), input)


def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """input & other for integers and booleans."""
    return binary(Bitwise("bitwise_and"), *_no_floats("&", input, other))


def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """input | other for integers and booleans."""
    return binary(Bitwise("bitwise_or"), *_no_floats("|", input, other))


def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """input ^ other for integers and booleans."""
    return binary(Bitwise("bitwise_xor"), *_no_floats("^", input, other))


def bitwise_not(input: Tensor) -> Tensor:
    """~input for integers and booleans."""
    if input.dtype.is_floating_point:
        raise TypeError("~ (operator.invert) is only implemented on integers and booleans")
    return apply(Invert(), input)


def isnan(input: Tensor) -> Tensor:
    """True where input is not a number."""
    return apply(Test("isnan"), input)


def isinf(input: Tensor) -> Tensor:
    """True where input is infinite."""
    return apply(Test("isinf"), input)


def isfinite(input: Tensor) -> Tensor:
    """True where input is neither NaN nor infinite."""
    return apply(Test("isfinite"), input)


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """input where condition is True, else other; the two are promoted to one type.

    Raises:
        RuntimeError: condition is not boolean.
    """
    if condition.dtype.category != BOOL:
        raise RuntimeError(f"where: the condition must be bool, got {condition.dtype!r}; compare it with something")
    x, y = promote("where", input, other)
    if not isinstance(x, TensorBase) and not isinstance(y, TensorBase):
        from .creation import full

        x = full((), x, device=condition.device)
        x, y = promote("where", x, y)
    return apply(Where(), condition, x, y)


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """input limited to [min, max]; the bounds are numbers or tensors.

    Where min is larger than max the result is max. A tensor that bounds an element gets its gradient. As in PyTorch no
    one gets that of NaN, nor that of an element below a min that is max as well.

    Raises:
        RuntimeError: neither bound is given.
    """
    if min is None and max is None:
        raise RuntimeError("clamp: give min, max or both")
    low, high = (as_number(b) for b in (min, max))
    if isinstance(low, TensorBase) or isinstance(high, TensorBase):
        return _clamp_by_tensors(input, low, high)
    given = [b for b in (low, high) if b is not None]
    return apply(Clamp(low, high), promote("clamp", input, *given)[0])


def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """input, but not less than min."""
    return clamp(input, min, None)


def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """input, but not more than max."""
    return clamp(input, None, max)


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with finite numbers for NaN (0) and the infinities (the largest and smallest that the type holds)."""
    if not input.dtype.is_floating_point:
        return clone(input)
    info = ml_dtypes.finfo(input.dtype.numpy)
    x = where(isnan(input), 0.0 if nan is None else nan, input)
    x = where(eq(input, math.inf), float(info.max) if posinf is None else posinf, x)
    return where(eq(input, -math.inf), float(info.min) if neginf is None else neginf, x)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| <= atol + rtol |other|, or both are the same infinity, or NaN with `equal_nan`.

    Raises:
        RuntimeError: the types differ, or a tolerance is negative.
    """
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol are 0 or more, got {rtol} and {atol}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"isclose: {input._spec!r} did not match {other._spec!r}; convert one with .to(dtype)")
    close = eq(input, other)
    if equal_nan:
        close = close | (isnan(input) & isnan(other))
    if not input.dtype.is_floating_point:
        input, other = input.double(), other.double()
    difference = (input - other).abs()
    return close | (isfinite(difference) & (difference <= atol + rtol * other.abs()))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shape and elements are the same; types may differ."""
    return input.shape == other.shape and bool(eq(input, other).all())


def _clamp_by_tensors(x: Any, low: Any, high: Any) -> Any:
    """`clamp` by bounds of which one is a tensor at least."""
    from .arithmetic import maximum, minimum

    y = _constant(x)
    y = y if low is None else maximum(y, _constant(low))
    y = y if high is None else minimum(y, _constant(high))
    y = where(_within(x, low, high), x, y)
    if _is_tensor(low):
        y = where(lt(x, low) if high is None else lt(x, low) & lt(low, high), low, y)
    if _is_tensor(high):
        y = where(gt(x, high) if low is None else gt(x, high) | (lt(high, low) & le(x, high)), high, y)
    return y


def _within(x: Any, low: Any, high: Any) -> Any:
    """Whether low <= x <= high, where not both are None."""
    return ge(x, low) if high is None else le(x, high) if low is None else ge(x, low) & le(x, high)


def _constant(x: Any) -> Any:
    return x.detach() if _is_tensor(x) else x


def _is_tensor(x: Any) -> bool:
    return isinstance(x, TensorBase)


def _no_floats(symbol: str, *operands: Any) -> tuple[Any, ...]:
    for x in operands:
        if isinstance(x, float) or (isinstance(x, TensorBase) and x._spec.dtype.is_floating_point):
            raise RuntimeError(f"{symbol} works on the bits of integers and booleans, not on floats")
    return operands
