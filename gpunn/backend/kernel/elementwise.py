"""Functions of each element, of two elements, comparison, logic and choice."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpunn.backend.kernel_texts import kernel_text
from gpunn.backend.signature import enumeration

from .family import Array, bits, bits_type, ceil_div
from .memory import bits_of
from .rows import Walk


def _codes(name: str) -> dict[str, int]:
    """The numbers of functions by the names of the primitives, as `kernels/functions.cuh` has them."""
    return {word.lower(): code for word, code in enumeration(kernel_text("functions.cuh"), name).items()}


UNARY, BINARY, RELATIONS, PROPERTIES = map(_codes, ("Unary", "Binary", "Relation", "Property"))
_DIVISIONS = ("floor_divide", "remainder", "fmod")
_ON_BITS = ("bitwise_and", "bitwise_or", "bitwise_xor", "invert")
_FOR_BOOLEANS = {"add", "multiply", "maximum", "minimum", *_ON_BITS}
_FOR_INTEGERS = {*_FOR_BOOLEANS, "square", "negative", "absolute", "sign", "subtract", "power", *_DIVISIONS}
_FOR_FLOATS = {*UNARY, *BINARY} - {*_ON_BITS}
_OPERATORS = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


def _unary(name: str) -> Callable[..., Array]:
    def primitive(self: Elementwise, x: Array, /, *, out: Array | None = None) -> Array:
        _check_type(name, x.dtype)
        return self.each("unary.cu", "unary", x, x.dtype, out, UNARY[name])

    return _named(name, primitive)


def _property(name: str) -> Callable[..., Array]:
    def primitive(self: Elementwise, x: Array, /, *, out: Array | None = None) -> Array:
        return self.each("compare.cu", "has_property", x, np.bool_, out, PROPERTIES[name])

    return _named(name, primitive)


def _binary(name: str) -> Callable[..., Array]:
    def primitive(self: Elementwise, x: Array, y: Array, /, *, out: Array | None = None) -> Array:
        dtype = (x if self.is_array(x) else y).dtype
        _check_type(name, dtype)
        if dtype.kind in "iu" and name in (*_DIVISIONS, "power"):
            self.check_divisor_or_exponent(name, y)
        numbers = [0 if self.is_array(v) else _number(v, dtype) for v in (x, y)]
        return self.of_operands("binary.cu", "binary", (x, y), numbers, dtype, out, BINARY[name], scalar_t=dtype)

    return _named(name, primitive)


def _relation(name: str) -> Callable[..., Array]:
    def primitive(self: Elementwise, x: Array, y: Array, /, *, out: Array | None = None) -> Array:
        array, number = (x, y) if self.is_array(x) else (y, x)
        dtype, numbers = array.dtype, [0, 0]
        if not self.is_array(number):
            if name.startswith("logical"):
                number = number != 0
            elif dtype.kind in "iu" and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
                # A number that the type does not hold compares in the same way with all that it holds.
                holds = _OPERATORS[name](*((0, number) if array is x else (number, 0)))
                return self.full(array.shape, holds, np.bool_, out)
            numbers = [_rounded(number, dtype)] * 2
        code = RELATIONS[name]
        return self.of_operands("compare.cu", "compare", (x, y), numbers, np.bool_, out, code, scalar_t=dtype)

    return _named(name, primitive)


def _named(name: str, primitive: Callable[..., Array]) -> Callable[..., Array]:
    """The function under its own name, for whoever reads a traceback or a profile."""
    primitive.__name__ = name
    primitive.__qualname__ = f"Elementwise.{name}"
    return primitive


class Elementwise(Walk):
    """Functions of each element, of two elements, comparison, logic and choice."""

    full: Callable[..., Array]
    any: Callable[..., Array]
    to_numpy: Callable[[Array], Any]

    add, subtract, multiply, divide = map(_binary, ("add", "subtract", "multiply", "divide"))
    floor_divide, remainder, fmod = map(_binary, _DIVISIONS)
    power, maximum, minimum, arctan2 = map(_binary, ("power", "maximum", "minimum", "arctan2"))
    bitwise_and, bitwise_or, bitwise_xor = map(_binary, _ON_BITS[:3])

    square, negative, absolute, sign = map(_unary, ("square", "negative", "absolute", "sign"))
    invert, reciprocal = map(_unary, ("invert", "reciprocal"))
    floor, ceil, trunc, rint = map(_unary, ("floor", "ceil", "trunc", "rint"))
    exp, exp2, expm1, sqrt, rsqrt = map(_unary, ("exp", "exp2", "expm1", "sqrt", "rsqrt"))
    log, log2, log10, log1p = map(_unary, ("log", "log2", "log10", "log1p"))
    sin, cos, tan, arcsin, arccos, arctan = map(_unary, ("sin", "cos", "tan", "arcsin", "arccos", "arctan"))
    sinh, cosh, tanh, sigmoid, erf = map(_unary, ("sinh", "cosh", "tanh", "sigmoid", "erf"))
    arcsinh, arccosh, arctanh = map(_unary, ("arcsinh", "arccosh", "arctanh"))

    equal, not_equal, less = map(_relation, ("equal", "not_equal", "less"))
    less_equal, greater, greater_equal = map(_relation, ("less_equal", "greater", "greater_equal"))
    logical_and, logical_or, logical_xor = map(_relation, ("logical_and", "logical_or", "logical_xor"))
    logical_not, isnan, isinf, isfinite = map(_property, ("logical_not", "isnan", "isinf", "isfinite"))

    def clip(self, x: Array, low: float | None, high: float | None, out: Array | None = None) -> Array:
        """min(max(x, low), high)."""
        lowest, highest = _extremes(x.dtype)
        low = lowest if low is None else _rounded(low, x.dtype)
        high = highest if high is None else _rounded(high, x.dtype)
        return self.each("unary.cu", "clip", x, x.dtype, out, low, high)

    def where(self, condition: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """x where the condition holds, else y; one of them may be a Python number. `out` may be x."""
        dtype = (x if self.is_array(x) else y).dtype
        numbers = [0 if self.is_array(v) else bits_of(v, dtype) for v in (x, y)]
        operands = [condition, *(bits(v) if self.is_array(v) else v for v in (x, y))]
        return self.of_operands("where.cu", "where", operands, numbers, dtype, out, element_t=bits_type(dtype))

    # How they are launched --------------------------------------------------------------------------------------------

    def is_array(self, x: Any) -> bool:
        """Whether x is an array, and no number."""
        return isinstance(x, self.xp.ndarray)

    def each(self, text: str, kernel: str, x: Array, dtype: Any, out: Array | None, *arguments: Any) -> Array:
        """Launch a kernel of (x, y, count, arguments, vector) for the elements of x; `out` may be x."""
        x = self.contiguous(x)
        y = self.result(out, x.shape, dtype)
        args = (x, y, x.size, *arguments, self.aligned(x, y))
        self.launch_elements(text, kernel, ceil_div(x.size, 4), args, scalar_t=x.dtype)
        return y

    def of_operands(
        self,
        text: str,
        kernel: str,
        operands: Sequence[Any],
        numbers: Sequence[Any],
        dtype: Any,
        out: Array | None,
        *arguments: Any,
        **types: Any,
    ) -> Array:
        """Launch a kernel of (operands, numbers, result, count, arguments, vector), or its twin for rows.

        Operands that are no arrays are null there; the kernel takes their values from the numbers.
        """
        arrays = [v if self.is_array(v) else None for v in operands]
        shapes = [a.shape for a in arrays if a is not None]
        as_they_are = all(s == shapes[0] for s in shapes) and all(a is None or a.flags.c_contiguous for a in arrays)
        z = self.result(out, shapes[0] if as_they_are else np.broadcast_shapes(*shapes), dtype)
        moved = bits(z) if "element_t" in types else z
        if as_they_are:
            args = (*arrays, *numbers, moved, z.size, *arguments, self.aligned(*arrays, z))
            self.launch_elements(text, kernel, ceil_div(z.size, 4), args, **types)
        elif z.size:
            walk = self.as_rows(z.shape, arrays, z)
            described = [argument for operand in walk.operands for argument in operand]
            args = (*described, *numbers, moved, walk.rows, walk.columns, *arguments, walk.vector)
            self.launch(text, f"{kernel}_rows", walk.grid, walk.block, args, **types)
        return z

    def check_divisor_or_exponent(self, name: str, y: Any) -> None:
        """Integers are not divided by 0, nor raised to a negative power.

        Raises:
            RuntimeError: a divisor is 0.
            ValueError: an exponent is negative.
        """
        power = name == "power"
        if self.is_array(y):
            bad = self.less(y, 0) if power else self.equal(y, 0)
            found = bool(self.to_numpy(self.any(bad, tuple(range(bad.ndim)), False)))
        else:
            found = y < 0 if power else y == 0
        if found and power:
            raise ValueError("Integers to negative integer powers are not allowed.")
        if found:
            raise RuntimeError(f"ZeroDivisionError: {name}: an integer is divided by 0")


def _number(value: Any, dtype: Any) -> Any:
    """A Python number as the kernels take it beside arrays of this type.

    Raises:
        OverflowError: an integer does not fit.
    """
    return dtype.type(value) if dtype.kind in "biu" else float(value)


def _rounded(value: Any, dtype: Any) -> Any:
    """As `_number`, but half precision sees the number in its own type."""
    return dtype.type(value) if dtype.kind in "biu" else float(dtype.type(value))


def _extremes(dtype: Any) -> tuple[Any, Any]:
    """The smallest and the largest number of a type."""
    if dtype.kind == "b":
        return False, True
    if dtype.kind in "iu":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    return -np.inf, np.inf


def _check_type(name: str, dtype: Any) -> None:
    """Raise a TypeError where a function is not made for this type; the ops convert before."""
    wanted = _FOR_BOOLEANS if dtype.kind == "b" else _FOR_INTEGERS if dtype.kind in "iu" else _FOR_FLOATS
    if name not in wanted:
        raise TypeError(f"{name}: not for {dtype.name}")
