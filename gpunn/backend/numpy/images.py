"""Batches of images from a data set of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .half import _narrow
from .indexing import _inside

__all__ = ["gather_images"]


def gather_images(images: Any, index: Any, scale: Any, shift: Any, dtype: Any, out: Any = None) -> Any:
    """images[index] scale + shift in another type, for bytes (n, c, ...), with scale and shift (c,), or (1,) for all.

    Computed in the type of scale and shift.

    Raises:
        IndexError: there is no such image.
    """
    (index,) = _inside((index,), (0,), images.shape, False)
    channels = (-1,) + (1,) * max(0, images.ndim - 2) if scale.size > 1 else ()
    scale, shift = scale.reshape(channels), shift.reshape(channels)
    y = np.multiply(images[index], scale, out=out if dtype == scale.dtype else None)
    np.add(y, shift, out=y)
    return y if dtype == scale.dtype else _narrow(y.astype(dtype), dtype, out)
