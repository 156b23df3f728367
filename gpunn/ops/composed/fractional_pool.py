"""Max pooling of windows whose distances are drawn at random (Graham 2014, "Fractional max-pooling")."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.backend.dtypes import int64
from gpunn.random import uniform

from ..base import shape_error
from ..cast import cast
from ..construct import as_tensor
from ..creation import arange
from ..draw import draw
from ..gather import gather
from ..join import cat
from ..order import max as largest
from ..slicing import select
from ..view import expand, reshape, unsqueeze
from ..windows import Size, batched, per_axis, require_channels, times

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]

Ratio = float | Sequence[float]


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest element of each of as many windows as are asked for, which begin at places drawn for each channel.

    Window i of n begins at floor(a (i + u)) - floor(a u), a = (size - kernel) / (n - 1), with u drawn from [0, 1).

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: the window's height and width, or both in one number.
        output_size: (OH, OW), or both in one number.
        output_ratio: in its place the share of the input's size.
        return_indices: return (result, indices), as `max_pool2d` does.
        _random_samples: u (N, C, 2), for the width and the height.

    Raises:
        ValueError: neither size nor ratio.
        RuntimeError: windows and sizes do not fit.
    """
    return _pool(
        "fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """As `fractional_max_pool2d`, for volumes; the samples (N, C, 3) are for depth, height and width."""
    return _pool(
        "fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def _pool(
    name: str,
    axes: int,
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None,
    output_ratio: Ratio | None,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    x = batched(name, input, axes)
    require_channels(name, x)
    n, c, *before = x.shape
    kernel = per_axis(name, "kernel_size", kernel_size, axes)
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * axes
        output_size = [int(size * ratio) for size, ratio in zip(before, ratios)]
    after = per_axis(name, "output_size", output_size, axes)
    if any(o + k - 1 > size for o, k, size in zip(after, kernel, before)):
        raise shape_error(name, f"windows of {times(kernel)} at {times(after)} places do not fit into {input._spec!r}")
    if samples is None:
        samples = draw(uniform, (x.dtype,), (n, c, axes), x.dtype, x.device)
    if samples.shape != (n, c, axes):
        raise shape_error(name, f"takes samples {[n, c, axes]}, got {samples._spec!r}")
    place: Any = 0
    for d, (size, o, k) in enumerate(zip(before, after, kernel)):
        u = select(samples, 2, axes - 1 - d if axes == 2 else d)
        begins = reshape(_begins(u, size, o, k), (n, c, *(o if i == d else 1 for i in range(2 * axes))))
        steps = arange(k, dtype=int64, device=x.device)
        place = place * size + begins + reshape(steps, tuple(k if i == axes + d else 1 for i in range(2 * axes)))
    elements = expand(place, (n, c, *after, *kernel))
    flat = gather(reshape(x, (n, c, prod(before))), 2, reshape(elements, (n, c, prod(after) * prod(kernel))))
    windows = (n, c, prod(after), prod(kernel))
    values, which = largest(reshape(flat, windows), -1)
    shape = (*input.shape[:-axes], *after)
    if not return_indices:
        return reshape(values, shape)
    indices = gather(reshape(elements, windows), 3, unsqueeze(which, 3))
    return reshape(values, shape), reshape(indices, shape)


def _begins(u: Tensor, size: int, count: int, kernel: int) -> Tensor:
    """Where the windows of each channel begin, (N, C, count); the last one ends where the input does."""
    last = as_tensor(size - kernel, dtype=int64, device=u.device)
    ends = expand(reshape(last, (1, 1, 1)), (*u.shape, 1))
    if count == 1:
        return ends
    alpha = (size - kernel) / (count - 1)
    places = unsqueeze(u, 2) + arange(count - 1, dtype=u.dtype, device=u.device)
    begins = cast(places * alpha, int64) - cast(unsqueeze(u, 2) * alpha, int64)
    return cat([begins, ends], 2)
