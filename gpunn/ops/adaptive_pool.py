"""Adaptive pooling: windows that cover an image evenly, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Op, shape_error
from .pool import max_pool2d
from .windows import Pair, batched, per_axis, require_float, times, without_batch

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

OutputSize = int | Sequence[int | None] | None


@dataclass(frozen=True)
class AdaptiveAvgPool2d(Op):
    """Y = mean of X over each window;  dX = dY / n, added at the n elements of the window.

    X (n, c, h, w) -> Y (n, c, *size). There are size windows, from floor(i h / oh) to ceil((i + 1) h / oh).
    """

    size: Pair

    def shape(self, x: Spec) -> Spec:
        require_float(self.name, x)
        if x.ndim != 4 or 0 in x.shape[2:]:
            raise shape_error(self, f"takes an input (N, C, H, W) with H and W at least 1, got {x!r}")
        return x.like((*x.shape[:2], *self.size))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d(x, self.size, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(AdaptiveAvgPool2dBackward(x.shape[2:]), dy)


@dataclass(frozen=True)
class AdaptiveAvgPool2dBackward(Op):
    """dX = dY / n, added at the n elements of its window;  ddY = mean of ddX over each window.

    It is the adjoint of `AdaptiveAvgPool2d`, and each is the gradient of the other.

    dY (n, c, oh, ow) -> dX (n, c, *size)
    """

    size: Pair

    def shape(self, dy: Spec) -> Spec:
        return dy.like((*dy.shape[:2], *self.size))

    def forward(self, backend: Any, dy: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d_backward(dy, self.size, out=out)

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any) -> Any:
        return apply(AdaptiveAvgPool2d(dy.shape[2:]), g)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the image evenly, whatever its size.

    Args:
        input: (N, C, H, W), or (C, H, W).
        output_size: (OH, OW), or both in one number; None keeps the input's size.

    Returns:
        (N, C, OH, OW)
    """
    x = batched("adaptive_avg_pool2d", input, 2)
    return without_batch(apply(AdaptiveAvgPool2d(_output_size("adaptive_avg_pool2d", output_size, x, 2)), x), input, 2)


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """As `adaptive_avg_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    x = batched("adaptive_avg_pool1d", input, 1)
    size = _output_size("adaptive_avg_pool1d", output_size, x, 1)
    return without_batch(apply(AdaptiveAvgPool2d((1, *size)), x.unsqueeze(2)), input, 1)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the image evenly.

    Arguments as in `adaptive_avg_pool2d`; `return_indices` as in `max_pool2d`.

    Raises:
        RuntimeError: the output size does not divide the image's: unequal windows are not supported here.
    """
    x = batched("adaptive_max_pool2d", input, 2)
    size = _output_size("adaptive_max_pool2d", output_size, x, 2)
    if any(o < 1 or n % o for n, o in zip(x.shape[2:], size)):
        raise shape_error(
            "adaptive_max_pool2d",
            f"the output size {times(size)} must divide the image's {times(x.shape[2:])}, in {input._spec!r}",
        )
    return max_pool2d(input, tuple(n // o for n, o in zip(x.shape[2:], size)), return_indices=return_indices)


def _output_size(name: str, output_size: OutputSize, x: Tensor, axes: int) -> Any:
    wanted = output_size if isinstance(output_size, Sequence) else (output_size,) * axes
    if len(wanted) != axes:
        raise shape_error(name, f"output_size is one number or {axes}, got {output_size!r}")
    size = [n if o is None else o for o, n in zip(wanted, x.shape[2:])]
    return per_axis(name, "output_size", size, axes, least=0)
