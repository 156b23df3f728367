"""Rows of a table by their indices, and one-hot rows."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from .family import Array, bits, bits_type, prod
from .indexing import Indexing, Indices
from .ladder import Ladder
from .memory import bits_of

EMBEDDING_BACKWARD = Ladder("embedding_backward", ("naive", "sorted"))


class Embedding(Indexing):
    """Rows of a table by their indices, and one-hot rows."""

    def embedding(self, indices: Array, weight: Array, out: Array | None = None) -> Array:
        """The row of weight (rows, d) for each index: (...) -> (..., d).

        Raises:
            IndexError: there is no such row.
        """
        (rows, d), shape = weight.shape, indices.shape
        found = self._rows(indices, rows, d)

        def complain(value: int, place: int) -> NoReturn:
            raise IndexError(
                f"embedding: index out of range in self: {value} at {_position(place, shape)} of the input, "
                f"but the weight has the rows 0 to {rows - 1}"
            )

        self.refuse_indices(found.index, 0, rows, complain)
        return self.pick(weight, found, self.result(out, (*indices.shape, d), weight.dtype))

    def embedding_backward(
        self, dy: Array, indices: Array, rows: int, skip: int, by_frequency: bool, out: Array | None = None
    ) -> Array:
        """dy (..., d) added up in the rows (rows, d) of its indices; over the count of each index if `by_frequency`.

        Elements whose index is `skip` are left out. The terms of a row are added in pairs, in the order of the batch.
        """
        d = dy.shape[-1]
        dw = self.result(out, (rows, d), dy.dtype)
        dy, found = self.contiguous(dy), self._rows(indices, rows, d)
        if found.rung(EMBEDDING_BACKWARD) == "naive":
            args: tuple[Any, ...] = (dy, found.index, dw, found.batch, d, skip, int(by_frequency), dw.size)
            self.launch_elements("embedding.cu", "embedding_backward_naive", dw.size, args, scalar_t=dy.dtype)
        else:
            self.full(dw.shape, 0, dw.dtype, dw)
            key, position = self.sorted_indices(found, skip)
            args = (dy, key, position, dw, rows, found.batch, d, int(by_frequency), dy.size)
            self.launch_elements("embedding.cu", "embedding_backward_sorted", dy.size, args, scalar_t=dy.dtype)
        return dw

    def one_hot(
        self, target: Array, classes: int, axis: int, dtype: Any, strict: bool, out: Array | None = None
    ) -> Array:
        """1 where the place along the new axis is the label, else 0; no 1 for a label below 0, or not below `classes`.

        Raises:
            RuntimeError: there is such a label, and `strict`.
        """
        y = self.result(out, (*target.shape[:axis], classes, *target.shape[axis:]), dtype)
        labels, shape = self._wide(target), target.shape

        def complain(value: int, place: int) -> NoReturn:
            rule = "non-negative" if value < 0 else f"smaller than num_classes={classes}"
            raise RuntimeError(f"one_hot: class values must be {rule}, got {value} at {_position(place, shape)}")

        if strict:
            self.refuse_indices(labels, 0, classes, complain)
        args = (labels, bits(y), bits_of(1, y.dtype), classes, prod(target.shape[axis:]), y.size)
        self.launch_elements("one_hot.cu", "one_hot", y.size, args, element_t=bits_type(y.dtype))
        return y

    def _rows(self, indices: Array, rows: int, d: int) -> Indices:
        return Indices(self._wide(indices), 1, rows, indices.size, d, False, False)

    def _wide(self, indices: Array) -> Array:
        """Indices of any integer type as contiguous int64."""
        return self.contiguous(indices if indices.dtype == np.int64 else self.cast(indices, np.int64))


def _position(place: int, shape: tuple[int, ...]) -> list[int]:
    """The place of an element of an array, given that in row-major order."""
    return [int(i) for i in np.unravel_index(place, shape)]
