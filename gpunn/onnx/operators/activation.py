"""Activations, and softmax."""

from __future__ import annotations

import math
from typing import Any

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx

_OPERATORS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "none": "Identity"}


@to_onnx("Activation")
def _activation(w: Writer, call: Call) -> Any:
    return activation(w, call.input(0), call.attribute("kind"), call.parameter, call.spec(0).dtype)


def activation(w: Writer, x: str, kind: str, parameter: float, dtype: Any) -> Any:
    """An activation by its name in `gpunn.ops.activation`."""
    if kind in _OPERATORS:
        return w(_OPERATORS[kind], x)
    if kind == "leaky_relu":
        return w("LeakyRelu", x, alpha=parameter)
    if kind == "elu":
        return w("Elu", x, alpha=parameter)
    if kind == "silu":
        return w("Mul", x, w("Sigmoid", x))
    if kind == "softplus":
        if parameter == 1:
            return w("Softplus", x)
        return w("Div", w("Softplus", w("Mul", x, w.constant(parameter, dtype))), w.constant(parameter, dtype))
    if w.opset >= 20:
        return w("Gelu", x, approximate="none" if kind == "gelu" else "tanh")
    one, half = w.constant(1.0, dtype), w.constant(0.5, dtype)
    if kind == "gelu":
        inner = w("Erf", w("Mul", x, w.constant(math.sqrt(0.5), dtype)))
    else:  # sqrt(2 / pi) (x + 0.044715 x^3)
        cube = w("Mul", w("Mul", w("Mul", x, x), x), w.constant(0.044715, dtype))
        inner = w("Tanh", w("Mul", w("Add", x, cube), w.constant(math.sqrt(2 / math.pi), dtype)))
    return w("Mul", w("Mul", x, w("Add", inner, one)), half)


@to_onnx("Softmax")
def _softmax(w: Writer, call: Call) -> Any:
    return w("Softmax", call.input(0), axis=call.dim)


@to_onnx("LogSoftmax")
def _log_softmax(w: Writer, call: Call) -> Any:
    return w("LogSoftmax", call.input(0), axis=call.dim)


# In ------------------------------------------------------------------------------------------------------------------


@from_onnx("Relu")
def _relu(node: Any, x: Any) -> Any:
    return F.relu(x)


@from_onnx("Sigmoid")
def _sigmoid(node: Any, x: Any) -> Any:
    return gpunn.sigmoid(x)


@from_onnx("LeakyRelu")
def _leaky_relu(node: Any, x: Any) -> Any:
    return F.leaky_relu(x, node.get("alpha", 0.01))


@from_onnx("PRelu")
def _prelu(node: Any, x: Any, slope: Any) -> Any:
    return gpunn.where(x < 0, x * slope, x)


@from_onnx("Elu")
def _elu(node: Any, x: Any) -> Any:
    return F.elu(x, node.get("alpha", 1.0))


@from_onnx("Celu")
def _celu(node: Any, x: Any) -> Any:
    return F.celu(x, node.get("alpha", 1.0))


@from_onnx("Selu")
def _selu(node: Any, x: Any) -> Any:
    """gamma (alpha e^x - alpha) below 0, gamma x above."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return F.elu(x, alpha) * gamma


@from_onnx("Gelu")
def _gelu(node: Any, x: Any) -> Any:
    return F.gelu(x, approximate=node.get("approximate", "none"))


@from_onnx("Softplus")
def _softplus(node: Any, x: Any) -> Any:
    return F.softplus(x)


@from_onnx("Softsign")
def _softsign(node: Any, x: Any) -> Any:
    return F.softsign(x)


@from_onnx("Mish")
def _mish(node: Any, x: Any) -> Any:
    return F.mish(x)


@from_onnx("Swish")
def _swish(node: Any, x: Any) -> Any:
    return x * gpunn.sigmoid(x * node.get("alpha", 1.0))


@from_onnx("SwiGLU")
def _swiglu(node: Any, x: Any, y: Any) -> Any:
    """swish(x) y."""
    return x * gpunn.sigmoid(x * node.get("alpha", 1.0)) * y


@from_onnx("HardSigmoid")
def _hard_sigmoid(node: Any, x: Any) -> Any:
    return gpunn.clamp(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0, 1)


@from_onnx("HardSwish")
def _hard_swish(node: Any, x: Any) -> Any:
    return x * gpunn.clamp(x / 6 + 0.5, 0, 1)


@from_onnx("ThresholdedRelu")
def _thresholded_relu(node: Any, x: Any) -> Any:
    return gpunn.where(x > node.get("alpha", 1.0), x, 0)


@from_onnx("Shrink")
def _shrink(node: Any, x: Any) -> Any:
    at, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    return gpunn.where(x < -at, x + bias, gpunn.where(x > at, x - bias, 0))


def _rows(node: Any, x: Any, function: Any) -> Any:
    """`function` along an axis; before version 13 over all axes from the given one on."""
    if node.version >= 13:
        return function(x, node.get("axis", -1))
    axis = node.get("axis", 1) % max(x.ndim, 1)
    return function(x.reshape(*x.shape[:axis], -1), -1).reshape(x.shape)


@from_onnx("Softmax")
def _softmax_in(node: Any, x: Any) -> Any:
    return _rows(node, x, gpunn.softmax)


@from_onnx("LogSoftmax")
def _log_softmax_in(node: Any, x: Any) -> Any:
    return _rows(node, x, gpunn.log_softmax)


@from_onnx("Hardmax")
def _hardmax(node: Any, x: Any) -> Any:
    """1 at the first of the largest elements, else 0."""

    def function(x: Any, axis: int) -> Any:
        where = gpunn.argmax(x, axis)
        return F.one_hot(where, x.shape[axis]).movedim(-1, axis).to(x.dtype)

    return _rows(node, x, function)
