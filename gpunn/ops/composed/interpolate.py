"""Images, sequences and volumes in other sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from ..base import shape_error
from ..construct import from_numpy
from ..promote import rounded_once
from ..selection import index_select

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

AXES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
"""For each mode the numbers of axes that it is for."""


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The input in another size: each new element is a weighted mean of those around its place, axis by axis.

    Element i of the result lies at s (i + 1/2) - 1/2 in the input, s = size before / size after; with `align_corners`
    at s i, s = (size before - 1) / (size after - 1). The weights at a distance t are 1 - |t| (linear), or Keys's cubic
    (1981, "Cubic convolution interpolation for digital image processing") with a = -3/4.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: of the result, one number or one for each axis.
        scale_factor: in the place of `size`: result sizes are floor(size scale_factor).
        mode: "nearest" (floor(s i), as old programs have it), "nearest-exact" (the element that is nearest), "linear",
            "bilinear", "bicubic", "trilinear", or "area" (adaptive average pooling).
        align_corners: whether the outermost elements stay at their places; only for linear and cubic modes.
        recompute_scale_factor: whether s comes from the rounded sizes, not from `scale_factor` as it is given.
        antialias: for "bilinear" and "bicubic": smaller results are means over wider windows, with a = -1/2 for the
            cubic, as Pillow makes them.

    Raises:
        ValueError: not one of size and scale_factor, or options that do not go with the mode.
        NotImplementedError: the mode is not for inputs of so many dimensions.
    """
    axes = input.ndim - 2
    if mode not in AXES:
        raise NotImplementedError(f"interpolate: mode is one of {', '.join(AXES)}, got {mode!r}")
    if axes not in AXES[mode]:
        wanted = " or ".join(f"{n + 2}" for n in AXES[mode])
        raise NotImplementedError(f"interpolate: {mode!r} is for inputs of {wanted} dimensions, got {input._spec!r}")
    smooth = mode not in ("nearest", "nearest-exact", "area")
    if align_corners is not None and not smooth:
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, got mode={mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for modes 'bilinear' and 'bicubic', got {mode!r}")
    before = input.shape[2:]
    after, factors = _sizes(before, size, scale_factor, recompute_scale_factor)
    if min(before) < 1 or min(after) < 1:
        raise shape_error("interpolate", f"sizes are at least 1, got {list(after)} for the input {input._spec!r}")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[axes - 1](input, after)
    if not smooth:
        return _nearest(input, after, factors, mode == "nearest-exact")
    tables = [
        _weights(n, o, f, mode == "bicubic", bool(align_corners), antialias, input.dtype.name)
        for n, o, f in zip(before, after, factors)
    ]

    def weighted(x: Any) -> Any:
        for d, table in reversed(list(enumerate(tables, 2))):
            x = x if table is None else _taken(x, d, *table)
        return x

    result: Tensor = rounded_once(weighted, input)
    return result if result is not input else input.clone()


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """`interpolate` with mode "bilinear" and align_corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def _sizes(
    before: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes of the result, and for each axis the factor that it is given by, or None."""
    axes = len(before)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give one of size and scale_factor")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        return tuple(map(int, _each("size", size, axes))), (None,) * axes
    factors = tuple(map(float, _each("scale_factor", scale_factor, axes)))
    after = tuple(math.floor(n * f) for n, f in zip(before, factors))
    return after, (None,) * axes if recompute else factors


def _each(name: str, value: Any, axes: int) -> Sequence[Any]:
    if not isinstance(value, Sequence):
        return (value,) * axes
    if len(value) != axes:
        raise ValueError(f"interpolate: {name} is one number or one for each of {axes} axes, got {list(value)}")
    return value


def _nearest(x: Tensor, after: tuple[int, ...], factors: tuple[float | None, ...], exact: bool) -> Tensor:
    """One element for each place; the places are computed in float32, as in PyTorch.

    As there, images that keep their size or double it do so evenly, whatever the factor.
    """
    result = x
    for d, (n, o, factor) in enumerate(zip(x.shape[2:], after, factors), 2):
        if x.ndim == 4 and not exact and o in (n, 2 * n):
            factor = None
        scale = np.float32(n / o if factor is None else 1 / factor)
        places = np.floor((np.arange(o, dtype=np.float32) + np.float32(0.5 if exact else 0)) * scale)
        source = np.clip(places.astype(np.int64), 0, n - 1)
        if not np.array_equal(source, np.arange(n)):
            result = index_select(result, d, from_numpy(source).to(x.device))
    return result if result is not x else x.clone()


def _taken(x: Tensor, dim: int, source: Any, weight: Any) -> Tensor:
    """Along `dim` sums of elements (out, taps) with weights, a gather and a product."""
    out, taps = source.shape
    shape = (*x.shape[:dim], out, taps, *x.shape[dim + 1 :])
    taken = index_select(x, dim, from_numpy(source.ravel()).to(x.device)).reshape(shape)
    w = from_numpy(weight.reshape(out, taps, *(1,) * (x.ndim - dim - 1))).to(x.device)
    return (taken * w.to(x.dtype)).sum(dim + 1)


def _weights(
    n: int, o: int, factor: float | None, cubic: bool, align_corners: bool, antialias: bool, dtype: str
) -> tuple[Any, Any] | None:
    """For each of o places the elements of n that count there, (o, taps), and their weights; None where all stay."""
    real: Any = np.float64 if dtype == "float64" else np.float32
    if align_corners:
        scale = real((n - 1) / (o - 1)) if o > 1 else real(0)
    else:
        scale = real(n / o if factor is None or factor <= 0 else 1 / factor)
    i = np.arange(o, dtype=real)
    if n == o and scale == 1:
        return None
    if antialias:
        return _wide_weights(n, o, float(scale), 2.0 if cubic else 1.0, real, cubic, align_corners)
    place = scale * i if align_corners else scale * (i + real(0.5)) - real(0.5)
    if not cubic:
        place = np.maximum(place, real(0))
        first = np.minimum(np.floor(place).astype(np.int64), n - 1)
        share = np.clip(place - first.astype(real), real(0), real(1))
        return np.stack([first, np.minimum(first + 1, n - 1)], 1), np.stack([1 - share, share], 1)
    first = np.floor(place).astype(np.int64)
    t = place - first.astype(real)
    distances = np.stack([t + 1, t, 1 - t, 2 - t], 1)
    source = np.clip(first[:, None] + np.arange(-1, 3), 0, n - 1)
    return source, _cubic(distances, -0.75).astype(real)


def _wide_weights(
    n: int, o: int, scale: float, reach: float, real: Any, cubic: bool, align_corners: bool
) -> tuple[Any, Any]:
    """Weights of windows that are wider where the result is smaller, each with the sum 1."""
    wide = max(scale, 1.0)
    support = reach * wide
    centre = scale * (np.arange(o, dtype=np.float64) + 0.5)
    first = np.maximum(np.trunc(centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum(np.trunc(centre + support + 0.5).astype(np.int64), n) - first
    taps = np.arange(int(count.max()))
    source = first[:, None] + taps
    distance = np.abs((source - centre[:, None] + 0.5) / wide)
    weight = _cubic(distance, -0.5) if cubic else np.maximum(1 - distance, 0)
    weight = np.where(taps < count[:, None], weight, 0)
    return np.minimum(source, n - 1), (weight / weight.sum(1, keepdims=True)).astype(real)


def _cubic(t: Any, a: float) -> Any:
    """Keys's cubic at distances t >= 0: 0 from 2 on."""
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
