"""Convolution of volumes: that of planes, whose channels are the channels and taps along the depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.tape import apply

from .conv import Conv2d, Conv2dInputGrad, check_convolution, read_geometry
from .conv_transpose import read_transposed
from .unfold import Col2Im, Im2Col
from .windows import Size, batched, without_batch

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@half_precision
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, for volumes.

    y[n, o, z] = b[o] + sum over c, k of W[o, c, k] * x[n, c, stride z + dilation k - padding], a sum of convolutions of
    planes; im2col along the depth makes the pairs (c, k) channels of one.

    Args:
        input: (N, C, D, H, W), or (C, D, H, W).
        weight: (O, C / groups, KD, KH, KW).
        bias: (O,), or None.
        stride: as in `conv2d`, one number or one for each of three axes; likewise for the others.
        padding: see there.
        dilation: see there.
        groups: see there.

    Returns:
        (N, O, OD, OH, OW), without N if the input has none.

    Raises:
        RuntimeError: shapes or types do not fit; the message names them.
    """
    x = batched("conv3d", input, 3)
    steps, around, spread = read_geometry("conv3d", 3, weight, stride, padding, dilation, groups)
    b = None if bias is None else bias._spec
    depth, *plane = check_convolution("conv3d", x._spec, weight._spec, b, steps, around, spread, groups)
    n, c, _, h, w = x.shape
    o, share, taps, kh, kw = weight.shape
    along = Im2Col((taps, 1), (steps[0], 1), (around[0], (0, 0)), (spread[0], 1))
    columns = apply(along, x.flatten(3)).reshape(n, c * taps, depth, h, w)
    planes = columns.transpose(1, 2).reshape(n * depth, c * taps, h, w)
    op = Conv2d(steps[1:], around[1:], spread[1:], groups)
    result = apply(op, planes, weight.reshape(o, share * taps, kh, kw), bias).reshape(n, depth, o, *plane)
    return without_batch(result.transpose(1, 2).contiguous(), input, 3)


@half_precision
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """As `conv_transpose2d`, for volumes: the transposed `conv3d`.

    Args:
        input: (N, C, D, H, W), or (C, D, H, W).
        weight: (C, O / groups, KD, KH, KW).
        bias: (O,), or None.
        stride: as in `conv_transpose2d`, one number or one for each of three axes; likewise for the others.
        padding: see there.
        output_padding: see there.
        groups: see there.
        dilation: see there.

    Returns:
        (N, O, OD, OH, OW), without N if the input has none.

    Raises:
        RuntimeError: shapes or types do not fit; the message names them.
    """
    x = batched("conv_transpose3d", input, 3)
    steps, around, spread, size = read_transposed(
        "conv_transpose3d", 3, input, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
    n, c, depth, h, w = x.shape
    share, taps, kh, kw = weight.shape[1:]
    o, pixels = share * groups, size[1] * size[2]
    planes = x.transpose(1, 2).reshape(n * depth, c, h, w)
    op = Conv2dInputGrad(steps[1:], around[1:], spread[1:], groups, size[1:])
    found = apply(op, planes, weight.reshape(c, share * taps, kh, kw)).reshape(n, depth, o * taps, pixels)
    columns = found.transpose(1, 2).reshape(n, o * taps, depth * pixels)
    along = Col2Im((size[0], pixels), (taps, 1), (steps[0], 1), (around[0], (0, 0)), (spread[0], 1))
    result = apply(along, columns).reshape(n, o, *size)
    if bias is not None:
        result = result + bias.reshape(1, -1, 1, 1, 1)
    return without_batch(result, input, 3)
