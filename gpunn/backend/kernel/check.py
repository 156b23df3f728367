"""Checks of what lies on the device: a kernel looks for bad elements, and an error names the first of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend import recording
from gpunn.backend.recording import Complain, report

from .family import Array, Family, ceil_div

_BLOCKS = 64
"""Blocks that look for a bad element at most, each of which leaves two numbers for the host."""


class Check(Family):
    """Checks. The host waits for the answer, unless the call is recorded; see `gpunn.backend.recording`.

    So kernels guard themselves too: for a bad element they read nothing and write zeros.
    """

    to_numpy: Callable[[Array], Any]

    def refuse_indices(self, index: Array, low: int, high: int, complain: Complain, ignore: int | None = None) -> None:
        """Complain about the first element that is not low <= i < high, nor `ignore`.

        ``complain(value, place)`` raises; the place is counted in row-major order.
        """
        index = self.contiguous(index)
        if not index.size:
            return
        blocks = min(ceil_div(index.size, 256), _BLOCKS)
        bounds = low, high, int(ignore is not None), ignore or 0

        def look(found: Array, keep: bool) -> None:
            args = (index, found, index.size, *bounds, keep)
            self.launch("check.cu", "first_outside", (blocks,), (256,), args, integer_t=index.dtype)

        self.refuse(look, blocks, complain)

    def refuse(self, look: Callable[[Array, bool], None], blocks: int, complain: Complain) -> None:
        """Call ``complain(value, place)``, which raises, if a kernel finds something.

        ``look(found, keep)`` launches it: block b writes place and value of what it finds first to found[b], and else
        the place -1. With `keep` a block for which a place stands there already leaves it as it is.
        """
        recorder = recording.current()
        if recorder is not None:
            look(recorder.errors.take(blocks, complain), True)
            return
        found = self.empty((blocks, 2), np.int64)
        look(found, False)
        report(self.to_numpy(found), complain)
