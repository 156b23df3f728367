"""Convolutions, and what rearranges images."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .activation import activation
from .table import from_onnx, to_onnx


def pads_of(padding: Any) -> list[int]:
    """Padding as ONNX has it: before each axis, then behind each."""
    return [p[0] for p in padding] + [p[1] for p in padding]


@to_onnx("Conv2d")
def _conv(w: Writer, call: Call) -> Any:
    x, weight, bias = call.inputs()
    around = pads_of(call.padding)
    if min(around) < 0:
        raise call.error(f"has a negative padding {call.padding}")
    z = w(
        *("Conv", x, weight, bias),
        strides=call.stride, pads=around, dilations=call.dilation, group=call.groups,
        kernel_shape=call.spec(1).shape[2:],
    )  # fmt: skip
    y = activation(w, z, call.activation, call.parameter, call.spec(0).dtype) if call.activation != "none" else z
    return (y, z) if call.returns_z else y


@to_onnx("Conv2dInputGrad")
def _conv_transpose(w: Writer, call: Call) -> Any:
    """The result's size is that of the last position, and what the padding lacks behind it."""
    before, after, more = [], [], []
    for axis in range(2):
        n, size = call.spec(0).shape[2 + axis], call.nodes[0].op.size[axis]
        k, s, d = call.spec(1).shape[2 + axis], call.stride[axis], call.dilation[axis]
        first = call.padding[axis][0]
        full = (n - 1) * s + d * (k - 1) + 1
        behind = full - first - size  # what is cut off at the end; where it is negative, the result is longer
        before.append(first)
        after.append(max(behind, 0))
        more.append(max(-behind, 0))
    return w(
        *("ConvTranspose", call.input(0), call.input(1)),
        strides=call.stride, pads=before + after, output_padding=more, dilations=call.dilation, group=call.groups,
        kernel_shape=call.spec(1).shape[2:],
    )  # fmt: skip


@to_onnx("Im2Col")
def _im2col(w: Writer, call: Call) -> Any:
    """A convolution of each channel by itself with kernels that have a single 1."""
    channels, count = call.spec(0).shape[1], int(np.prod(call.kernel))
    ones = np.tile(np.eye(count, dtype=call.spec(0).dtype.numpy).reshape(count, 1, *call.kernel), (channels, 1, 1, 1))
    y = w(
        *("Conv", call.input(0), w.constant(ones)),
        strides=call.stride, pads=pads_of(call.padding), dilations=call.dilation, group=channels,
    )  # fmt: skip
    return w("Reshape", y, w.constant([0, channels * count, -1], np.int64))


@to_onnx("Col2Im")
def _col2im(w: Writer, call: Call) -> Any:
    size, kernel = (w.constant(v, np.int64) for v in (call.attribute("size"), call.kernel))
    return w(
        *("Col2Im", call.input(0), size, kernel),
        strides=call.stride, pads=pads_of(call.padding), dilations=call.dilation,
    )  # fmt: skip


# In ------------------------------------------------------------------------------------------------------------------


class Windows:
    """How windows lie on an image, as the attributes of an operator say it.

    Attributes:
        kernel: sizes of the window; likewise stride and dilation.
        pads: for each axis the padding before and behind the image.
    """

    def __init__(self, node: Any, size: Any, kernel: Any):
        axes = len(kernel)
        self.kernel = tuple(kernel)
        self.stride = tuple(node.get("strides", [1] * axes))
        self.dilation = tuple(node.get("dilations", [1] * axes))
        pads = list(node.get("pads", [0] * 2 * axes))
        how = node.get("auto_pad", "NOTSET")
        if how == "VALID":
            pads = [0] * 2 * axes
        elif how.startswith("SAME"):  # so that there are size / stride windows, rounded up
            for i, (n, k, s, d) in enumerate(zip(size, self.kernel, self.stride, self.dilation)):
                total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
                less, more = total // 2, total - total // 2
                pads[i], pads[axes + i] = (less, more) if how == "SAME_UPPER" else (more, less)
        self.pads = list(zip(pads[:axes], pads[axes:]))

    @property
    def even(self) -> bool:
        """Whether the padding is the same on both sides of each axis."""
        return all(a == b for a, b in self.pads)

    @property
    def for_pad(self) -> list[int]:
        """The padding as `gpunn.nn.functional.pad` takes it, from the last axis on."""
        return [n for pair in reversed(self.pads) for n in pair]


def by_axes(node: Any, name: str, axes: int) -> Any:
    """A function of `gpunn.nn.functional` for so many axes, such as ``conv2d``."""
    function = getattr(F, f"{name}{axes}d", None)
    if function is None:
        raise node.unsupported(f"{name}{axes}d")
    return function


@from_onnx("Conv")
def _conv_in(node: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    at = Windows(node, x.shape[2:], weight.shape[2:])
    if not at.even:
        x = F.pad(x, at.for_pad)
    padding = [a for a, _ in at.pads] if at.even else 0
    convolve = by_axes(node, "conv", x.ndim - 2)
    return convolve(x, weight, bias, at.stride, padding, at.dilation, node.get("group", 1))


@from_onnx("ConvTranspose")
def _conv_transpose_in(node: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    """All of it, cut at the ends by the padding and longer by the output padding."""
    axes, kernel = x.ndim - 2, weight.shape[2:]
    stride, dilation = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    more = list(node.get("output_padding", [0] * axes))
    pads = list(node.get("pads", [0] * 2 * axes))
    size = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    how, shape = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if shape is not None or how.startswith("SAME"):
        goal = [n * s for n, s in zip(x.shape[2:], stride)] if shape is None else list(shape)[-axes:]
        for i, total in enumerate(n + m - g for n, m, g in zip(size, more, goal)):
            half = total // 2
            first = total - half if how == "SAME_LOWER" or (shape is not None and how != "SAME_UPPER") else half
            pads[i], pads[axes + i] = first, total - first
    convolve = by_axes(node, "conv_transpose", axes)
    y = convolve(x, weight, None, stride, 0, 0, node.get("group", 1), dilation)
    around = [n for i in reversed(range(axes)) for n in (-pads[i], more[i] - pads[axes + i])]
    y = F.pad(y, around) if any(around) else y
    return y if bias is None else y + bias.reshape(1, -1, *[1] * axes)


@from_onnx("ConvInteger")
def conv_integer(node: Any, x: Any, weight: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
    """The convolution of integers around their zeros, in int32. In float64 it is exact."""
    x, weight = x.double(), weight.double()
    x = x if x_zero is None else x - x_zero.double()
    if w_zero is not None:
        weight = weight - w_zero.double().reshape(-1, *[1] * (weight.ndim - 1))
    return _conv_in(node, x, weight).to(gpunn.int32)


@from_onnx("Col2Im", host=(1, 2))
def _col2im_in(node: Any, x: Any, size: Any, kernel: Any) -> Any:
    if len(size) != 2:
        raise node.unsupported(f"fold of {len(size)} axes")
    at = Windows(node, [int(n) for n in size], [int(n) for n in kernel])
    whole = [int(n) + a + b for n, (a, b) in zip(size, at.pads)]
    y = F.fold(x, whole, at.kernel, at.dilation, 0, at.stride)
    return F.pad(y, [-n for n in at.for_pad])


@from_onnx("Resize", "Upsample", host=(1, 2, 3))
def _resize(node: Any, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    """Along each axis a matrix of weights, as the mode says, from where each new element lies in the old ones."""
    if node.kind == "Upsample" or node.version < 11:
        scales, roi = (node.get("scales") if roi is None else roi), None
        where, how = "asymmetric", "floor"
    else:
        where, how = (
            node.get("coordinate_transformation_mode", "half_pixel"),
            node.get("nearest_mode", "round_prefer_floor"),
        )
    axes = [int(a) % x.ndim for a in node.get("axes", range(x.ndim))]
    factors, goal = _scaled(node, x.shape, axes, scales, sizes)
    for i, axis in enumerate(axes):
        n, m, scale = x.shape[axis], goal[i], factors[i]
        if n == m and scale == 1 and where != "tf_crop_and_resize":
            continue
        region = (0.0, 1.0) if roi is None or not np.size(roi) else (float(roi[i]), float(roi[i + len(axes)]))
        at = _places(np.arange(m, dtype=np.float64), where, n, m, scale, region)
        weights = _weights(node, at, n, scale, how)
        outside = (at < 0) | (at > n - 1) if where == "tf_crop_and_resize" else None
        matrix = gpunn.tensor(weights, dtype=x.dtype if x.dtype.is_floating_point else gpunn.float64, device=x.device)
        y = gpunn.matmul(x.movedim(axis, -1).to(matrix.dtype), matrix.T).to(x.dtype)
        if outside is not None and outside.any():
            beyond = gpunn.tensor(outside, device=x.device)
            y = gpunn.where(beyond, node.get("extrapolation_value", 0.0), y)
        x = y.movedim(-1, axis)
    return x


def _scaled(node: Any, shape: Any, axes: list[int], scales: Any, sizes: Any) -> tuple[list[float], list[int]]:
    """The factor of each axis, and its new size."""
    own = [shape[a] for a in axes]
    if sizes is None or not np.size(sizes):
        factors = [float(s) for s in scales]
        return factors, [int(np.floor(n * s)) for n, s in zip(own, factors)]
    goal = [int(n) for n in sizes]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return [g / n for g, n in zip(goal, own)], goal
    factor = (min if policy == "not_larger" else max)(g / n for g, n in zip(goal, own))
    return [factor] * len(own), [int(np.floor(n * factor + 0.5)) for n in own]


def _places(at: Any, where: str, n: int, m: int, scale: float, region: tuple[float, float]) -> Any:
    """Where the new elements lie among the old ones."""
    if where == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if where == "half_pixel_symmetric":
        adjusted = m / (n * scale)
        return n / 2 * (1 - adjusted) + (at + 0.5) / scale - 0.5
    if where == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if m > 1 else np.zeros_like(at)
    if where == "align_corners":
        return at * (n - 1) / (n * scale - 1) if n * scale != 1 else np.zeros_like(at)
    if where == "tf_crop_and_resize":
        start, end = region
        return (
            start * (n - 1) + at * (end - start) * (n - 1) / (m - 1)
            if m > 1
            else np.full_like(at, (start + end) / 2 * (n - 1))
        )
    return at / scale


def _weights(node: Any, at: Any, n: int, scale: float, how: str) -> Any:
    """The weight of each old element (columns) in each new one (rows)."""
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        found = {
            "round_prefer_floor": np.ceil(at - 0.5), "round_prefer_ceil": np.floor(at + 0.5),
            "floor": np.floor(at), "ceil": np.ceil(at),
        }[how]  # fmt: skip
        return np.eye(n)[found.clip(0, n - 1).astype(int)]
    wide = max(1.0, 1 / scale) if node.get("antialias", 0) else 1.0
    reach = (1.0 if mode == "linear" else 2.0) * wide
    first = int(np.floor(at.min() - reach)) - 1
    places = np.arange(first, int(np.ceil(at.max() + reach)) + 2)
    distance = abs(places[None] - at[:, None]) / wide
    if mode == "linear":
        weights = np.maximum(0, 1 - distance)
    else:
        a = node.get("cubic_coeff_a", -0.75)
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    inside = (places >= 0) & (places < n)
    if node.get("exclude_outside", 0):
        weights = weights * inside
    weights = weights / weights.sum(1, keepdims=True)
    return weights @ np.eye(n)[places.clip(0, n - 1)]


@from_onnx("GridSample")
def _grid_sample(node: Any, x: Any, grid: Any) -> Any:
    function = getattr(F, "grid_sample", None)
    if function is None:
        raise node.unsupported("grid_sample")
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(node.get("mode", "linear"), node.get("mode", "linear"))
    return function(x, grid, mode, node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0)))


@from_onnx("AffineGrid", host=(1,))
def _affine_grid(node: Any, theta: Any, size: Any) -> Any:
    """theta (x, y, .., 1) for each place of an image, with coordinates from -1 to 1."""
    axes, whole = len(size) - 2, [int(n) for n in size]
    aligned = node.get("align_corners", 0)
    lines = [np.linspace(-1, 1, n) if aligned else (np.arange(n) * 2 + 1) / n - 1 for n in whole[2:]]
    places = np.meshgrid(*lines, indexing="ij")
    rows = np.stack([*places[::-1], np.ones_like(places[0])], -1).reshape(-1, axes + 1)
    base = gpunn.tensor(rows, dtype=theta.dtype, device=theta.device)
    return gpunn.matmul(base, theta.transpose(1, 2)).reshape(whole[0], *whole[2:], axes)
