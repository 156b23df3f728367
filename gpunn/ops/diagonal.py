"""Triangles and diagonals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Op, frozen, shape_error
from .reduction import normalise_dim
from .view import View

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class _Triangle(Op, abstract=True):
    diagonal: int
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        if x.ndim < 2:
            raise shape_error(self, f"takes matrices, got {x!r}")
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.primitive)(x, self.diagonal, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(self, dy)


@frozen
class Tril(_Triangle):
    """y_ij = x_ij if j - i <= diagonal else 0;  dx_ij = dy_ij if j - i <= diagonal else 0."""

    primitive = "tril"


@frozen
class Triu(_Triangle):
    """y_ij = x_ij if j - i >= diagonal else 0;  dx_ij = dy_ij if j - i >= diagonal else 0."""

    primitive = "triu"


@frozen
class Diagonal(View):
    """y[.., i] = x[.., i, i + offset], in the dimensions dim1 and dim2, now the last one;  dx = 0, but dy there."""

    offset: int
    dim1: int
    dim2: int

    def shape(self, x: Spec) -> Spec:
        n = min(x.shape[self.dim1] + min(self.offset, 0), x.shape[self.dim2] - max(self.offset, 0))
        return x.like((*(m for d, m in enumerate(x.shape) if d not in (self.dim1, self.dim2)), max(n, 0)))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.diagonal(x, self.offset, self.dim1, self.dim2)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(DiagonalPlace(self.offset, self.dim1, self.dim2, x.shape), dy)


@frozen
class DiagonalPlace(Op):
    """y = 0 of shape `size`, but y[.., i, i + offset] = x[.., i] in dimensions dim1 and dim2;  dx = dy there."""

    offset: int
    dim1: int
    dim2: int
    size: tuple[int, ...]
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        return x.like(self.size)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.diagonal_place(x, self.offset, self.dim1, self.dim2, self.size, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Diagonal(self.offset, self.dim1, self.dim2), dy)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangles of matrices, up to the given diagonal (0 the main one, above it positive); 0 elsewhere."""
    return apply(Tril(diagonal), input)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangles of matrices, from the given diagonal on (0 the main one, above it positive); 0 elsewhere."""
    return apply(Triu(diagonal), input)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal in the matrices that two dimensions make, as a new last dimension; a view.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: the dimensions are one.
    """
    a, b = _pair("diagonal", dim1, dim2, input.ndim)
    return apply(Diagonal(offset, a, b), input)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, 0 but for a diagonal that is the last dimension of input; they lie in the new dimensions dim1, dim2.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: the dimensions are one.
    """
    if not input.ndim:
        raise IndexError("diag_embed: a 0-d tensor has no dimension to make a diagonal of")
    a, b = _pair("diag_embed", dim1, dim2, input.ndim + 1)
    n = input.shape[-1] + abs(offset)
    others = iter(input.shape[:-1])
    size = tuple(n if d in (a, b) else next(others) for d in range(input.ndim + 1))
    return apply(DiagonalPlace(offset, a, b, size), input)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector.

    Raises:
        RuntimeError: it is neither.
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise shape_error("diag", f"takes a vector or a matrix, got {input._spec!r}; use diagonal or diag_embed")
    return apply(Diagonal(diagonal, 0, 1), input)


def _pair(name: str, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    a, b = (normalise_dim(name, d, ndim) for d in (dim1, dim2))
    if a == b:
        raise shape_error(name, f"takes two dimensions, {dim1} and {dim2} are the same")
    return a, b
