"""Products and powers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.base import shape_error
from gpunn.ops.composed.products import chain_matmul
from gpunn.ops.further import factor_more

from .common import _matrices
from .solving import inv, solve

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """`gpunn.matmul`."""
    return ops.matmul(input, other)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along a dimension of size 3."""
    return ops.cross(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices; a view."""
    return ops.diagonal(A, offset, dim1, dim2)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0, 1, ..., N - 1 of each element (..., n) as a row: (..., n, N), N = n by default."""
    count = x.shape[-1] if N is None else N
    if x.ndim < 1 or count < 1:
        raise shape_error("linalg.vander", f"takes vectors and N >= 1, got {x._spec!r} and {N}")
    ones = ops.ones_like(x).unsqueeze(-1)
    if count == 1:
        return ones
    powers = ops.cat([ones, x.unsqueeze(-1).expand(*x.shape, count - 1)], -1)
    from gpunn.ops.further.scans import cumprod

    return cumprod(powers, -1)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied n times by itself; for negative n its inverse."""
    _matrices("matrix_power", A, square=True)
    return ops.matrix_power(A if n >= 0 else inv(A), abs(n))


def matrix_exp(A: Tensor) -> Tensor:
    """1 + A + A^2 / 2 + A^3 / 6 + ... of square matrices."""
    _matrices("matrix_exp", A, square=True)
    result: Tensor = apply(factor_more.MatrixExp(), A)
    return result


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two matrices or more, in the order that takes the fewest operations; vectors at the ends."""
    if len(tensors) < 2:
        raise shape_error("linalg.multi_dot", f"expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    given = [first.unsqueeze(0) if first.ndim == 1 else first, *tensors[1:-1]]
    given.append(last.unsqueeze(1) if last.ndim == 1 else last)
    found = chain_matmul(*given)
    found = found.squeeze(0) if first.ndim == 1 else found
    return found.squeeze(-1) if last.ndim == 1 else found


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B, where the first dimensions of A are those of B; `dims` go to its end."""
    if dims is not None:
        A = ops.movedim(A, list(dims), [i - len(dims) for i in range(len(dims))])
    rest = tuple(A.shape[B.ndim :])
    if prod(rest) != B.numel() or A.numel() != B.numel() ** 2:
        raise shape_error(
            "linalg.tensorsolve", f"Expected A to satisfy prod(A.shape) = prod(B.shape)^2, got {A._spec!r}"
        )
    return solve(A.reshape(B.numel(), -1), B.reshape(-1)).reshape(rest)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of `tensordot` with A, whose first `ind` dimensions hold as many elements as the others."""
    if ind < 1 or prod(A.shape[:ind]) != prod(A.shape[ind:]):
        raise shape_error("linalg.tensorinv", f"the first {ind} dimensions hold as many as the others, got {A._spec!r}")
    n = prod(A.shape[:ind])
    return inv(A.reshape(n, n)).reshape(*A.shape[ind:], *A.shape[:ind])
