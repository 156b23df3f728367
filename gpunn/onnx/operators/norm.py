"""Normalisations, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx


@to_onnx("BatchNormInference")
def _batch_norm(w: Writer, call: Call) -> Any:
    x, mean, var, weight, bias = call.inputs()
    channels, d = call.spec(1).shape, call.spec(1).dtype
    weight = w.constant(np.ones(channels), d) if weight is None else weight
    bias = w.constant(np.zeros(channels), d) if bias is None else bias
    return w("BatchNormalization", x, weight, bias, mean, var, epsilon=call.eps)


def _normalised(w: Writer, call: Call, x: str, axes: list[int]) -> Any:
    """(x - mu) / sqrt(v + eps) over axes, and mu and v."""
    at = w.constant(axes, np.int64)
    mean = w("ReduceMean", x, at)
    centred = w("Sub", x, mean)
    var = w("ReduceMean", w("Mul", centred, centred), at)
    return w("Div", centred, w("Sqrt", w("Add", var, w.constant(call.eps, call.spec(0).dtype)))), mean, var


def _affine(w: Writer, call: Call, y: str, shape: list[int]) -> str:
    """y w + b, with w and b in another shape."""
    for operator, i in (("Mul", 1), ("Add", 2)):
        v = call.input(i)
        y = y if v is None else w(operator, y, w("Reshape", v, w.constant(shape, np.int64)))
    return y


@to_onnx("BatchNorm")
def _batch_statistics(w: Writer, call: Call) -> Any:
    """By the statistics of the batch, as layers do that have no running ones."""
    rank = call.spec(0).ndim
    y, mean, var = _normalised(w, call, call.input(0), [d for d in range(rank) if d != 1])
    flat = w.constant([-1])
    return _affine(w, call, y, [-1, *[1] * (rank - 2)]), w("Reshape", mean, flat), w("Reshape", var, flat)


@to_onnx("LayerNorm")
def _layer_norm(w: Writer, call: Call) -> Any:
    x, weight, bias = call.inputs()
    shape, d = call.spec(0).shape[call.spec(0).ndim - call.dims :], call.spec(0).dtype
    weight = w.constant(np.ones(shape), d) if weight is None else weight
    return w("LayerNormalization", x, weight, bias, axis=-call.dims, epsilon=call.eps), None, None


@to_onnx("GroupNorm")
def _group_norm(w: Writer, call: Call) -> Any:
    """Over the elements of each group, and then each channel's weight and bias."""
    x, rank = call.input(0), call.spec(0).ndim
    grouped = w("Reshape", x, w.constant([0, call.groups, -1], np.int64))
    y, _, _ = _normalised(w, call, grouped, [2])
    y = w("Reshape", y, w("Shape", x))
    return _affine(w, call, y, [-1, *[1] * (rank - 2)]), None, None


# In ------------------------------------------------------------------------------------------------------------------


@from_onnx("BatchNormalization")
def _batch_norm_in(node: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    eps, keep = node.get("epsilon", 1e-5), node.get("momentum", 0.9)
    if not node.get("training_mode", 0):
        return F.batch_norm(x, mean, var, weight, bias, node.training, 1 - keep, eps)
    dims = [d for d in range(x.ndim) if d != 1]
    mu, v = x.mean(dims), x.var(dims, unbiased=False)
    y = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    return y, mean * keep + mu * (1 - keep), var * keep + v * (1 - keep)


@from_onnx("InstanceNormalization")
def _instance_norm(node: Any, x: Any, weight: Any, bias: Any) -> Any:
    return F.instance_norm(x, None, None, weight, bias, eps=node.get("epsilon", 1e-5))


@from_onnx("GroupNormalization")
def _group_norm_in(node: Any, x: Any, weight: Any, bias: Any) -> Any:
    groups = node.get("num_groups")
    if node.version < 21:  # before, each group has one
        weight, bias = (v.repeat_interleave(x.shape[1] // groups) for v in (weight, bias))
    return F.group_norm(x, groups, weight, bias, node.get("epsilon", 1e-5))


def _working(node: Any, x: Any) -> Any:
    """In the type that the operator computes in, float32 unless it says another."""
    return x.float() if node.get("stash_type", 1) == 1 and x.dtype.itemsize == 2 else x


@from_onnx("LayerNormalization")
def _layer_norm_in(node: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    axis = node.get("axis", -1) % x.ndim
    eps, z = node.get("epsilon", 1e-5), _working(node, x)
    if node.outputs == 1 and z is x and weight.shape == x.shape[axis:]:
        return F.layer_norm(x, x.shape[axis:], weight, bias, eps)
    dims = list(range(axis, x.ndim))
    mean = z.mean(dims, keepdim=True)
    scale = ((z - mean).square().mean(dims, keepdim=True) + eps).rsqrt()
    y = ((z - mean) * scale).to(x.dtype) * weight
    return (y if bias is None else y + bias), mean, scale


@from_onnx("RMSNormalization")
def _rms_norm(node: Any, x: Any, weight: Any) -> Any:
    z = _working(node, x)
    dims = list(range(node.get("axis", -1) % x.ndim, x.ndim))
    scale = (z.square().mean(dims, keepdim=True) + node.get("epsilon", 1e-5)).rsqrt()
    return (z * scale).to(x.dtype) * weight


@from_onnx("MeanVarianceNormalization")
def _mean_variance(node: Any, x: Any) -> Any:
    """(x - mean) / sd, with 1e-9 beside the deviation as in ONNX's definition."""
    dims = list(node.get("axes", [0, 2, 3]))
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / ((x.square().mean(dims, keepdim=True) - mean.square()).sqrt() + 1e-9)


@from_onnx("LRN")
def _local_response_norm(node: Any, x: Any) -> Any:
    """x / (k + alpha / size sum of x^2 over neighbouring channels)^beta."""
    size, n = node.get("size"), x.shape[1]
    before, after = (size - 1) // 2, size // 2
    channels = np.arange(n)
    near = (channels[None] >= channels[:, None] - before) & (channels[None] <= channels[:, None] + after)
    band = gpunn.tensor(near, dtype=x.dtype, device=x.device)
    total = gpunn.matmul(band, x.square().reshape(x.shape[0], n, -1)).reshape(x.shape)
    return x / gpunn.pow(node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * total, node.get("beta", 0.75))


@from_onnx("Dropout", host=(1, 2))
def _dropout(node: Any, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """It drops out while the module trains, or where the file says so."""
    p = node.get("ratio", 0.5) if ratio is None else float(ratio)
    drops = node.training or (training is not None and bool(training))
    if node.outputs == 1:
        return F.dropout(x, p, drops)
    kept = F.dropout(gpunn.ones_like(x), p, drops)
    return x * kept, kept != 0
