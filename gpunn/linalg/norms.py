"""Numbers that belong to matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.base import shape_error
from gpunn.ops.further import factor_more
from gpunn.ops.reduction import normalise_dim
from gpunn.ops.vector_norm import vector_norm

from .common import SignAndLogDet, _matrices
from .factors import svdvals
from .solving import inv_ex

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def det(A: Tensor) -> Tensor:
    """The determinant of square matrices."""
    _matrices("det", A, square=True)
    result: Tensor = apply(factor_more.Det(), A)
    return result


def slogdet(A: Tensor) -> Any:
    """The sign of the determinant, and the logarithm of its size."""
    _matrices("slogdet", A, square=True)
    sign, size = apply(factor_more.SignLogDet(), A)
    return SignAndLogDet(sign.detach(), size)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number: the largest by the smallest singular value, or ||A|| ||A^-1|| in a norm of `matrix_norm`.

    Infinite for a singular matrix.
    """
    _matrices("cond", A)
    if p is None or p in (2, -2):
        s = svdvals(A)
        return s[..., 0] / s[..., -1] if p in (None, 2) else s[..., -1] / s[..., 0]
    _matrices("cond", A, square=True)
    inverse = inv_ex(A).inverse
    found = matrix_norm(A, p) * matrix_norm(inverse, p)
    return ops.where(found.isnan(), math.inf, found)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of x y along a dimension."""
    return (x * y).sum(dim)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of matrices.

    Args:
        A: (..., m, n).
        ord: "fro", the root of the sum of squares; "nuc", the sum of the singular values; 2 and -2, the largest and the
            smallest one; inf and -inf, the largest and smallest sum of the sizes of a row; 1 and -1, of a column.
        dim: which two dimensions are the matrix.
        keepdim: keep them, with size 1.
        dtype: the type to compute in.
    """
    x = A if dtype is None else A.to(dtype)
    if x.ndim < 2 or len(dim) != 2:
        raise shape_error("linalg.matrix_norm", f"takes matrices and two dimensions, got {A._spec!r} and {dim}")
    rows, columns = (normalise_dim("linalg.matrix_norm", d, x.ndim) for d in dim)
    if rows == columns:
        raise shape_error("linalg.matrix_norm", f"the two dimensions differ, got {dim}")
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keepdim)
    x = ops.movedim(x, (rows, columns), (-2, -1))
    if ord in ("nuc", 2, -2):
        s = svdvals(x)
        found = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = x.abs().sum(-2 if ord in (1, -1) else -1)
        found = sums.amax(-1) if ord > 0 else sums.amin(-1)
    else:
        raise RuntimeError(
            f"linalg.matrix_norm: Order {ord} not supported; 'fro', 'nuc', inf, 1, 2 and their negatives are"
        )
    if keepdim:
        for d in sorted((rows, columns)):
            found = found.unsqueeze(d)
    return found


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`matrix_norm` where `ord` is a word or given with two dimensions, else `vector_norm` (of order 2 by default)."""
    if dim is None and ord is not None and (isinstance(ord, str) or A.ndim == 2):
        dim = (-2, -1)
    if ord is not None and isinstance(dim, (tuple, list)) and len(dim) == 2:
        return matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: ord={ord!r} is a norm of matrices: give two dimensions")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
