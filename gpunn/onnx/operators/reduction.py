"""Sums, means, extremes and norms over dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gpunn
from gpunn.onnx.writer import Call, Writer

from .shapes import axes_of
from .table import FROM_ONNX, Operator, from_onnx, to_onnx

_OPERATORS = {
    "Sum": "ReduceSum", "Mean": "ReduceMean", "Amax": "ReduceMax", "Amin": "ReduceMin", "LogSumExp": "ReduceLogSumExp",
    "Prod": "ReduceProd",
}  # fmt: skip


@to_onnx(*_OPERATORS)
def _reduce(w: Writer, call: Call) -> Any:
    return reduced(w, call, _OPERATORS[call.name], call.input(0))


def reduced(w: Writer, call: Call, operator: str, x: str) -> Any:
    """A reduction over the op's dims; over none it is the tensor itself."""
    dims = w.constant(list(call.dims), np.int64)
    return w(operator, x, dims, keepdims=int(call.keepdim), noop_with_empty_axes=1)


@to_onnx("AllTrue", "AnyTrue")
def _all_true(w: Writer, call: Call) -> Any:
    x = w.cast(w.cast(call.input(0), gpunn.bool), gpunn.int32)
    operator = "ReduceMin" if call.name == "AllTrue" else "ReduceMax"
    if 0 in call.spec(0).shape:
        raise call.error("is taken of an empty tensor")
    return w.cast(reduced(w, call, operator, x), gpunn.bool)


@to_onnx("CumSum")
def _cumsum(w: Writer, call: Call) -> Any:
    return w("CumSum", call.input(0), w.constant(call.dim, np.int64), reverse=int(call.reverse))


@to_onnx("VectorNorm")
def _vector_norm(w: Writer, call: Call) -> Any:
    x, p, d = call.input(0), call.p, call.spec(0).dtype
    if p in (1, 2):
        return reduced(w, call, f"ReduceL{p:.0f}", x)
    size = w("Abs", x)
    if p in (np.inf, -np.inf):
        return reduced(w, call, "ReduceMax" if p > 0 else "ReduceMin", size)
    if p == 0:
        return reduced(w, call, "ReduceSum", w.cast(w.cast(x, gpunn.bool), d))
    return w("Pow", reduced(w, call, "ReduceSum", w("Pow", size, w.constant(p, d))), w.constant(1 / p, d))


@to_onnx("ArgMax", "ArgMin")
def _arg_extreme(w: Writer, call: Call) -> Any:
    x = call.input(0)
    if call.dim is not None:
        return w(call.name, x, axis=call.dim, keepdims=int(call.keepdim))
    found = w(call.name, w("Reshape", x, w.constant([-1])), axis=0, keepdims=0)
    return w("Reshape", found, w.constant([1] * call.spec(0).ndim, np.int64)) if call.keepdim else found


@to_onnx("Sort")
def _sort(w: Writer, call: Call) -> Any:
    if not call.spec(0).ndim:
        return w("Identity", call.input(0)), w.constant(0, np.int64)
    count = call.size([node.inputs[0].spec.shape[call.dim] for node in call.nodes])
    return w("TopK", call.input(0), w.vector([count]), outputs=2, axis=call.dim, largest=int(call.descending))


# In ------------------------------------------------------------------------------------------------------------------


def _over(function: Callable[[Any, list[int], bool], Any]) -> Operator:
    """A reduction over axes, which are an input or an attribute: of none, over all, or over nothing if it says so."""

    def run(node: Any, x: Any, axes: Any = None) -> Any:
        given = axes_of(node, axes)
        if not given and node.get("noop_with_empty_axes", 0):
            return _each(node.kind, x)
        dims = sorted(a % x.ndim for a in given) if given else list(range(x.ndim))
        return function(x, dims, bool(node.get("keepdims", 1))) if dims else _each(node.kind, x)

    return Operator(run, host=(1,))


def _each(kind: str, x: Any) -> Any:
    """A reduction of each element by itself."""
    if kind in ("ReduceL1", "ReduceL2"):
        return x.abs()
    if kind == "ReduceLogSum":
        return x.log()
    return x * x if kind == "ReduceSumSquare" else x


def _sum(x: Any, dims: list[int], keepdim: bool) -> Any:
    return x.sum(dims, keepdim=keepdim).to(x.dtype)


def _mean(x: Any, dims: list[int], keepdim: bool) -> Any:
    if x.dtype.is_floating_point:
        return x.mean(dims, keepdim=keepdim)
    return gpunn.div(x.sum(dims, keepdim=keepdim), int(np.prod([x.shape[d] for d in dims])), rounding_mode="trunc")


def _prod(x: Any, dims: list[int], keepdim: bool) -> Any:
    for d in reversed(dims):
        x = x.prod(d, keepdim=keepdim).to(x.dtype)
    return x


def _extreme(largest: bool) -> Callable[[Any, list[int], bool], Any]:
    def function(x: Any, dims: list[int], keepdim: bool) -> Any:
        if x.dtype is gpunn.bool:
            return (gpunn.any if largest else gpunn.all)(x, dims, keepdim)
        if 0 in [x.shape[d] for d in dims]:  # the least number that there is, or the greatest
            sizes = [1 if i in dims else n for i, n in enumerate(x.shape) if keepdim or i not in dims]
            if x.dtype.is_floating_point:
                value: Any = -np.inf if largest else np.inf
            else:
                info = gpunn.iinfo(x.dtype)
                value = info.min if largest else info.max
            return gpunn.full(sizes, value, dtype=x.dtype, device=x.device)
        return (gpunn.amax if largest else gpunn.amin)(x, dims, keepdim)

    return function


def _log_sum_exp(x: Any, dims: list[int], keepdim: bool) -> Any:
    return gpunn.logsumexp(x, dims, keepdim)


FROM_ONNX.update(
    ReduceSum=_over(_sum),
    ReduceMean=_over(_mean),
    ReduceProd=_over(_prod),
    ReduceMax=_over(_extreme(True)),
    ReduceMin=_over(_extreme(False)),
    ReduceLogSumExp=_over(_log_sum_exp),
    ReduceL1=_over(lambda x, dims, keepdim: _sum(x.abs(), dims, keepdim)),
    ReduceL2=_over(lambda x, dims, keepdim: _sum(x * x, dims, keepdim).sqrt().to(x.dtype)),
    ReduceLogSum=_over(lambda x, dims, keepdim: _sum(x, dims, keepdim).log()),
    ReduceSumSquare=_over(lambda x, dims, keepdim: _sum(x * x, dims, keepdim)),
)


@from_onnx("ArgMax", "ArgMin")
def _arg_extreme_in(node: Any, x: Any) -> Any:
    function = gpunn.argmax if node.kind == "ArgMax" else gpunn.argmin
    axis, keep = node.get("axis", 0) % x.ndim, bool(node.get("keepdims", 1))
    if not node.get("select_last_index", 0):
        return function(x, axis, keep)
    return x.shape[axis] - 1 - function(x.flip(axis), axis, keep)


@from_onnx("CumSum", host=(1,))
def _cumsum_in(node: Any, x: Any, axis: Any) -> Any:
    return _cumulated(node, x, int(axis.reshape(())), lambda x, d: gpunn.cumsum(x, d).to(x.dtype), 0)


@from_onnx("CumProd", host=(1,))
def _cumprod_in(node: Any, x: Any, axis: Any) -> Any:
    return _cumulated(node, x, int(axis.reshape(())), lambda x, d: gpunn.cumprod(x, d).to(x.dtype), 1)


def _cumulated(node: Any, x: Any, axis: int, function: Callable[[Any, int], Any], start: int) -> Any:
    """From the front or the back, and of those before or with each element itself."""
    axis %= x.ndim
    if node.get("reverse", 0):
        x = x.flip(axis)
    if node.get("exclusive", 0):
        first = gpunn.full(
            [1 if d == axis else n for d, n in enumerate(x.shape)], start, dtype=x.dtype, device=x.device
        )
        x = gpunn.cat([first, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    found = function(x, axis)
    return found.flip(axis) if node.get("reverse", 0) else found


@from_onnx("TopK", host=(1,))
def _top_k(node: Any, x: Any, k: Any = None) -> Any:
    count = int(node.get("k") if k is None else k.reshape(()))
    axis = node.get("axis", -1) % x.ndim
    values, indices = gpunn.sort(x, axis, bool(node.get("largest", 1)), stable=True)
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


@from_onnx("LpNormalization")
def _lp_normalization(node: Any, x: Any) -> Any:
    """x over its norm along an axis; 0 where that is 0."""
    axis, p = node.get("axis", -1), node.get("p", 2)
    norm = x.abs().sum(axis, keepdim=True) if p == 1 else (x * x).sum(axis, keepdim=True).sqrt()
    return gpunn.where(norm == 0, 0, x / gpunn.where(norm == 0, 1, norm))
