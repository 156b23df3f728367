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
from .team import SHORT, THREADS, grid_and_block, lanes_for, team_for

Axes = tuple[int, ...]

REDUCE = Ladder("reduce", ("naive", "tree"))
CUMSUM = Ladder("cumsum", ("naive", "block"))

_MAP, _FINISH = (enumeration(kernel_text("reduce.cuh"), name) for name in ("Map", "Finish"))


@dataclass(frozen=True)
class Kind:
    """A reduction: the function of two elements that puts them together, and what is made before and after."""

    combine: str
    map: str = "ELEMENT"
    finish: str = "AS_IT_IS"

    def arguments(self, first: bool, last: bool, count: int) -> tuple[int, int, int, int]:
        """What the kernels take in the first stage of `count` elements for each result, in the last, and between."""
        divisor = count if last and self.finish == "QUOTIENT" else 1
        return (
            BINARY[self.combine],
            _MAP[self.map if first else "ELEMENT"],
            _FINISH[self.finish if last else "AS_IT_IS"],
            divisor,
        )


KINDS = {
    "sum": Kind("add"),
    "mean": Kind("add", finish="QUOTIENT"),
    "product": Kind("multiply"),
    "amax": Kind("maximum"),
    "amin": Kind("minimum"),
    "all": Kind("multiply"),
    "any": Kind("add"),
    "euclidean_norm": Kind("add", "ELEMENT_SQUARED", "SQUARE_ROOT"),
}

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
        return team_for(length, rows)
    return "naive" if length <= SHORT or rows >= _MANY else "columns"


def reduced_shape(shape: Sequence[int], axes: Sequence[int], keepdims: bool) -> tuple[int, ...]:
    """The shape after the axes went away, or became 1."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keepdims or axis not in axes)


class Reduction(Family):
    """Reductions over a tuple of axes, and running sums."""

    not_equal: Callable[..., Array]
    absolute: Callable[..., Array]
    power: Callable[..., Array]

    def sum(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """The sum over the axes."""
        return self._over_axes("sum", x, axes, keepdims, out)

    def mean(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """The sum over the axes, divided by the number of elements; NaN for none."""
        return self._over_axes("mean", x, axes, keepdims, out)

    def product(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """The product over the axes."""
        return self._over_axes("product", x, axes, keepdims, out)

    def amax(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """The largest element over the axes; NaN if there is one."""
        return self._over_axes("amax", x, axes, keepdims, out)

    def amin(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """The smallest element over the axes; NaN if there is one."""
        return self._over_axes("amin", x, axes, keepdims, out)

    def all(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """Whether no element over the axes is 0: a product of booleans."""
        return self._over_axes("all", self._truth(x), axes, keepdims, out)

    def any(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """Whether an element over the axes is not 0: a sum of booleans."""
        return self._over_axes("any", self._truth(x), axes, keepdims, out)

    def vector_norm(self, x: Array, p: float, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """(sum of |x|^p over the axes)^(1/p)."""
        if p == 2:
            return self._over_axes("euclidean_norm", x, axes, keepdims, out)
        wide = accumulator(x.dtype)
        powers = self.power(self.absolute(self.converted(x, wide)), p)
        norm = self.power(self.sum(powers, axes, keepdims), 1 / p, out=out if x.dtype == wide else None)
        return norm if x.dtype == wide else self.cast(norm, x.dtype, out)

    def logsumexp(self, x: Array, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """m + ln sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows. -inf for no element."""
        x = self.contiguous(x)

        def launch(stage: Stage, parts: Array | None, y: Array | None, more: Array | None) -> None:
            arrays = (x if parts is None else None, parts, y, more)
            self.launch_stage("logsumexp.cu", "logsumexp", stage, arrays, (), x.dtype)

        return self.reduce_by(launch, x.shape, x.dtype, axes, keepdims, out, planes=2)

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

    # How reductions are launched --------------------------------------------------------------------------------------

    def reduce_by(
        self,
        launch: Callable[[Stage, Array | None, Array | None, Array | None], None],
        shape: tuple[int, ...],
        dtype: Any,
        axes: Axes,
        keepdims: bool,
        out: Array | None,
        planes: int = 1,
    ) -> Array:
        """Reduce elements of this shape and type, stage by stage.

        Args:
            launch: launches a stage: from the parts that the stage before left (None in the first one), to the result
                (None before the last one) or to new parts (None in the last one).
            planes: the numbers that make a part.
        """
        y = self.result(out, reduced_shape(shape, axes, keepdims), dtype)
        parts = None
        left = list(stages(shape, axes, REDUCE.pick() == "naive")) if y.size else []
        for i, stage in enumerate(left):
            last = i == len(left) - 1
            more = None if last else self.empty((planes, stage.rows), accumulator(dtype))
            launch(stage, parts, y if last else None, more)
            parts = more
        return y

    def launch_stage(
        self,
        text: str,
        kernel: str,
        stage: Stage,
        arrays: Sequence[Any],
        arguments: Sequence[Any],
        dtype: Any,
    ) -> None:
        """Launch a kernel of (arrays, sizes, arguments) for the team of a stage."""
        grid, block = grid_and_block(stage.team, stage.rows, lanes_for(stage.length))
        sizes = (stage.outer, stage.length, stage.inner, stage.parts, stage.chunk)
        self.launch(text, f"{kernel}_{stage.team}", grid, block, (*arrays, *sizes, *arguments), scalar_t=dtype)

    def _over_axes(self, name: str, x: Array, axes: Axes, keepdims: bool, out: Array | None) -> Array:
        x = self.contiguous(x)
        kind, count = KINDS[name], elements_of_one(name, x.shape, axes)

        def launch(stage: Stage, parts: Array | None, y: Array | None, more: Array | None) -> None:
            arrays = (x if parts is None else None, parts, y, more)
            arguments = kind.arguments(parts is None, more is None, count)
            self.launch_stage("reduce.cu", "reduce", stage, arrays, arguments, x.dtype)

        return self.reduce_by(launch, x.shape, x.dtype, axes, keepdims, out)

    def _truth(self, x: Array) -> Array:
        """Whether each element is not 0."""
        return x if x.dtype == np.bool_ else self.not_equal(x, 0)


def elements_of_one(name: str, shape: Sequence[int], axes: Axes) -> int:
    """How many elements make one result.

    Raises:
        ValueError: there is none to be the largest or smallest.
    """
    count = prod([shape[a] for a in axes])
    combine = KINDS[name].combine
    if count == 0 and combine in ("maximum", "minimum"):
        raise ValueError(f"zero-size array to reduction operation {combine} which has no identity")
    return count
