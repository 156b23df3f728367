"""The patches of images as columns, and the adjoint."""

from __future__ import annotations

from typing import Any

from .family import Array, Family, bits, prod
from .ladder import Ladder
from .windows import Pair, geometry, runs

IM2COL = Ladder("im2col", ("naive", "patches"))
COL2IM = Ladder("col2im", ("naive", "windows", "steps"))
"""Each element of the kernel, the windows that reach a pixel, or these from one to the next in memory."""


class Im2col(Family):
    """The patches of images as columns, and the adjoint."""

    def im2col(
        self, x: Array, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """The patches of x (n, c, h, w) under the kernel at every position, as columns (n, c kh kw, positions).

        Element (n, (c, i, j), (r, q)) is x[n, c, r stride - corner + i dilation, q stride - corner + j dilation], and 0
        outside the image. `corner` is the padding above and to the left.
        """
        n, c = x.shape[:2]
        columns = self.result(out, (n, c * prod(kernel), prod(positions)), x.dtype)
        where = geometry(x.shape[2:], positions, kernel, stride, corner, dilation)
        args = (bits(self.contiguous(x)), bits(columns), n * c, *where)
        rung = IM2COL.pick()
        threads = columns.size if rung == "naive" else n * c * prod(positions)
        self.launch_elements("im2col.cu", f"im2col_{rung}", threads, args, element_t=args[0].dtype)
        return columns

    def col2im(
        self,
        columns: Array,
        size: Pair,
        positions: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        out: Any = None,
    ) -> Array:
        """The sum of all patches, each at its place in an image (n, c, *size) of zeros: the adjoint of `im2col`."""
        n, c = columns.shape[0], columns.shape[1] // prod(kernel)
        image = self.result(out, (n, c, *size), columns.dtype)
        where = geometry(size, positions, kernel, stride, corner, dilation)
        rung = COL2IM.pick("steps" if kernel[1] > stride[1] else "windows")  # some windows lie side by side
        if rung == "steps" and dilation != (1, 1):
            rung = "windows"
        if rung == "steps":
            where = where[:5] + where[6:11]
        threads = image.size if rung == "naive" else runs(n * c, size)
        args = (self.contiguous(columns), image, n * c, *where)
        self.launch_elements("col2im.cu", f"col2im_{rung}", threads, args, scalar_t=columns.dtype)
        return image
