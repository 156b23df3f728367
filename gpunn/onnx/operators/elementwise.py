"""Arithmetic and functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

import gpunn
from gpunn.onnx.writer import Call, Writer

from .table import FROM_ONNX, TO_ONNX, Operator, from_onnx, to_onnx

_SAME = {
    **{"Add": "Add", "Sub": "Sub", "Mul": "Mul", "Div": "Div", "Pow": "Pow", "Neg": "Neg", "Abs": "Abs"},
    **{"Sign": "Sign", "Reciprocal": "Reciprocal", "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt", "Sin": "Sin"},
    **{"Cos": "Cos", "Tan": "Tan", "Tanh": "Tanh", "Asin": "Asin", "Acos": "Acos", "Atan": "Atan", "Sinh": "Sinh"},
    **{
        "Asinh": "Asinh",
        "Acosh": "Acosh",
        "Atanh": "Atanh",
        "Det": "Det",
        "Cosh": "Cosh",
        "Sigmoid": "Sigmoid",
        "Erf": "Erf",
        "Maximum": "Max",
        "Minimum": "Min",
    },
    **{"Identity": "Identity", "Clone": "Identity", "Transfer": "Identity", "Where": "Where"},
}
"""Ops that are an ONNX operator as they are."""


def _same(operator: str) -> Callable[[Writer, Call], Any]:
    return lambda w, call: w(operator, *call.inputs())


for _op, _operator in _SAME.items():
    TO_ONNX[_op] = _same(_operator)


@to_onnx("Square")
def _square(w: Writer, call: Call) -> Any:
    x = call.input(0)
    return w("Mul", x, x)


@to_onnx("Rsqrt")
def _rsqrt(w: Writer, call: Call) -> Any:
    return w("Reciprocal", w("Sqrt", call.input(0)))


@to_onnx("Expm1")
def _expm1(w: Writer, call: Call) -> Any:
    """2 e^(x/2) sinh(x/2), which keeps its digits where x is small."""
    d = call.spec(0).dtype
    half = w("Mul", call.input(0), w.constant(0.5, d))
    return w("Mul", w("Mul", w.constant(2.0, d), w("Exp", half)), w("Sinh", half))


@to_onnx("Log1p")
def _log1p(w: Writer, call: Call) -> Any:
    """2 artanh(x / (2 + x)), which keeps its digits where x is small; ln(1 + x) where it is not."""
    x, d = call.input(0), call.spec(0).dtype
    near = w("Mul", w.constant(2.0, d), w("Atanh", w("Div", x, w("Add", x, w.constant(2.0, d)))))
    small = w("Less", w("Abs", x), w.constant(0.5, d))
    return w("Where", small, near, w("Log", w("Add", x, w.constant(1.0, d))))


@to_onnx("Exp2")
def _exp2(w: Writer, call: Call) -> Any:
    return w("Pow", w.constant(2.0, call.spec(0).dtype), call.input(0))


@to_onnx("Log2")
def _log2(w: Writer, call: Call) -> Any:
    return w("Div", w("Log", call.input(0)), w.constant(math.log(2), call.spec(0).dtype))


@to_onnx("Log10")
def _log10(w: Writer, call: Call) -> Any:
    return w("Div", w("Log", call.input(0)), w.constant(math.log(10), call.spec(0).dtype))


@to_onnx("Atan2")
def _atan2(w: Writer, call: Call) -> Any:
    """The angle of (x, y): the arc tangent of y / x, in the left half plane half a turn further."""
    y, x = call.inputs()
    d = call.results[0].dtype
    zero = w.constant(0.0, d)
    turn = w("Where", w("Less", y, zero), w.constant(-math.pi, d), w.constant(math.pi, d))
    right = w("Atan", w("Div", y, x))
    shifted = w("Where", w("Less", x, zero), w("Add", right, turn), right)
    none = w("And", w("Equal", x, zero), w("Equal", y, zero))
    return w("Where", none, w("Mul", y, zero), shifted)


@to_onnx("FloorDivide")
def _floor_divide(w: Writer, call: Call) -> Any:
    x, y = call.inputs()
    if call.results[0].dtype.is_floating_point:
        return w("Floor", w("Div", x, y))
    return w("Div", w("Sub", x, w("Mod", x, y)), y)


@to_onnx("TruncDivide")
def _trunc_divide(w: Writer, call: Call) -> Any:
    quotient = w("Div", *call.inputs())
    return _truncated(w, quotient) if call.results[0].dtype.is_floating_point else quotient


def _truncated(w: Writer, x: str) -> Any:
    return w("Mul", w("Sign", x), w("Floor", w("Abs", x)))


@to_onnx("Remainder")
def _remainder(w: Writer, call: Call) -> Any:
    """x - y floor(x / y), of floats by way of fmod, which is exact: with y added where the signs differ."""
    x, y = call.inputs()
    d = call.results[0].dtype
    if not d.is_floating_point:
        return w("Mod", x, y)
    rest = w("Mod", x, y, fmod=1)
    wrong = w("Less", w("Mul", w("Sign", rest), w("Sign", y)), w.constant(0, d))
    return w("Where", wrong, w("Add", rest, y), rest)


@to_onnx("Fmod")
def _fmod(w: Writer, call: Call) -> Any:
    return w("Mod", *call.inputs(), fmod=1)


@to_onnx("Clamp")
def _clamp(w: Writer, call: Call) -> Any:
    x, d = call.input(0), call.spec(0).dtype
    if call.low is not None:
        x = w("Max", x, w.constant(call.low, d))
    return x if call.high is None else w("Min", x, w.constant(call.high, d))


@to_onnx("Round")
def _round(w: Writer, call: Call) -> Any:
    if call.mode == "trunc":
        return _truncated(w, call.input(0))
    return w({"floor": "Floor", "ceil": "Ceil", "rint": "Round"}[call.mode], call.input(0))


@to_onnx("Cast")
def _cast(w: Writer, call: Call) -> Any:
    return w.cast(call.input(0), call.dtype)


# In ------------------------------------------------------------------------------------------------------------------


def _plain(function: Callable[..., Any]) -> Operator:
    return Operator(lambda node, *inputs: function(*inputs))


for _operator in (
    "Abs",
    "Neg",
    "Sign",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
):
    FROM_ONNX[_operator] = _plain(getattr(gpunn, _operator.lower()))
for _operator in (
    "Sinh",
    "Asinh",
    "Cosh",
    "Acosh",
    "Atanh",
    "Tanh",
    "Erf",
    "Floor",
    "Ceil",
    "Round",
    "Add",
    "Sub",
    "Mul",
    "Where",
):
    FROM_ONNX[_operator] = _plain(getattr(gpunn, _operator.lower()))


@from_onnx("Identity")
def _identity(node: Any, x: Any) -> Any:
    return x


@from_onnx("Div")
def _div(node: Any, x: Any, y: Any) -> Any:
    return gpunn.div(x, y, rounding_mode=None if x.dtype.is_floating_point else "trunc")


@from_onnx("Mod")
def _mod(node: Any, x: Any, y: Any) -> Any:
    return gpunn.fmod(x, y) if node.get("fmod", 0) else gpunn.remainder(x, y)


@from_onnx("Pow")
def _pow(node: Any, x: Any, y: Any) -> Any:
    """In the type of the base, whatever that of the exponent is."""
    if not x.dtype.is_floating_point and y.dtype.is_floating_point:
        return gpunn.pow(x.double(), y.double()).to(x.dtype)
    return gpunn.pow(x, y.to(x.dtype))


@from_onnx("Max")
def _max(node: Any, *inputs: Any) -> Any:
    return reduce(gpunn.maximum, inputs)


@from_onnx("Min")
def _min(node: Any, *inputs: Any) -> Any:
    return reduce(gpunn.minimum, inputs)


@from_onnx("Sum")
def _sum(node: Any, *inputs: Any) -> Any:
    return reduce(gpunn.add, inputs)


@from_onnx("Mean")
def _mean(node: Any, *inputs: Any) -> Any:
    return reduce(gpunn.add, inputs) / len(inputs)


@from_onnx("Clip", host=(1, 2))
def _clip(node: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    """min(max(x, low), high), so that high wins where low is above it."""
    low = node.get("min") if low is None else low
    high = node.get("max") if high is None else high
    x = x if low is None else gpunn.clamp(x, number(low))
    return x if high is None else gpunn.clamp(x, None, number(high))


@from_onnx("Cast")
def _cast_in(node: Any, x: Any) -> Any:
    return x.to(node.dtype("to"))


@from_onnx("CastLike")
def _cast_like(node: Any, x: Any, like: Any) -> Any:
    return x.to(like.dtype)


@from_onnx("BitCast")
def _bit_cast(node: Any, x: Any) -> Any:
    to = node.dtype("to")
    array = np.frombuffer(x.numpy(force=True).tobytes(), to.numpy)
    sizes = x.shape if to.itemsize == x.dtype.itemsize else (*x.shape[:-1], -1)
    return gpunn.tensor(array.reshape(sizes), dtype=to, device=x.device)


def number(x: Any) -> Any:
    """A number, from an array of one or as it is."""
    return x.item() if isinstance(x, np.ndarray) else x
