"""The transposed convolution as a layer: the gradient of a convolution with respect to its input, plus a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.tape import apply

from .base import shape_error
from .conv import Conv2dInputGrad, check_transposed
from .windows import Size, batched, per_axis, times, without_batch

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@half_precision
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transposed convolution: `conv2d`'s gradient with respect to its input, as a layer that enlarges images.

    Args:
        input: (N, C, H, W), or (C, H, W).
        weight: (C, O / groups, KH, KW).
        bias: (O,), or None.
        stride: the stride of the convolution that this one turns around; likewise for the others.
        padding: rows and columns that are cut off around the result.
        output_padding: rows and columns more at the end of the result, which the stride leaves open.
        groups: the channels are split into so many groups.
        dilation: steps between the elements of the kernel.

    Returns:
        (N, O, OH, OW) with OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1, and OW likewise.

    Raises:
        RuntimeError: shapes or types do not fit; the message names them.
    """
    return _convolve_transposed(
        "conv_transpose2d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@half_precision
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """As `conv_transpose2d`, for sequences: input (N, C, L) or (C, L), weight (C, O / groups, K) -> (N, O, OL)."""
    return _convolve_transposed(
        "conv_transpose1d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _convolve_transposed(
    name: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Tensor:
    axes = 1 if name == "conv_transpose1d" else 2
    x = batched(name, input, axes)
    steps, around, spread, size = read_transposed(
        name, axes, input, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
    if axes == 1:
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        steps, around, spread, size = (1, *steps), ((0, 0), *around), (1, *spread), (1, *size)
    result = apply(Conv2dInputGrad(steps, around, spread, groups, size), x, weight)
    if bias is not None:
        result = result + bias.reshape(1, -1, 1, 1)
    return without_batch(result, input, axes)


def read_transposed(
    name: str,
    axes: int,
    input: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> tuple[Any, Any, Any, Any]:
    """Stride, padding and dilation of the convolution that is turned around, and the size of the result's image."""
    steps = per_axis(name, "stride", stride, axes)
    spread = per_axis(name, "dilation", dilation, axes)
    cut = per_axis(name, "padding", padding, axes, least=0)
    more = per_axis(name, "output_padding", output_padding, axes, least=0)
    if groups < 1:
        raise shape_error(name, f"groups must be at least 1, got {groups}")
    check_transposed(name, x._spec, weight._spec, None if bias is None else bias._spec, groups)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, spread)):
        raise shape_error(
            name,
            f"output_padding must be smaller than stride or dilation, got {list(more)} with stride {list(steps)} and "
            f"dilation {list(spread)}",
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, k, s, p, d, m in zip(x.shape[2:], weight.shape[2:], steps, cut, spread, more)
    )
    if min(size) < 1:
        raise shape_error(
            name, f"the result would be of size {times(size)} for the input {input._spec!r}; take a smaller padding"
        )
    # Seen from the result, output_padding is what the convolution does not reach: padding that is missing at the end.
    around: Any = tuple((p, p - m) for p, m in zip(cut, more))
    return steps, around, spread, size
