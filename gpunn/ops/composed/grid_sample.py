"""Images sampled at the places of a grid (Jaderberg et al. 2015, "Spatial transformer networks")."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.autocast import full_precision
from gpunn.backend.dtypes import int64

from ..base import shape_error
from ..cast import cast
from ..comparison import clamp, eq, ge, le, logical_and, lt, nan_to_num, where
from ..construct import from_numpy
from ..gather import gather
from ..matmul import matmul
from ..rounding import floor, round
from ..slicing import select
from ..view import expand, reshape, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places (x, y, 1) or (x, y, z, 1) of an image's elements, from -1 to 1, mapped by matrices.

    Args:
        theta: (N, 2, 3) for images, (N, 3, 4) for volumes.
        size: (N, C, H, W) or (N, C, D, H, W) of the result that `grid_sample` is to give.
        align_corners: whether -1 and 1 are the centres of the outermost elements, or their edges (None: as False).

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).
    """
    axes = len(size) - 2
    if axes not in (2, 3) or theta.shape != (size[0], axes, axes + 1) or min(size) < 1:
        raise shape_error(
            "affine_grid",
            f"takes theta (N, 2, 3) with a size (N, C, H, W), or (N, 3, 4) with (N, C, D, H, W), none of them 0; got "
            f"{theta._spec!r} and {list(size)}",
        )
    if not theta.is_floating_point():
        raise shape_error("affine_grid", f"takes floats, got {theta._spec!r}")
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    base = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(tuple(size[2:]))], -1).reshape(-1, axes + 1)
    places = matmul(from_numpy(base).to(theta.dtype).to(theta.device), theta.transpose(1, 2))
    return reshape(places, (size[0], *size[2:], axes))


@full_precision
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The input at the places that a grid gives, between elements by their weights.

    A place (x, y), or (x, y, z), is -1 at the left, upper or front end and 1 at the other; x goes along the last axis.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, OH, OW, 2) or (N, OD, OH, OW, 3).
        mode: "bilinear" (for volumes too), "nearest", or for images "bicubic" (Keys 1981, a = -3/4).
        padding_mode: what lies beyond: "zeros", "border" (the nearest element) or "reflection".
        align_corners: whether -1 and 1 are the centres of the outermost elements, or their edges (None: as False).

    Returns:
        (N, C, OH, OW) or (N, C, OD, OH, OW). The gradient of the grid is that of the weights.
    """
    axes = input.ndim - 2
    if mode not in MODES or padding_mode not in PADDING_MODES:
        raise ValueError(
            f"grid_sample: mode is one of {', '.join(MODES)} and padding_mode one of {', '.join(PADDING_MODES)}, got "
            f"{mode!r} and {padding_mode!r}"
        )
    if axes not in (2, 3) or grid.ndim != input.ndim or grid.shape[-1] != axes or grid.shape[0] != input.shape[0]:
        raise shape_error(
            "grid_sample",
            "takes an input (N, C, H, W) with a grid (N, OH, OW, 2), or (N, C, D, H, W) with (N, OD, OH, OW, 3); got "
            f"{input._spec!r} and {grid._spec!r}",
        )
    if input.dtype is not grid.dtype:
        raise shape_error("grid_sample", f"input and grid have one type, got {input._spec!r} and {grid._spec!r}")
    if mode == "bicubic" and axes == 3:
        raise shape_error("grid_sample", f"bicubic is for images (N, C, H, W), got {input._spec!r}")
    if 0 in input.shape[2:]:
        raise shape_error("grid_sample", f"the input has no elements to sample: {input._spec!r}")
    sizes = input.shape[2:]
    aligned = bool(align_corners)
    # The grid's last coordinate is along the first axis.
    places = [_place(select(grid, -1, axes - 1 - d), n, aligned) for d, n in enumerate(sizes)]
    if mode != "bicubic":
        places = [_padded(p, n, padding_mode, aligned) for p, n in zip(places, sizes)]
    taps = [_taps(p, mode) for p in places]
    if mode == "bicubic":  # each of the elements around is padded by itself
        taps = [[(_padded(i, n, padding_mode, aligned), w) for i, w in along] for along, n in zip(taps, sizes)]
    return _weighted(input, taps, grid.shape[1:-1])


def _place(x: Tensor, n: int, aligned: bool) -> Tensor:
    """-1 to 1 as places among n elements."""
    return (x + 1) * ((n - 1) / 2) if aligned else ((x + 1) * n - 1) / 2


def _padded(x: Tensor, n: int, padding_mode: str, aligned: bool) -> Tensor:
    """Places beyond the ends as `padding_mode` has them; there the gradient is 0, or turned around."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        x = _reflected(x, 0, 2 * (n - 1)) if aligned else _reflected(x, -1, 2 * n - 1)
    return where(le(x, 0), 0.0, where(ge(x, n - 1), float(n - 1), x))


def _reflected(x: Tensor, twice_low: int, twice_high: int) -> Tensor:
    """Places reflected at both ends until they lie between them."""
    if twice_low == twice_high:
        return x * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    x = x - low
    x = where(lt(x, 0), -x, x)
    flips = floor(x.detach() / span)
    rest = x - flips * span
    return where(eq(flips - 2 * floor(flips / 2), 0), rest + low, span + low - rest)


def _taps(x: Tensor, mode: str) -> list[tuple[Tensor, Any]]:
    """The elements around a place, and their weights."""
    if mode == "nearest":
        return [(round(x.detach()), None)]
    first = floor(x.detach())
    t = x - first
    if mode == "bilinear":
        return [(first, 1 - t), (first + 1, t)]
    a = -0.75

    def near(t: Tensor) -> Tensor:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: Tensor) -> Tensor:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return [(first - 1, far(t + 1)), (first, near(t)), (first + 1, near(1 - t)), (first + 2, far(2 - t))]


def _weighted(input: Tensor, taps: list[list[tuple[Tensor, Any]]], shape: tuple[int, ...]) -> Tensor:
    """The sum over all combinations of elements along the axes; those outside are 0."""
    n, c, *sizes = input.shape
    flat = reshape(input, (n, c, prod(sizes)))
    result: Any = 0
    for combination in itertools.product(*taps):
        inside: Any = None
        index: Any = 0
        weight: Any = None
        for (i, w), size in zip(combination, sizes):
            within = logical_and(ge(i, 0), le(i, size - 1))
            inside = within if inside is None else logical_and(inside, within)
            index = index * size + cast(clamp(nan_to_num(i), 0, size - 1), int64)
            weight = w if weight is None or w is None else weight * w
        place = expand(reshape(index, (n, 1, prod(shape))), (n, c, prod(shape)))
        taken = reshape(gather(flat, 2, place), (n, c, *shape))
        taken = where(unsqueeze(inside, 1), taken, 0.0)
        result = result + (taken if weight is None else taken * unsqueeze(weight, 1))
    return result
