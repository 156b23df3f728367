"""Reductions over a tuple of axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.backend.kernel_texts import kernel_text
from gpunn.backend.signature import enumeration

from .elementwise import BINARY
from .family import Array, Family, accumulator, ceil_div, prod
from .ladder import Ladder
from .team import LONG, SHORT, THREADS, grid_and_block

REDUCE = Ladder("reduce", ("naive", "tree"))
CUMSUM = Ladder("cumsum", ("naive", "block"))

MAP, FINISH = (enumeration(kernel_text("reduce.cuh"), name) for name in ("Map", "Finish"))
"""What is made of elements before they are put together, and of the result."""

_ROW_PART, _COLUMN_PART = 4096, 256
"""Longer axes are cut into parts of so many elements, where they are rows of memory, and where they are not: a thread
then adds up 16 or 32 elements. Not measured."""
_MANY = 1 << 16
"""With so many results, one thread for each keeps a GPU busy; not measured."""


@dataclass(frozen=True)
class Stage:
    """One launch: the middle axis of (outer, length, inner) in parts, each by a team of threads."""

    outer: int
    length: int
    inner: int
    parts: int
    chunk: int
    team: str

    @property
    def rows(self) -> int:
        """Results."""
        return self.outer * self.parts * self.inner


def stages(shape: Sequence[int], axes: Sequence[int], naive: bool = False) -> Iterator[Stage]:
    """The launches that reduce some axes of a row-major array, one after another; they depend on shapes only.

    Neighbouring axes are reduced as one, the last ones first.
    """
    groups: list[tuple[int, bool]] = []  # sizes, and whether they go away
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        goes = axis in axes
        if groups and groups[-1][1] == goes:
            groups[-1] = (groups[-1][0] * n, goes)
        else:
            groups.append((n, goes))
    sizes = [n for n, _ in groups]
    reduced = [i for i, (_, goes) in enumerate(groups) if goes]
    if not reduced or 0 in [sizes[i] for i in reduced]:
        kept = prod([n for n, goes in groups if not goes])
        count = prod([sizes[i] for i in reduced])
        yield Stage(kept, count, 1, 1, count, "naive")
        return
    for i in reversed(reduced):
        outer, length, inner = prod(sizes[:i]), sizes[i], prod(sizes[i + 1 :])
        part = _ROW_PART if inner == 1 else _COLUMN_PART
        while length > 2 * part and not naive:
            parts = ceil_div(length, part)
            yield Stage(outer, length, inner, parts, part, _team(outer * parts * inner, part, inner))
            length = parts
        yield Stage(outer, length, inner, 1, length, "naive" if naive else _team(outer * inner, length, inner))
        sizes[i] = 1


def _team(rows: int, length: int, inner: int) -> str:
    if inner == 1:
        return "naive" if length <= SHORT else "warp" if length <= LONG else "block"
    return "naive" if length <= SHORT or rows >= _MANY else "columns"


def reduced_shape(shape: Sequence[int], axes: Sequence[int], keepdims: bool) -> tuple[int, ...]:
    """The shape after the axes went away, or became 1."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keepdims or axis not in axes)


class Reduction(Family):
    """Reductions over a tuple of axes, and running sums."""

    not_equal: Callable[..., Array]
    absolute: Callable[..., Array]
    power: Callable[..., Array]

    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """The sum over the axes."""
        return self._combined("add", x, axes, keepdims, out)

    def mean(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """The sum over the axes, divided by the number of elements; NaN for none."""
        count = prod([x.shape[a] for a in axes])
        return self._combined("add", x, axes, keepdims, out, finish="QUOTIENT", divisor=count)

    def product(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """The product over the axes."""
        return self._combined("multiply", x, axes, keepdims, out)

    def amax(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """The largest element over the axes; NaN if there is one."""
        return self._combined("maximum", x, axes, keepdims, out)

    def amin(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """The smallest element over the axes; NaN if there is one."""
        return self._combined("minimum", x, axes, keepdims, out)

    def all(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """Whether no element over the axes is 0: a product of booleans."""
        return self._combined("multiply", self._truth(x), axes, keepdims, out)

    def any(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """Whether an element over the axes is not 0: a sum of booleans."""
        return self._combined("add", self._truth(x), axes, keepdims, out)

    def logsumexp(self, x: Array, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """m + ln sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows. -inf for no element."""
        return self.reduce("logsumexp.cu", "logsumexp", x, axes, keepdims, out, planes=2)

    def vector_norm(self, x: Array, p: float, axes: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Array:
        """(sum of |x|^p over the axes)^(1/p)."""
        if p == 2:
            return self._combined("add", x, axes, keepdims, out, map="ELEMENT_SQUARED", finish="SQUARE_ROOT")
        wide = accumulator(x.dtype)
        powers = self.power(self.absolute(self.converted(x, wide)), p)
        norm = self.power(self.sum(powers, axes, keepdims), 1 / p, out=out if x.dtype == wide else None)
        return norm if x.dtype == wide else self.cast(norm, x.dtype, out)

    def cumsum(self, x: Array, axis: int, reverse: bool, out: Array | None = None) -> Array:
        """The sums of the elements up to each, or from each on if `reverse`."""
        x = self.contiguous(x)
        y = self.result(out, x.shape, x.dtype)
        outer, length, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
        lines = outer * inner
        if x.size:
            rung = CUMSUM.pick("block" if length > THREADS and lines < _MANY else "naive")
            grid, block = grid_and_block(rung, lines)
            args = (x, y, outer, length, inner, reverse)
            self.launch("cumsum.cu", f"cumsum_{rung}", grid, block, args, scalar_t=x.dtype)
        return y

    # ------------------------------------------------------------------------------------------------------------------

    def reduce(
        self,
        text: str,
        kernel: str,
        x: Array,
        axes: tuple[int, ...],
        keepdims: bool,
        out: Array | None,
        arguments: Callable[[bool, bool], tuple[Any, ...]] = lambda first, last: (),
        planes: int = 1,
    ) -> Array:
        """Launch `kernel` of `text` for each stage: of (x, parts of x, y, parts of y, sizes, arguments).

        Args:
            arguments: says what else the kernel takes in the first stage, and in the last.
            planes: the numbers that make a part.
        """
        x = self.contiguous(x)
        y = self.result(out, reduced_shape(x.shape, axes, keepdims), x.dtype)
        source = (x, None)
        left = list(stages(x.shape, axes, REDUCE.pick() == "naive")) if y.size else []
        for i, stage in enumerate(left):
            first, last = i == 0, i == len(left) - 1
            parts = None if last else self.empty((planes, stage.rows), accumulator(x.dtype))
            grid, block = grid_and_block(stage.team, stage.rows)
            sizes = (stage.outer, stage.length, stage.inner, stage.parts, stage.chunk)
            args = (*source, y if last else None, parts, *sizes, *arguments(first, last))
            self.launch(text, f"{kernel}_{stage.team}", grid, block, args, scalar_t=x.dtype)
            source = (None, parts)
        return y

    def _combined(
        self,
        function: str,
        x: Array,
        axes: tuple[int, ...],
        keepdims: bool,
        out: Array | None,
        map: str = "ELEMENT",
        finish: str = "AS_IT_IS",
        divisor: int = 1,
    ) -> Array:
        """What a function of two elements makes of all elements over the axes.

        Raises:
            ValueError: there is no element to be the largest or smallest.
        """
        if function in ("maximum", "minimum") and 0 in [x.shape[a] for a in axes]:
            raise ValueError(f"zero-size array to reduction operation {function} which has no identity")

        def arguments(first: bool, last: bool) -> tuple[Any, ...]:
            return (
                BINARY[function],
                MAP[map if first else "ELEMENT"],
                FINISH[finish if last else "AS_IT_IS"],
                divisor if last else 1,
            )

        return self.reduce("reduce.cu", "reduce", x, axes, keepdims, out, arguments)

    def _truth(self, x: Array) -> Array:
        """Whether each element is not 0."""
        return x if x.dtype == np.bool_ else self.not_equal(x, 0)
