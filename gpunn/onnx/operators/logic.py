"""Comparison, logic and bits."""

from __future__ import annotations

from typing import Any

import gpunn
from gpunn.onnx.writer import Call, Writer

from .table import FROM_ONNX, Operator, from_onnx, to_onnx

_RELATIONS = {
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
}  # fmt: skip


@to_onnx("Compare")
def _compare(w: Writer, call: Call) -> Any:
    x, y = call.inputs()
    if call.relation == "not_equal":
        return w("Not", w("Equal", x, y))
    if call.spec(0) is not None and getattr(call.spec(0), "dtype", None) is gpunn.bool:
        x, y = (w.cast(v, gpunn.uint8) for v in (x, y))
    return w(_RELATIONS[call.relation], x, y)


def _booleans(w: Writer, call: Call) -> list[str]:
    """The inputs as booleans; numbers are tested for not being 0."""
    found = []
    for i, x in enumerate(call.inputs()):
        dtype = getattr(call.spec(i), "dtype", None)
        found.append(x if dtype is gpunn.bool else w.cast(x, gpunn.bool))
    return found


@to_onnx("Logical")
def _logical(w: Writer, call: Call) -> Any:
    operator = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}[call.operation]
    return w(operator, *_booleans(w, call))


@to_onnx("LogicalNot")
def _logical_not(w: Writer, call: Call) -> Any:
    return w("Not", *_booleans(w, call))


@to_onnx("Bitwise")
def _bitwise(w: Writer, call: Call) -> Any:
    kind = call.operation.removeprefix("bitwise_").capitalize()
    return w(kind if call.results[0].dtype is gpunn.bool else f"Bitwise{kind}", *call.inputs())


@to_onnx("Invert")
def _invert(w: Writer, call: Call) -> Any:
    return w("Not" if call.results[0].dtype is gpunn.bool else "BitwiseNot", call.input(0))


@to_onnx("Test")
def _test(w: Writer, call: Call) -> Any:
    x, dtype = call.input(0), call.spec(0).dtype
    if not dtype.is_floating_point or dtype.itemsize == 2:
        x = w.cast(x, gpunn.float32)
    if call.property == "isfinite":
        return w("Not", w("Or", w("IsNaN", x), w("IsInf", x)))
    return w({"isnan": "IsNaN", "isinf": "IsInf"}[call.property], x)


# In ------------------------------------------------------------------------------------------------------------------

_OPERATORS: dict[str, Any] = {
    "Equal": gpunn.eq, "Less": gpunn.lt, "LessOrEqual": gpunn.le, "Greater": gpunn.gt, "GreaterOrEqual": gpunn.ge,
    "And": gpunn.logical_and, "Or": gpunn.logical_or, "Xor": gpunn.logical_xor, "Not": gpunn.logical_not,
    "BitwiseAnd": gpunn.bitwise_and, "BitwiseOr": gpunn.bitwise_or, "BitwiseXor": gpunn.bitwise_xor,
    "BitwiseNot": gpunn.bitwise_not, "IsNaN": gpunn.isnan,
}  # fmt: skip
for _name, _function in _OPERATORS.items():
    FROM_ONNX[_name] = Operator(lambda node, *inputs, f=_function: f(*inputs))


@from_onnx("IsInf")
def _is_inf(node: Any, x: Any) -> Any:
    positive, negative = node.get("detect_positive", 1), node.get("detect_negative", 1)
    found = gpunn.isinf(x)
    if not positive:
        found = found & (x < 0)
    return found if negative else found & (x > 0)


@from_onnx("BitShift")
def _bit_shift(node: Any, x: Any, steps: Any) -> Any:
    """x 2^n, or x 2^-n rounded down, in the bits of x's type; n below 0 or above their number shifts all out."""
    bits = x.dtype.bits
    inside = (steps >= 0) & (steps < bits)
    left = node.get("direction") == "LEFT"
    n = gpunn.where(inside, steps, 0 if left else bits - 1).long()
    if not left:
        return gpunn.floor_divide(x.long(), gpunn.pow(2, gpunn.clamp(n, None, 62))).to(x.dtype)
    return gpunn.where(inside, x.long() * gpunn.pow(2, n), 0).to(x.dtype)
