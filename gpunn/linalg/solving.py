"""Inverses, and the solutions of linear equations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.base import shape_error
from gpunn.ops.further import factor
from gpunn.ops.further.factor import LinAlgError, T

from .common import CholeskyEx, InverseEx, SolveEx, _matrices
from .factors import cholesky

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices.

    Raises:
        LinAlgError: a matrix is singular.
    """
    _matrices("inv", A, square=True)
    result: Tensor = apply(factor.Inverse(), A)
    return result


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """`inv`, and as `info` 0; a singular matrix gives NaN and 1, or with `check_errors` the error of `inv`."""
    return _ex(InverseEx, inv, A, check_errors)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """`cholesky`, and as `info` 0; else NaN and the order of the first minor that is not positive definite."""
    if not upper:
        return _ex(CholeskyEx, cholesky, A, check_errors)
    found = _ex(CholeskyEx, cholesky, T(A), check_errors)
    return CholeskyEx(T(found.L), found.info)


def _ex(kind: Any, function: Any, A: Tensor, check_errors: bool, *others: Any) -> Any:
    """The result and an int32 tensor of zeros; where it fails, NaN and a number that says so."""
    info = ops.zeros(A.shape[:-2], dtype="int32", device=A.device)
    try:
        return kind(function(A, *others), info)
    except LinAlgError:
        if check_errors:
            raise
        if A.ndim > 2:
            parts = [_ex(kind, function, a, False, *(o[i] for o in others)) for i, a in enumerate(A)]
            return kind(*(ops.stack([p[k] for p in parts]) for k in (0, 1)))
        like = others[0] if others else A
        order = factor.leading_minor(np, A.detach().cpu().numpy()) if function is cholesky else 1
        return kind(ops.full_like(like, math.nan), info + order)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B, or without `left` with X A = B.

    Args:
        A: square matrices (..., n, n).
        B: matrices (..., n, k), or vectors (..., n) with the batch of A, or one vector (n,).
        left: on which side A stands.

    Raises:
        LinAlgError: a matrix is singular.
        RuntimeError: the shapes do not fit.
    """
    _matrices("solve", A, square=True)
    n = A.shape[-1]
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    b = B.unsqueeze(-1) if vector else B
    if vector and not left:
        raise shape_error("linalg.solve", "Vector broadcasting of the left hand side is not supported for left=False")
    if b.ndim < 2 or b.shape[-2 if left else -1] != n:
        raise shape_error(
            "linalg.solve", f"Incompatible shapes of A and B for the equation, {A._spec!r} and {B._spec!r}"
        )
    if b.dtype is not A.dtype:
        raise shape_error("linalg.solve", f"Expected A and B to have the same dtype, got {A._spec!r} and {B._spec!r}")
    a, b = (A, b) if left else (T(A), T(b))
    batch = ops.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x: Tensor = apply(factor.Solve(), a.expand(*batch, n, n), b.expand(*batch, *b.shape[-2:]))
    x = x if left else T(x)
    return x.squeeze(-1) if vector else x


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """`solve`, and as `info` 0; a singular matrix gives NaN and 1, or with `check_errors` the error of `solve`."""
    return _ex(SolveEx, lambda a, b: solve(a, b, left=left), A, check_errors, B)


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X with A X = B, or without `left` X A = B, for triangular A, of which the other triangle is not read.

    With `unitriangular` the diagonal is not read either: it is 1.

    Raises:
        LinAlgError: there is a 0 on the diagonal.
    """
    _matrices("solve_triangular", A, B, square=False)
    return solve(_triangle(A, upper, unitriangular), B, left=left)


def _triangle(A: Tensor, upper: bool, unit: bool) -> Tensor:
    _matrices("solve_triangular", A, square=True)
    a = (ops.triu if upper else ops.tril)(A, (1 if upper else -1) if unit else 0)
    return a + ops.eye(A.shape[-1], dtype=A.dtype, device=A.device) if unit else a
