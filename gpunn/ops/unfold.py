"""Patches of an image as columns, and the sum of patches at their places."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .windows import (
    NO_PADDING,
    Padding,
    Pair,
    Size,
    batched,
    both_sides,
    checked_positions,
    corner,
    per_axis,
    positions,
    require_float,
    times,
)

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Im2Col(Op):
    """Y[n, (c, i, j), (r, q)] = X[n, c, r s + i d - p, q s + j d - p], 0 outside the image;  dX = col2im(dY).

    X (n, c, h, w) -> Y (n, c kh kw, oh ow): the patches as columns, so that W Y is the convolution with W.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)

    def shape(self, x: Spec) -> Spec:
        if x.ndim != 4:
            raise shape_error(self, f"takes an input (N, C, H, W), got {x!r}")
        found = checked_positions(self.name, x, self.kernel, self.stride, self.padding, self.dilation)
        return x.like((x.shape[0], x.shape[1] * prod(self.kernel), prod(found)))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return backend.im2col(x, found, self.kernel, self.stride, corner(self.padding), self.dilation, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Col2Im(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation), dy)

    def cost(self, x: Spec) -> Cost:
        return Cost(0, x.nbytes + self.shape(x).nbytes)


@frozen
class Col2Im(Op):
    """X = sum of Y over patches, each at its place in an image of zeros: the adjoint of im2col;  dY = im2col(dX).

    Y (n, c kh kw, oh ow) -> X (n, c, *size)
    """

    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)

    def shape(self, y: Spec) -> Spec:
        patch = prod(self.kernel)
        if y.ndim != 3 or y.shape[1] % patch:
            raise shape_error(
                self,
                f"takes columns (N, C x {times(self.kernel)}, L): dimension 1 is a multiple of the {patch} elements "
                f"of the kernel, got {y!r}",
            )
        x = y.like((y.shape[0], y.shape[1] // patch, *self.size))
        found = checked_positions(self.name, x, self.kernel, self.stride, self.padding, self.dilation)
        if y.shape[2] != prod(found):
            raise shape_error(
                self,
                f"an image of {times(self.size)} has {times(found)} = {prod(found)} patches with kernel "
                f"{list(self.kernel)}, stride {list(self.stride)}, padding {list(corner(self.padding))} and dilation "
                f"{list(self.dilation)}, but the columns {y!r} are {y.shape[2]} patches",
            )
        return x

    def forward(self, backend: Any, y: Any, out: Any = None) -> Any:
        found = positions(self.size, self.kernel, self.stride, self.padding, self.dilation)
        return backend.col2im(
            y, self.size, found, self.kernel, self.stride, corner(self.padding), self.dilation, out=out
        )

    def vjp(self, needs: Any, dx: Any, x: Any, y: Any) -> Any:
        return apply(Im2Col(self.kernel, self.stride, self.padding, self.dilation), dx)

    def cost(self, y: Spec) -> Cost:
        return Cost(y.numel(), y.nbytes + self.shape(y).nbytes)


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """The patches of an image as columns (im2col).

    Args:
        input: (N, C, H, W), or (C, H, W).
        kernel_size: the patch's height and width, or both in one number; likewise for the others.
        dilation: the steps between elements of a patch.
        padding: rows and columns of zeros around the image.
        stride: the steps between patches.

    Returns:
        (N, C kh kw, L) for L patches, row by row; without N if the input has none.

    Raises:
        RuntimeError: the patch does not fit into the padded image.
    """
    require_float("unfold", input._spec)
    op = Im2Col(
        per_axis("unfold", "kernel_size", kernel_size, 2),
        per_axis("unfold", "stride", stride, 2),
        both_sides(per_axis("unfold", "padding", padding, 2, least=0)),
        per_axis("unfold", "dilation", dilation, 2),
    )
    columns: Tensor = apply(op, batched("unfold", input, 2))
    return columns if input.ndim == 4 else columns.squeeze(0)


def fold(
    input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Columns as patches of an image, summed where they overlap (col2im); the adjoint of `unfold`, not its inverse.

    Args:
        input: (N, C kh kw, L), or (C kh kw, L).
        output_size: height and width of the image.
        kernel_size: as in `unfold`; likewise for the others.
        dilation: the steps between elements of a patch.
        padding: rows and columns around the image that are cut off.
        stride: the steps between patches.

    Returns:
        (N, C, *output_size); without N if the input has none.

    Raises:
        RuntimeError: an image of that size has another number of patches.
    """
    require_float("fold", input._spec)
    if input.ndim not in (2, 3):
        raise shape_error("fold", f"takes columns (N, C kh kw, L), or (C kh kw, L) for one sample, got {input._spec!r}")
    op = Col2Im(
        per_axis("fold", "output_size", output_size, 2),
        per_axis("fold", "kernel_size", kernel_size, 2),
        per_axis("fold", "stride", stride, 2),
        both_sides(per_axis("fold", "padding", padding, 2, least=0)),
        per_axis("fold", "dilation", dilation, 2),
    )
    image: Tensor = apply(op, input if input.ndim == 3 else input.unsqueeze(0))
    return image if input.ndim == 3 else image.squeeze(0)
