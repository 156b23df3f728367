"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .layers import Windows, by_axes, pads_of
from .table import from_onnx, to_onnx


@to_onnx("MaxPool2d")
def _max_pool(w: Writer, call: Call) -> Any:
    """Which element it was is left to those that ask for it; see `MaxPool2dIndices`."""
    return w("MaxPool", call.input(0), **_geometry(call)), None


def _geometry(call: Call) -> dict[str, Any]:
    pads = pads_of(call.padding)
    return {"kernel_shape": call.kernel, "strides": call.stride, "dilations": call.dilation, "pads": pads}


@to_onnx("MaxPool2dIndices")
def _max_pool_indices(w: Writer, call: Call) -> Any:
    """ONNX counts through all channels and samples, PyTorch through one image."""
    pooled = call.nodes[0].inputs[0].node
    source = call.names[id(pooled.inputs[0])]
    _, indices = w("MaxPool", source, outputs=2, **_geometry(call))
    image = int(np.prod(pooled.inputs[0].spec.shape[2:]))
    return w("Mod", indices, w.constant(image))


@to_onnx("AvgPool2d")
def _avg_pool(w: Writer, call: Call) -> Any:
    """With the padding as ones and zeros of its own where the divisor is not a plain count."""
    kernel, padding = call.kernel, call.padding
    plain = all(a == b for a, b in padding)
    options = {"kernel_shape": kernel, "strides": call.stride, "pads": pads_of(padding)}
    if plain and call.divisor is None:
        return w("AveragePool", call.input(0), count_include_pad=int(call.count_padding), **options)
    count = int(np.prod(kernel))
    y = w("AveragePool", call.input(0), count_include_pad=1, **options)  # sum / count
    if call.divisor is not None:
        return w("Mul", y, w.constant(count / call.divisor, call.spec(0).dtype))
    h, wide = call.spec(0).shape[2:]
    ones = np.ones((h, wide))
    if call.count_padding:  # but not what ceil_mode reaches beyond it
        ones = np.pad(ones, [(a, min(a, b)) for a, b in padding], constant_values=1)
        ones = np.pad(ones, [(0, b - min(a, b)) for a, b in padding])
    else:
        ones = np.pad(ones, padding)
    found = np.lib.stride_tricks.sliding_window_view(ones, kernel)[:: call.stride[0], :: call.stride[1]].mean((2, 3))
    return w("Div", y, w.constant(found, call.spec(0).dtype))


@to_onnx("AdaptiveAvgPool2d")
def _adaptive_avg_pool(w: Writer, call: Call) -> Any:
    """Of one window the global mean, of equal ones an average pool, else a product with weights from both sides."""
    x, size, goal = call.input(0), call.spec(0).shape[2:], call.attribute("size")
    if tuple(goal) == (1, 1):
        return w("GlobalAveragePool", x)
    if any(node.inputs[0].spec.shape[2:] != size for node in call.nodes):
        raise call.error("has windows that depend on an open size")
    if all(n % m == 0 for n, m in zip(size, goal)):
        windows = [n // m for n, m in zip(size, goal)]
        return w("AveragePool", x, kernel_shape=windows, strides=windows)
    rows, columns = (w.constant(_shares(n, m), call.spec(0).dtype) for n, m in zip(size, goal))
    return w("MatMul", w("MatMul", rows, x), w("Transpose", columns, perm=[1, 0]))


def _shares(n: int, m: int) -> Any:
    """The share of each of n elements in m windows, from floor(i n / m) to ceil((i + 1) n / m)."""
    shares = np.zeros((m, n))
    for i in range(m):
        at = slice(i * n // m, -(-(i + 1) * n // m))
        shares[i, at] = 1 / (at.stop - at.start)
    return shares


# In ------------------------------------------------------------------------------------------------------------------


def _windows(node: Any, x: Any) -> tuple[Windows, list[int]]:
    """The windows, and for each axis what ceil_mode adds behind the padding."""
    at = Windows(node, x.shape[2:], node.get("kernel_shape"))
    more = []
    for n, k, s, d, (a, b) in zip(x.shape[2:], at.kernel, at.stride, at.dilation, at.pads):
        extent = d * (k - 1) + 1
        last = -(-(n + a + b - extent) // s) * s
        last -= s * (last >= n + a)  # a window that lies in the padding alone
        more.append(max(last + extent - n - a - b, 0) if node.get("ceil_mode", 0) else 0)
    return at, more


def _around(at: Windows, more: list[int]) -> list[int]:
    return [n for (a, b), m in zip(reversed(at.pads), reversed(more)) for n in (a, b + m)]


@from_onnx("MaxPool")
def _max_pool_in(node: Any, x: Any) -> Any:
    at, more = _windows(node, x)
    least = -np.inf if x.dtype.is_floating_point else gpunn.iinfo(x.dtype).min
    around = _around(at, more)
    pool = by_axes(node, "max_pool", x.ndim - 2)
    padded = F.pad(x, around, value=least) if any(around) else x
    if node.outputs == 1:
        return pool(padded, at.kernel, at.stride, 0, at.dilation)
    y, where = pool(padded, at.kernel, at.stride, 0, at.dilation, return_indices=True)
    return y, _indices(node, where, x.shape, padded.shape, at)


def _indices(node: Any, where: Any, shape: Any, padded: Any, at: Windows) -> Any:
    """Where elements lie in the whole tensor, from where they lie in a padded image."""
    found = gpunn.zeros_like(where)
    column_major = node.get("storage_order", 0)
    place = where
    for i in reversed(range(len(shape) - 2)):
        step = place % padded[2 + i] - at.pads[i][0]
        place = gpunn.floor_divide(place, padded[2 + i])
        stride = np.prod(shape[2 : 2 + i] if column_major else shape[3 + i :], dtype=np.int64)
        found = found + step * int(stride)
    image = int(np.prod(shape[2:]))
    images = gpunn.arange(shape[0] * shape[1], device=where.device) * image
    return found + images.reshape(*shape[:2], *[1] * (len(shape) - 2))


@from_onnx("AveragePool")
def _average_pool(node: Any, x: Any) -> Any:
    """Sums over windows, by their number of elements: all of them, or those that are not padding."""
    at, more = _windows(node, x)
    axes = x.ndim - 2
    around = _around(at, more)
    if any(d != 1 for d in at.dilation):
        return _dilated_mean(node, x, at, more)
    pool = by_axes(node, "avg_pool", axes)
    padded = F.pad(x, around) if any(around) else x
    y = pool(padded, at.kernel, at.stride)
    if not any(around):
        return y
    share = pool(F.pad(_counted(node, x, at), [n for m in reversed(more) for n in (0, m)]), at.kernel, at.stride)
    return y / share


def _counted(node: Any, x: Any, at: Windows) -> Any:
    """Ones where an element counts, and zeros in the padding if that does not count."""
    ones = gpunn.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    return F.pad(ones, at.for_pad, value=float(node.get("count_include_pad", 0)))


def _dilated_mean(node: Any, x: Any, at: Windows, more: list[int]) -> Any:
    """The mean of windows with steps between their elements: a convolution with ones."""
    axes = x.ndim - 2
    convolve = by_axes(node, "conv", axes)
    behind = [n for m in reversed(more) for n in (0, m)]
    ones = gpunn.ones(1, 1, *at.kernel, dtype=x.dtype, device=x.device)

    def total(image: Any) -> Any:
        flat = image.reshape(-1, 1, *image.shape[2:])
        y = convolve(flat, ones, None, at.stride, 0, at.dilation)
        return y.reshape(*image.shape[:2], *y.shape[2:])

    return total(F.pad(x, _around(at, more))) / total(F.pad(_counted(node, x, at), behind))


@from_onnx("GlobalAveragePool")
def _global_average_pool(node: Any, x: Any) -> Any:
    return x.mean(list(range(2, x.ndim)), keepdim=True)


@from_onnx("GlobalMaxPool")
def _global_max_pool(node: Any, x: Any) -> Any:
    return gpunn.amax(x, list(range(2, x.ndim)), True)


@from_onnx("LpPool", "GlobalLpPool")
def _lp_pool(node: Any, x: Any) -> Any:
    """(sum of |x|^p over the window)^(1/p)."""
    p = node.get("p", 2)
    powers = gpunn.pow(x.abs(), p)
    if node.kind == "GlobalLpPool":
        return gpunn.pow(powers.sum(list(range(2, x.ndim)), keepdim=True), 1 / p)
    at, more = _windows(node, x)
    padded = F.pad(powers, _around(at, more))
    convolve = by_axes(node, "conv", x.ndim - 2)
    ones = gpunn.ones(1, 1, *at.kernel, dtype=x.dtype, device=x.device)
    y = convolve(padded.reshape(-1, 1, *padded.shape[2:]), ones, None, at.stride, 0, at.dilation)
    return gpunn.pow(y.reshape(*x.shape[:2], *y.shape[2:]), 1 / p)


@from_onnx("MaxUnpool", host=(2,))
def _max_unpool(node: Any, x: Any, index: Any, shape: Any = None) -> Any:
    """Each element back where it lay in a tensor of zeros."""
    stride, kernel = node.get("strides", [1] * (x.ndim - 2)), node.get("kernel_shape")
    pads = node.get("pads", [0] * 2 * (x.ndim - 2))
    axes = x.ndim - 2
    small = [(n - 1) * s - pads[i] - pads[axes + i] + k for i, (n, s, k) in enumerate(zip(x.shape[2:], stride, kernel))]
    own = [*x.shape[:2], *small]
    goal = own if shape is None else [int(n) for n in shape]
    flat = gpunn.zeros(int(np.prod(own)), dtype=x.dtype, device=x.device)
    flat = gpunn.scatter(flat, 0, index.reshape(-1), x.reshape(-1)).reshape(own)
    return F.pad(flat, [n for g, m in zip(goal[:1:-1], own[:1:-1]) for n in (0, g - m)])
