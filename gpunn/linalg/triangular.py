"""Triangular factors with an exchange of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.further import factor_more
from gpunn.ops.further.factor import LinAlgError, T

from .common import PLU, LUFactor, LUFactorEx, _matrices
from .solving import _triangle, solve

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """P, L and U with A = P L U: a permutation, and triangular matrices, L with ones on its diagonal."""
    _matrices("lu", A)
    if not pivot:
        raise NotImplementedError("linalg.lu: rows are always exchanged here; use pivot=True")
    permutation, lower, upper, _ = apply(factor_more.LU(), A)
    return PLU(permutation.detach(), lower, upper)


def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """L below the diagonal and U on and above it, in one matrix, and which rows were exchanged (from 1 on, int32).

    Raises:
        LinAlgError: U has a 0 on its diagonal.
    """
    found = lu_factor_ex(A, pivot=pivot)
    if bool((found.info != 0).any()):
        raise LinAlgError(f"linalg.lu_factor: U[{int(found.info.max()) - 1}] is zero: the matrix is singular")
    return LUFactor(found.LU, found.pivots)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """`lu_factor`, and as `info` 0, or the place, from 1 on, of the first 0 on the diagonal of U."""
    _matrices("lu_factor", A)
    if not pivot:
        raise NotImplementedError("linalg.lu_factor: rows are always exchanged here; use pivot=True")
    _, lower, upper, pivots = apply(factor_more.LU(), A)
    m, n = A.shape[-2:]
    k = min(m, n)
    lower, rest = ops.tril(lower, -1), [*([0] * 2)]
    lower = ops.pad(lower, (0, n - k)) if n > k else lower
    upper = ops.pad(upper, (*rest, 0, m - k)) if m > k else upper
    zero = upper.detach().diagonal(0, -2, -1) == 0
    info = ops.where(zero.any(-1), zero.long().argmax(-1) + 1, 0).to("int32")
    if check_errors and bool((info != 0).any()):
        raise LinAlgError("linalg.lu_factor: U has a zero on its diagonal: the matrix is singular")
    return LUFactorEx(lower + upper, pivots.to("int32"), info)


def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X with A X = B, or A^T X = B with `adjoint`, or X A = B without `left`, from what `lu_factor` gives."""
    A = ops.matmul(permutation(pivots, LU), ops.matmul(_triangle(LU, False, True), ops.triu(LU)))
    return solve(T(A) if adjoint else A, B, left=left)


def permutation(pivots: Tensor, like: Tensor) -> Tensor:
    """The matrix P that undoes exchanges of rows i and pivots[i] - 1, one after the other."""
    m = like.shape[-2]
    order = ops.arange(m, device=like.device).expand(*pivots.shape[:-1], m).clone()
    for i in range(pivots.shape[-1]):
        p = pivots[..., i : i + 1].long() - 1
        first, other = order[..., i : i + 1].clone(), order.gather(-1, p)
        order[..., i : i + 1] = other
        order = order.scatter(-1, p, first)
    rows = ops.arange(m, device=like.device).reshape(m, 1)
    return (order.unsqueeze(-2) == rows).to(like.dtype)
