"""Windows on images worth trying, and slow references in plain NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Windows of `kernel` elements on an image of `size`; `corner` is the padding above and to the left."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    corner: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    beyond: tuple[int, int] | None = None
    """The padding at the other two edges, where it is another."""

    @property
    def positions(self) -> tuple[int, int]:
        """How many windows there are down and across."""
        after = self.corner if self.beyond is None else self.beyond
        rows, columns = (
            (n + p + a - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d, a in zip(self.size, self.kernel, self.stride, self.corner, self.dilation, after)
        )
        return rows, columns

    def elements(self, r: int, q: int) -> list[tuple[int, int, int, int]]:
        """(i, j, row, column) of each element of the window at (r, q) that lies in the image."""
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.corner, self.dilation
        every = [(i, j, r * sh - ph + i * dh, q * sw - pw + j * dw) for i, j in np.ndindex(*self.kernel)]
        return [e for e in every if 0 <= e[2] < self.size[0] and 0 <= e[3] < self.size[1]]


WINDOWS = {
    "plain": Windows((5, 7), (3, 3)),
    "padding": Windows((5, 4), (3, 3), corner=(1, 1)),
    "stride": Windows((7, 9), (3, 2), stride=(2, 3), corner=(1, 0)),
    "gaps": Windows((9, 8), (2, 1), stride=(3, 4), corner=(1, 0)),
    "dilation": Windows((9, 8), (3, 2), stride=(2, 1), corner=(2, 1), dilation=(2, 3)),
    "asymmetric": Windows((6, 5), (3, 3), corner=(0, 2), beyond=(3, 0)),
    "cut-off": Windows((7, 8), (2, 3), stride=(3, 1), corner=(-3, -1), beyond=(1, -1)),
    "sequence": Windows((1, 40), (1, 5), stride=(1, 2), corner=(0, 2), dilation=(1, 2)),
    "one-row": Windows((1, 9), (1, 1)),
    "one-column": Windows((9, 1), (4, 1), stride=(2, 1)),
    "one-window": Windows((4, 3), (4, 3)),
    "wide": Windows((3, 70), (2, 4), corner=(1, 2)),
}


def normal(*shape: int, dtype: Any = "float32", seed: int = 0) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def strided(x: np.ndarray) -> np.ndarray:
    """The same values in memory with gaps, in another order and backwards."""
    big = np.zeros(tuple(2 * n for n in x.shape[::-1]), x.dtype)
    view = big[tuple(slice(None, None, -2) for _ in x.shape)].transpose()
    view[...] = x
    return view
