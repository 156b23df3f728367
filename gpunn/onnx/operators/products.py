"""Matrix products."""

from __future__ import annotations

from typing import Any

import gpunn
from gpunn.onnx.writer import Call, Writer

from .activation import activation
from .table import from_onnx, to_onnx


@to_onnx("MatMul")
def _matmul(w: Writer, call: Call) -> Any:
    return w("MatMul", *call.inputs())


@to_onnx("LinearActivation")
def _linear(w: Writer, call: Call) -> Any:
    """Of matrices one operator, else a product with the transposed weight and a sum."""
    x, weight, bias = call.inputs()
    d = call.spec(1).dtype
    if call.spec(0).ndim == 2 and d.itemsize >= 4:
        z = w("Gemm", x, weight, bias, transB=1)
    else:
        z = w("MatMul", x, w("Transpose", weight, perm=[1, 0]))
        z = z if bias is None else w("Add", z, bias)
    y = activation(w, z, call.activation, call.parameter, d) if call.activation != "none" else z
    return (y, z) if call.returns_z else y


# In ------------------------------------------------------------------------------------------------------------------


@from_onnx("MatMul")
def _matmul_in(node: Any, x: Any, y: Any) -> Any:
    return gpunn.matmul(x, y)


@from_onnx("Gemm")
def _gemm(node: Any, a: Any, b: Any, c: Any = None) -> Any:
    """alpha A B + beta C."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a, b = a.T if node.get("transA", 0) else a, b.T if node.get("transB", 0) else b
    y = gpunn.matmul(a, b)
    y = y if alpha == 1 else (y * alpha).to(a.dtype)
    if c is None:
        return y
    return y + (c if beta == 1 else (c * beta).to(c.dtype))


@from_onnx("Einsum")
def _einsum(node: Any, *inputs: Any) -> Any:
    return gpunn.einsum(node.get("equation"), *inputs)


@from_onnx("Det")
def _det(node: Any, x: Any) -> Any:
    return gpunn.linalg.det(x)


@from_onnx("MatMulInteger")
def _matmul_integer(node: Any, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    """The product of integers around their zeros, in int32. In float64 it is exact."""
    a, b = a.double(), b.double()
    if a_zero is not None:
        a = a - (a_zero.reshape((*a_zero.shape, *[1] * (a_zero.ndim == 1)))).double()
    if b_zero is not None:
        b = b - b_zero.double()
    return gpunn.matmul(a, b).to(gpunn.int32)
