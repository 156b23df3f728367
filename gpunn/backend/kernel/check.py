"""Checks of what lies on the device: a kernel looks for bad elements, and an error names the first of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from gpunn.backend import recording
from gpunn.backend.errors import Complain, EagerErrors

from .family import Array, Family, ceil_div

_BLOCKS = 64
"""Blocks that look for a bad element at most, each of which leaves two numbers for the host."""


class Check(Family):
    """Checks. The host does not wait for the answer, but looks later; see `gpunn.backend.errors`.

    So kernels guard themselves too: for a bad element they read nothing and write zeros.
    """

    @cached_property
    def unseen(self) -> EagerErrors:
        """What checks of eager work have found and the host has not looked at."""
        return EagerErrors(self)

    def look(self) -> None:
        """Raise what checks of eager work have found up to now; where there were some, that waits for the device."""
        if "unseen" in self.__dict__ and recording.current() is None:
            self.unseen.look()

    def errors_so_far(self) -> tuple[Array | None, int]:
        """What all checks up to now have left on the device, for kernels that do nothing after an error."""
        recorder = recording.current()
        if recorder is not None:
            return recorder.errors.so_far()
        return self.unseen.so_far() if "unseen" in self.__dict__ else (None, 0)

    def refuse_indices(self, index: Array, low: int, high: int, complain: Complain, ignore: int | None = None) -> None:
        """Complain about the first element that is not low <= i < high, nor `ignore`.

        ``complain(value, place)`` raises; the place is counted in row-major order.
        """
        index = self.contiguous(index)
        if not index.size:
            return
        blocks = min(ceil_div(index.size, 256), _BLOCKS)
        bounds = low, high, int(ignore is not None), ignore or 0

        def look(found: Array) -> None:
            args = (index, found, index.size, *bounds)
            self.launch("check.cu", "first_outside", (blocks,), (256,), args, integer_t=index.dtype)

        self.refuse(look, blocks, complain)

    def refuse(self, look: Callable[[Array], None], blocks: int, complain: Complain) -> None:
        """Call ``complain(value, place)``, which raises, if a kernel finds something, when the host looks at it.

        ``look(found)`` launches it: block b writes place and value of what it finds first to found[b], and else the
        place -1; where a place stands already it stays.
        """
        recorder = recording.current()
        if recorder is None:
            self.unseen.check(look, blocks, complain)
        else:
            look(recorder.room_for(blocks, complain))
