"""Batches of images from a data set of bytes."""

from __future__ import annotations

from typing import Any

from .family import Array, prod
from .indexing import Indexing
from .ladder import Ladder

GATHER_IMAGES = Ladder("gather_images", ("naive", "vectorised"))


class Images(Indexing):
    """Batches of images from a data set of bytes."""

    def gather_images(
        self, images: Array, index: Array, scale: Array, shift: Array, dtype: Any, out: Array | None = None
    ) -> Array:
        """images[index] scale + shift in another type, for bytes (n, c, ...), with scale and shift (c,), or (1,).

        Raises:
            IndexError: there is no such image.
        """
        n = images.shape[0]
        self.refuse_bad(index, 0, n, False)
        y = self.result(out, (*index.shape, *images.shape[1:]), dtype)
        images, index, scale, shift = map(self.contiguous, (images, index, scale, shift))
        channels, inner = scale.size, prod(images.shape[1:]) // scale.size
        fits = inner % 4 == 0 and self.address(images) % 4 == 0 and self.address(y) % min(16, 4 * y.dtype.itemsize) == 0
        rung = GATHER_IMAGES.pick() if fits else "naive"
        args = (images, index, scale, shift, y, n, channels, inner, y.size)
        count = y.size // 4 if rung == "vectorised" else y.size
        self.launch_elements("gather_images.cu", f"gather_images_{rung}", count, args, scalar_t=y.dtype)
        return y
