"""How kernels and windows lie on an image: what convolution, pooling and unfold share."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

from gpunn.backend.dtypes import FLOAT
from gpunn.backend.spec import Spec

from .base import shape_error

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
"""For each axis the padding before and after the image; a negative one cuts off."""
Size = int | Sequence[int]

NO_PADDING: Padding = ((0, 0), (0, 0))
LAYOUTS = {1: ("C, L", "K"), 2: ("C, H, W", "KH, KW"), 3: ("C, D, H, W", "KD, KH, KW")}
"""For each number of axes how messages name the dimensions of a sample and of a kernel."""


def per_axis(name: str, what: str, value: Size, axes: int, least: int = 1) -> Any:
    """A size given once for all axes, or once for each, as a tuple.

    Raises:
        RuntimeError: another number of them, or one smaller than `least`.
        TypeError: no integers.
    """
    if type(value) is int:
        sizes = (value,) * axes
    else:
        try:
            sizes = tuple(map(index, value)) if isinstance(value, Sequence) else (index(value),)
        except TypeError:
            raise TypeError(f"{name}: {what} is an integer, or one for each of {axes} axes, got {value!r}") from None
        if len(sizes) == 1:
            sizes *= axes
        if len(sizes) != axes:
            raise shape_error(name, f"{what} is an integer, or one for each of {axes} axes, got {value!r}")
    if min(sizes) < least:
        raise shape_error(name, f"{what} must be at least {least}, got {value!r}")
    return sizes


def both_sides(padding: tuple[int, ...]) -> Any:
    """The same padding before and after, for each axis."""
    return tuple((p, p) for p in padding)


def corner(padding: Padding) -> Pair:
    """The padding above and to the left: with the number of positions it is all that primitives need of it."""
    return padding[0][0], padding[1][0]


def positions(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """At how many places the kernel fits along each axis: floor((size + padding - d (kernel - 1) - 1) / stride) + 1.

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section 5.1.
    """
    return tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation)
    )


def checked_positions(name: str, x: Spec, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """`positions` in the last axes of `x`.

    Raises:
        RuntimeError: the kernel is larger than the padded input.
    """
    size = x.shape[-len(kernel) :]
    found = positions(size, kernel, stride, padding, dilation)
    if min(found) < 1:
        extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
        room = [n + before + after for n, (before, after) in zip(size, padding)]
        dilated = f" ({times(extent)} with dilation {list(dilation)})" if max(dilation) > 1 else ""
        padded = f" ({times(room)} with padding)" if room != list(size) else ""
        raise shape_error(
            name,
            f"the kernel of {times(kernel)}{dilated} is larger than the image of {times(size)}{padded} "
            f"in the input {x!r}; take a smaller kernel or more padding",
        )
    return found


def times(sizes: Sequence[int]) -> str:
    """Sizes as in "3 x 3"."""
    return " x ".join(map(str, sizes))


def batched(name: str, input: Tensor, axes: int) -> Tensor:
    """The input (N, C, ...), with a batch of one where it was (C, ...).

    Raises:
        RuntimeError: it has another number of dimensions.
    """
    if input.ndim == axes + 2:
        return input
    if input.ndim == axes + 1:
        return input.unsqueeze(0)
    layout = LAYOUTS[axes][0]
    raise shape_error(name, f"takes an input (N, {layout}), or ({layout}) for one sample, got {input._spec!r}")


def require_channels(name: str, x: Tensor) -> None:
    """Refuse to pool images (N, C, ...) of no channel, as PyTorch does; that N is 0 is all right."""
    if not x.shape[1]:
        raise shape_error(name, f"takes images of at least 1 channel, got {x._spec!r}")


def require_float(name: str, x: Spec) -> None:
    """Refuse integers and booleans."""
    if x.dtype.category != FLOAT:
        raise shape_error(name, f"takes floats, got {x!r}; convert with .float()")


def without_batch(result: Tensor, input: Tensor, axes: int) -> Tensor:
    """The result (N, C, H, W) with the dimensions that the input had: one axis less for sequences, no N without one."""
    if axes == 1:
        result = result.squeeze(2)
    return result if input.ndim == axes + 2 else result.squeeze(0)
