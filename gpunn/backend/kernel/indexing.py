"""Elements by indices, and elements put or added up at indices.

Whatever is indexed becomes an array (outer, n, inner), and what is picked of it, or put there, one of
(outer, batch, inner). The indices are one for each of the batch, or, for `gather` and `scatter`, one for each element.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from .check import Check
from .family import Array, bits, element_strides, prod
from .ladder import Ladder
from .sorting import Sorting

INDEX_PUT = Ladder("index_put", ("naive", "sorted"))
INDEX_SUM = Ladder("index_sum", ("naive", "sorted"))
_NAIVE_UP_TO = 1 << 22
"""Comparisons of an element with an index up to which the naive rung is taken; not measured."""
_WORDS = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}

Axes = tuple[int, ...]
Shape = tuple[int, ...]


class Indices(NamedTuple):
    """Indices, contiguous, and what they speak of: see `kernels/index.cuh`."""

    index: Array
    outer: int
    n: int
    batch: int
    inner: int
    each: bool
    wrap: bool

    def flat(self) -> Indices:
        """Those of each element as one for all, of an array (1, outer n inner, 1)."""
        outer, n, batch, inner = self.outer, self.n, self.batch, self.inner
        return self._replace(outer=1, n=outer * n * inner, batch=outer * batch * inner, inner=1, each=False)

    def rung(self, ladder: Ladder) -> str:
        """How to put or add up elements: the naive way where little is to be compared."""
        comparisons = self.outer * self.n * self.inner * self.batch
        return ladder.pick("naive" if comparisons <= _NAIVE_UP_TO else "sorted")


class Indexing(Sorting, Check):
    """Elements by lists of indices, one for each of some axes, broadcast together.

    The axes that the indices make come where the indexed ones were, if those are neighbours, else first. With `wrap` a
    negative index counts from the end. What does not lie in the array is an IndexError, when the host looks at what the
    checks have found: before anything is written in place, and else later.
    """

    def index(self, x: Array, indices: tuple[Array, ...], axes: Axes, wrap: bool, out: Array | None = None) -> Array:
        """x[..., i, ..., j, ...] for the indices i, j, ... of the given axes."""
        found, shape = self._indices(indices, axes, x.shape, wrap)
        return self.pick(_joined(x, axes), found, self.result(out, shape, x.dtype))

    def index_put(self, x: Array, v: Array, indices: tuple[Array, ...], axes: Axes, out: Array | None = None) -> Array:
        """A copy of x with v, an array or a number, at the indices, the last one where they repeat; `out` may be x."""
        found, _ = self._indices(indices, axes, x.shape, True)
        y = self._to_write_to(x, out)
        self._put(_joined(y, axes), v, found)
        return y

    def index_sum(
        self,
        v: Array,
        indices: tuple[Array, ...],
        axes: Axes,
        size: Shape,
        wrap: bool,
        out: Array | None = None,
    ) -> Array:
        """Zeros of the given size, plus each element of v at its index, in the row-major order of v."""
        found, _ = self._indices(indices, axes, size, wrap)
        y = self.result(out, size, v.dtype)
        self._add_up(y, _joined(y, axes), v, found)
        return y

    def gather(self, x: Array, index: Array, axis: int, wrap: bool, out: Array | None = None) -> Array:
        """y[i][j] = x[index[i][j]][j] for axis 0, and so on."""
        found = self._index_of_each(index, axis, x.shape, wrap)
        return self.pick(_covered(x, index, axis), found, self.result(out, index.shape, x.dtype))

    def scatter(self, x: Array, v: Array, index: Array, axis: int, out: Array | None = None) -> Array:
        """A copy of x with y[index[i][j]][j] = v[i][j] for axis 0, ..., the last one where indices repeat."""
        found = self._index_of_each(index, axis, x.shape, False)
        y = self._to_write_to(x, out)
        self._put(_covered(y, index, axis), v, found)
        return y

    def scatter_sum(
        self, v: Array, index: Array, axis: int, size: Shape, wrap: bool, out: Array | None = None
    ) -> Array:
        """Zeros of that size with y[index[i][j]][j] += v[i][j] for axis 0, ..., in the row-major order of v."""
        found = self._index_of_each(index, axis, size, wrap)
        y = self.result(out, size, v.dtype)
        self._add_up(y, _covered(y, index, axis), v, found)
        return y

    # On arrays (outer, n, inner) ------------------------------------------------------------------------------------

    def pick(self, x: Array, found: Indices, y: Array) -> Array:
        """Write the elements of x that the indices speak of to y; bad indices pick 0."""
        outer, n, batch, inner = found.outer, found.n, found.batch, found.inner
        x, target = bits(self.reshape(x, (outer, n, inner))), bits(y)
        if not found.each:
            x, target, inner = self._widened(x, target, inner)
        memory, start = self.span(x)
        args = (
            *(memory, start, *element_strides(x), found.index, target),
            *(n, batch, inner, int(found.each), int(found.wrap), target.size),
        )
        self.launch_elements("index.cu", "gather", target.size, args, element_t=target.dtype)
        return y

    def _to_write_to(self, x: Array, out: Array | None) -> Array:
        """x itself where it is to be changed in place, if its indices are no errors; else a copy."""
        if out is not x:
            return self.copy(x, out)
        self.look()
        return x

    def _widened(self, x: Array, y: Array, inner: int) -> tuple[Array, Array, int]:
        """The same with elements of up to 8 bytes, where whole ones fit into `inner`: fewer, and larger, accesses."""
        width = 8
        while (inner * x.dtype.itemsize | self.address(x) | self.address(y)) % width:
            width //= 2
        if width <= x.dtype.itemsize or not x.flags.c_contiguous:
            return x, y, inner
        return x.view(_WORDS[width]), y.reshape(-1).view(_WORDS[width]), inner * x.dtype.itemsize // width

    def _put(self, part: Array, v: Any, found: Indices) -> None:
        """Put v, a number or an array (outer, batch, inner), into `part`, of any strides."""
        if isinstance(v, self.xp.ndarray):
            v, step = self.contiguous(self.apart(v, part)), 1
        else:
            v, step = self.full((1,), v, part.dtype), 0
        v, y = bits(v), self.contiguous(part)
        if found.rung(INDEX_PUT) == "naive":
            args: tuple[Any, ...] = (
                v,
                step,
                found.index,
                bits(y),
                *_numbers(found),
                int(found.each),
                int(found.wrap),
                y.size,
            )
            self.launch_elements("index.cu", "put_naive", y.size, args, element_t=v.dtype)
        else:
            key, position = self.sorted_indices(found)
            found = found.flat() if found.each else found
            count = found.outer * found.batch * found.inner
            args = (v, step, key, position, bits(y), *_numbers(found), count)
            self.launch_elements("index.cu", "put_sorted", count, args, element_t=v.dtype)
        if y is not part:
            self.move(y, part)

    def _add_up(self, y: Array, part: Array, v: Array, found: Indices) -> None:
        """Make y zeros, and in `part` of it the sums of v (outer, batch, inner)."""
        if v.dtype == np.bool_:  # whether there is one
            sums = self.empty(part.shape, np.int32)
            self._add_up(sums, sums, self.cast(v, np.int32), found)
            self.full(y.shape, 0, y.dtype, y)
            self.move(self.cast(sums, np.bool_), part)
            return
        whole = part is y
        sums = y if whole else self.empty(part.shape, y.dtype)
        v = self.contiguous(v)
        if found.rung(INDEX_SUM) == "naive":
            args: tuple[Any, ...] = (
                v,
                found.index,
                sums,
                *_numbers(found),
                int(found.each),
                int(found.wrap),
                sums.size,
            )
            self.launch_elements("index_sum.cu", "sum_naive", sums.size, args, scalar_t=v.dtype)
        else:
            self.full(sums.shape, 0, y.dtype, sums)
            key, position = self.sorted_indices(found)
            found = found.flat() if found.each else found
            args = (v, key, position, sums, *_numbers(found), v.size)
            self.launch_elements("index_sum.cu", "sum_sorted", v.size, args, scalar_t=v.dtype)
        if not whole:
            self.full(y.shape, 0, y.dtype, y)
            self.move(sums, part)

    def sorted_indices(self, found: Indices, skipped: int = -1) -> tuple[Array, Array]:
        """The places that the indices stand for, in order, and where each stood; bad and `skipped` ones come last."""
        count = found.index.size
        key, position, padded = self.pairs(1, count)
        batch, inner = (found.batch, found.inner) if found.each else (count, 1)
        args = (found.index, key, position, found.n, batch, inner, int(found.wrap), skipped, count, padded)
        self.launch_elements("indices.cu", "index_keys", padded, args)
        self.sort_pairs(key, position, padded)
        return key, position

    # Indices ----------------------------------------------------------------------------------------------------------

    def _indices(self, indices: tuple[Array, ...], axes: Axes, size: Shape, wrap: bool) -> tuple[Indices, Shape]:
        """The indices as one along the joined axes, checked, and the shape of what they pick of an array of `size`."""
        for i, axis in zip(indices, axes):
            self.refuse_bad(i, axis, size[axis], wrap)
        first = axes[0] if _are_neighbours(axes) else 0
        others = [n for axis, n in enumerate(size) if axis not in axes]
        before, after = others[:first], others[first:]
        batch = np.broadcast_shapes(*(i.shape for i in indices))
        if len(indices) == 1:
            index = self.contiguous(indices[0])
        else:
            index = self.empty(batch, np.int64)
            for k, (i, axis) in enumerate(zip(indices, axes)):
                i = self.contiguous(self.broadcast_to(i, batch))
                self.launch_elements(
                    "indices.cu", "join_indices", index.size, (i, index, size[axis], int(wrap), int(k == 0), index.size)
                )
            wrap = False
        n = prod([size[axis] for axis in axes])
        found = Indices(index, prod(before), n, prod(batch), prod(after), False, wrap)
        return found, (*before, *batch, *after)

    def _index_of_each(self, index: Array, axis: int, size: Shape, wrap: bool) -> Indices:
        """An index for each element along one axis, checked."""
        self.refuse_bad(index, axis, size[axis], wrap)
        outer, inner = prod(index.shape[:axis]), prod(index.shape[axis + 1 :])
        return Indices(self.contiguous(index), outer, size[axis], index.shape[axis], inner, True, wrap)

    def refuse_bad(self, index: Array, axis: int, n: int, wrap: bool) -> None:
        """Raise the IndexError of the CPU for an index that is not one of n."""

        def complain(value: int, place: int) -> NoReturn:
            raise IndexError(f"index {value} is out of bounds for dimension {axis} with size {n}")

        self.refuse_indices(index, -n if wrap else 0, n, complain)


def _numbers(found: Indices) -> tuple[int, int, int]:
    return found.n, found.batch, found.inner


def _are_neighbours(axes: Axes) -> bool:
    return axes[-1] - axes[0] + 1 == len(axes)


def _joined(x: Array, axes: Axes) -> Array:
    """A view of x whose indexed axes are neighbours: the first ones where they are not so already."""
    if _are_neighbours(axes):
        return x
    return x.transpose((*axes, *(axis for axis in range(x.ndim) if axis not in axes)))


def _covered(x: Array, index: Array, axis: int) -> Array:
    """The part of x that an index for each element speaks of: no more than its sizes, except along the axis."""
    if all(n == m for a, (n, m) in enumerate(zip(x.shape, index.shape)) if a != axis):
        return x
    return x[tuple([slice(None) if a == axis else slice(0, n) for a, n in enumerate(index.shape)])]
