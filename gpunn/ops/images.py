"""Batches of images from a data set of bytes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import FLOAT, as_dtype, float32, float64, get_default_dtype, int64, uint8
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .index_key import as_index

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class GatherImages(Op):
    """y[b, c, ...] = x[i[b], c, ...] scale[c] + shift[c] in another type, for bytes x.

    x (n, c, ...)  i (b,)  scale, shift (c,), or (1,) for all channels  ->  y (b, c, ...)

    Computed in the type of scale and shift, in one pass.
    """

    dtype: DType
    differentiable = False

    def shape(self, x: Spec, index: Spec, scale: Spec, shift: Spec) -> Spec:
        if x.dtype is not uint8 or not x.ndim:
            raise shape_error(self, f"the images are uint8 (n, c, ...), got {x!r}")
        if index.dtype is not int64 or index.ndim != 1:
            raise shape_error(self, f"the index is a vector of int64, got {index!r}")
        channels = x.shape[1] if x.ndim > 1 else 1
        if scale.shape not in ((1,), (channels,)) or shift.shape != scale.shape:
            raise shape_error(
                self, f"scale and shift have a number for each channel of {x!r}, or one; got {scale!r} and {shift!r}"
            )
        return x.like((*index.shape, *x.shape[1:]), self.dtype)

    def forward(self, backend: Any, x: Any, index: Any, scale: Any, shift: Any, out: Any = None) -> Any:
        return backend.gather_images(x, index, scale, shift, self.dtype.numpy, out=out)

    def cost(self, x: Spec, index: Spec, scale: Spec, shift: Spec) -> Cost:
        y = self.shape(x, index, scale, shift)
        read = index.nbytes + scale.nbytes + shift.nbytes + index.numel() * prod(x.shape[1:])
        return Cost(2 * y.numel(), read + y.nbytes)


def gather_images(images: Tensor, index: Tensor, scale: Tensor, shift: Tensor, dtype: Any = None) -> Tensor:
    """The images that `index` names, as ``image * scale + shift`` for each channel: a batch for a network.

    For pixels from 0 to 1 less a mean and over a standard deviation, scale is ``1 / (255 * std)`` and shift
    ``-mean / std``. On a GPU one kernel reads each byte once, so the data set stays there as bytes, a quarter of what
    it takes in float32.

    Args:
        images: uint8 (n, channels, ...).
        index: int64 or int32 (batch,), such as a part of `gpunn.randperm`.
        scale: (channels,), or (1,) for all channels.
        shift: likewise.
        dtype: a floating point type; None for the default one.

    Returns:
        (batch, channels, ...).

    Raises:
        IndexError: an index is negative or too large.
        RuntimeError: the images are not uint8, or shapes do not fit.
        TypeError: `dtype` is no floating point type.
    """
    target = get_default_dtype() if dtype is None else as_dtype(dtype)
    if target.category != FLOAT:
        raise TypeError(f"gather_images: dtype is a floating point type, got {target!r}")
    computed = float64 if target is float64 else float32
    factors = (a.to(computed) for a in (scale, shift))
    return apply(GatherImages(target), images, as_index("gather_images", index, images), *factors)
