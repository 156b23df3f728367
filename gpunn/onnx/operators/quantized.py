"""Numbers as 8-bit integers: quantised and back, by scale and zero. There are no gradients through them."""

from __future__ import annotations

from typing import Any

import gpunn

from .layers import conv_integer
from .table import from_onnx

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}


def _spread(node: Any, v: Any, x: Any) -> Any:
    """A scale or a zero in the shape of `x`: of the whole tensor, of each slice of an axis, or of blocks along it."""
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    if v.ndim == 0 or v.numel() == 1:
        return v.reshape(())
    axis %= x.ndim
    if v.ndim == 1:
        return v.reshape([-1 if d == axis else 1 for d in range(x.ndim)])
    size = block or -(-x.shape[axis] // v.shape[axis])
    return v.repeat_interleave(size, axis).narrow(axis, 0, x.shape[axis])


@from_onnx("QuantizeLinear")
def _quantize(node: Any, x: Any, scale: Any, zero: Any = None) -> Any:
    """round(x / scale) + zero, within the range of the type."""
    dtype = zero.dtype if zero is not None else node.dtype("output_dtype") if node.get("output_dtype") else gpunn.uint8
    if dtype.name not in _RANGES:
        raise node.unsupported(f"way to quantise to {dtype.name}")
    y = gpunn.ops.round(x.to(scale.dtype) / _spread(node, scale, x)).double()
    if zero is not None:
        y = y + _spread(node, zero, x).double()
    return gpunn.clamp(y, *_RANGES[dtype.name]).to(dtype)


@from_onnx("DequantizeLinear")
def _dequantize(node: Any, x: Any, scale: Any, zero: Any = None) -> Any:
    """(x - zero) scale."""
    s = _spread(node, scale, x)
    y = x.to(scale.dtype)
    return (y if zero is None else y - _spread(node, zero, x).to(scale.dtype)) * s


@from_onnx("DynamicQuantizeLinear")
def _dynamic_quantize(node: Any, x: Any) -> Any:
    """To uint8, from the range of the elements with 0 in it."""
    low, high = gpunn.clamp(x.amin(), None, 0), gpunn.clamp(x.amax(), 0)
    scale = (high - low) / 255
    zero = gpunn.clamp(gpunn.ops.round(-low / scale), 0, 255)
    return gpunn.clamp(gpunn.ops.round(x / scale) + zero, 0, 255).to(gpunn.uint8), scale, zero.to(gpunn.uint8)


def _requantised(y: Any, scale: Any, zero: Any) -> Any:
    found = gpunn.ops.round(y * scale) + zero.double()
    return gpunn.clamp(found, *_RANGES[zero.dtype.name]).to(zero.dtype)


@from_onnx("QLinearMatMul")
def _quantized_matmul(node: Any, *inputs: Any) -> Any:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    product = gpunn.matmul(a.double() - a_zero.double(), b.double() - b_zero.double())
    return _requantised(product, a_scale.double() * b_scale.double() / y_scale.double(), y_zero)


@from_onnx("QLinearConv")
def _quantized_conv(node: Any, *inputs: Any) -> Any:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = inputs
    y = conv_integer(node, x, w, x_zero, w_zero).double()
    if bias and bias[0] is not None:
        y = y + bias[0].double().reshape(1, -1, *[1] * (y.ndim - 2))
    scale = (x_scale.double() * w_scale.double() / y_scale.double()).reshape(-1, *[1] * (y.ndim - 2))
    return _requantised(y, scale, y_zero)
