"""Linear algebra of matrices and batches of them (..., m, n), as torch.linalg.

NumPy's and CuPy's routines do the work (on the device ``sim`` NumPy's); gradients are gpunn's own, with their formulas in
`gpunn.ops.further.factor`. Elements are float32 or float64. What has complex results (``eig``, ``eigvals``) is not here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import TensorBase, apply
from gpunn.ops.base import shape_error
from gpunn.ops.composed.products import chain_matmul
from gpunn.ops.further import factor
from gpunn.ops.further.factor import LinAlgError, T
from gpunn.ops.reduction import normalise_dim
from gpunn.ops.vector_norm import vector_norm

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    *("LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh"),
    *("householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul"),
    *("matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet"),
    *("solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot"),
    "vector_norm",
]


def _named(name: str, *fields: str) -> Any:
    return NamedTuple(name, [(field, Any) for field in fields])  # type: ignore[misc]


CholeskyEx, InverseEx = _named("CholeskyEx", "L", "info"), _named("InverseEx", "inverse", "info")
SolveEx, LUFactor = _named("SolveEx", "result", "info"), _named("LUFactor", "LU", "pivots")
LUFactorEx, Eigen = _named("LUFactorEx", "LU", "pivots", "info"), _named("Eigen", "eigenvalues", "eigenvectors")
Factors, Singular = _named("Factors", "Q", "R"), _named("Singular", "U", "S", "Vh")
SignAndLogDet, PLU = _named("SignAndLogDet", "sign", "logabsdet"), _named("PLU", "P", "L", "U")
LeastSquares = _named("LeastSquares", "solution", "residuals", "rank", "singular_values")


def _matrices(name: str, *tensors: Any, square: bool = False) -> None:
    for x in tensors:
        if not isinstance(x, TensorBase):
            raise TypeError(f"linalg.{name}: takes tensors, got {type(x).__name__}; use gpunn.tensor(...)")
        if x.ndim < 2:
            raise shape_error(
                f"linalg.{name}", f"The input tensor A must have at least 2 dimensions, got {x._spec!r}"
            )
        if x.dtype.name not in ("float32", "float64"):
            raise shape_error(
                f"linalg.{name}", f"takes float32 and float64 (no low precision), got {x._spec!r}; convert with .float()"
            )
        if square and x.shape[-1] != x.shape[-2]:
            raise shape_error(
                f"linalg.{name}", f"A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]}"
            )


# Inverses and solutions ----------------------------------------------------------------------------------------------


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
        order = factor.leading_minor(__import__("numpy"), A.detach().cpu().numpy()) if function is cholesky else 1
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
        raise shape_error("linalg.solve", f"Incompatible shapes of A and B for the equation, {A._spec!r} and {B._spec!r}")
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


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
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


def pinv(A: Tensor, rcond: float | None = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
    """The pseudo-inverse (..., n, m): singular values of at most max(atol, rtol s_1) count as 0.

    Args:
        A: (..., m, n).
        rcond: the old name of rtol.
        atol: 0 by default.
        rtol: by default max(m, n) times the precision of the type, or 0 where atol is given.
        hermitian: whether A is symmetric; it does not matter here.
    """
    _matrices("pinv", A)
    rtol = rcond if rtol is None else rtol
    relative = _tolerance(A, atol, rtol)
    result: Tensor = apply(factor.PseudoInverse(relative, hermitian), A)
    return result


def _tolerance(A: Tensor, atol: Any, rtol: Any) -> float:
    """The tolerance relative to the largest singular value of all."""
    from gpunn.backend.type_info import finfo

    relative = float(rtol) if rtol is not None else (0.0 if atol else max(A.shape[-2:]) * finfo(A.dtype).eps)
    if atol:
        with no_grad():
            largest = float(svdvals(A).max()) if A.numel() else 0.0
        relative = max(relative, float(atol) / largest) if largest else relative
    return relative


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The X of least ||A X - B||, and among several the one of least norm, by the pseudo-inverse.

    Returns:
        solution (..., n, k), residuals (..., k) where m > n and all ranks are n, else empty, rank, singular_values.
    """
    _matrices("lstsq", A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"linalg.lstsq: driver is one of gels, gelsy, gelsd, gelss, got {driver!r}")
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    if b.ndim < 2 or b.shape[-2] != A.shape[-2]:
        raise shape_error("linalg.lstsq", f"A and B have as many rows, got {A._spec!r} and {B._spec!r}")
    solution = ops.matmul(pinv(A, rtol=rcond), b)
    rank = matrix_rank(A, rtol=rcond)
    m, n = A.shape[-2:]
    residuals = ops.zeros(0, dtype=A.dtype, device=A.device)
    if m > n and bool((rank == n).all()):
        residuals = ((ops.matmul(A, solution) - b) ** 2).sum(-2)
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else ops.zeros(0, dtype=A.dtype, device=A.device)
    return LeastSquares(solution.squeeze(-1) if vector else solution, residuals, rank, values)


# Factors -------------------------------------------------------------------------------------------------------------


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with A = L L^T, or with `upper` L^T; of A the lower triangle is read.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    _matrices("cholesky", A, square=True)
    lower = apply(factor.Cholesky(), T(A) if upper else A)
    return T(lower) if upper else lower  # type: ignore[no-any-return]


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """`cholesky`, and as `info` 0; else NaN and the order of the first minor that is not positive definite."""
    if not upper:
        return _ex(CholeskyEx, cholesky, A, check_errors)
    found = _ex(CholeskyEx, cholesky, T(A), check_errors)
    return CholeskyEx(T(found.L), found.info)


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R with A = Q R; mode "reduced", "complete", or "r" for R alone."""
    _matrices("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"linalg.qr: mode is 'reduced', 'complete' or 'r', got {mode!r}")
    q, r = apply(factor.QR(mode == "complete"), A)
    return Factors(ops.zeros(0, dtype=A.dtype, device=A.device) if mode == "r" else q, r)


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """U, S and V^T with A = U diag(S) V^T, S in falling order.

    With `full_matrices` U is (m, m) and V^T (n, n); what they have more has no gradient.
    """
    _matrices("svd", A)
    u, s, vt = apply(factor.SVD(), A)
    m, n = A.shape[-2:]
    if full_matrices and m != n:
        u, vt = _completed(u) if m > n else u, T(_completed(T(vt))) if n > m else vt
    return Singular(u, s, vt)


def _completed(q: Tensor) -> Tensor:
    """Orthonormal columns (m, k), and m - k more."""
    with no_grad():
        whole, _ = apply(factor.QR(True), q)
    return ops.cat([q, whole[..., q.shape[-1] :]], -1)


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, in falling order."""
    _matrices("svdvals", A)
    return apply(factor.SVD(), A)[1]  # type: ignore[no-any-return]


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues, in rising order, and orthonormal eigenvectors, the columns, of symmetric matrices.

    UPLO says which triangle is read, "L" or "U".
    """
    _matrices("eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: UPLO is 'L' or 'U', got {UPLO!r}")
    return Eigen(*apply(factor.Eigh(UPLO.upper()), A))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, in rising order."""
    return eigh(A, UPLO).eigenvalues  # type: ignore[no-any-return]


def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """P, L and U with A = P L U: a permutation, and triangular matrices, L with ones on its diagonal."""
    _matrices("lu", A)
    if not pivot:
        raise NotImplementedError("linalg.lu: rows are always exchanged here; use pivot=True")
    return PLU(*apply(factor.LU(), A)[:3])


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
    _, lower, upper, pivots = apply(factor.LU(), A)
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


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of the product of the reflections 1 - tau_i v_i v_i^T, (..., m, n).

    v_i is column i of A below its diagonal, where it is 1, and 0 above.
    """
    _matrices("householder_product", A)
    m, n = A.shape[-2:]
    if n > m or tau.shape[-1] > n:
        raise shape_error("linalg.householder_product", f"m >= n >= k is needed, got {A._spec!r} and {tau._spec!r}")
    eye = ops.eye(m, n, dtype=A.dtype, device=A.device)
    v = ops.tril(A, -1) + eye
    q = eye.expand(A.shape)
    for i in range(tau.shape[-1] - 1, -1, -1):
        column = v[..., i : i + 1]
        q = q - tau[..., i : i + 1].unsqueeze(-1) * ops.matmul(column, ops.matmul(T(column), q))
    return q


# Numbers that belong to matrices -------------------------------------------------------------------------------------


def det(A: Tensor) -> Tensor:
    """The determinant of square matrices."""
    _matrices("det", A, square=True)
    result: Tensor = apply(factor.Det(), A)
    return result


def slogdet(A: Tensor) -> Any:
    """The sign of the determinant, and the logarithm of its size."""
    _matrices("slogdet", A, square=True)
    sign, size = apply(factor.SignLogDet(), A)
    return SignAndLogDet(sign.detach(), size)


def matrix_rank(A: Tensor, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
    """How many singular values are larger than max(atol, rtol s_1); see `pinv` for the defaults."""
    from gpunn.backend.type_info import finfo

    _matrices("matrix_rank", A)
    s = svdvals(A.detach())
    atol = tol if atol is None else atol
    relative = rtol if rtol is not None else (0.0 if atol is not None else max(A.shape[-2:]) * finfo(A.dtype).eps)
    largest = s.amax(-1, keepdim=True) if s.shape[-1] else s
    limit = largest * relative
    if atol is not None:
        limit = ops.maximum(limit, ops.as_tensor(atol, dtype=A.dtype, device=A.device).expand(limit.shape))
    return (s > limit).sum(-1)


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
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported; 'fro', 'nuc', inf, 1, 2 and their negatives are")
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


# Products ------------------------------------------------------------------------------------------------------------


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
    result: Tensor = apply(factor.MatrixExp(), A)
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
    """X with tensordot(A, X, X.ndim) = B, where the first dimensions of A are those of B; `dims` are moved to its end."""
    if dims is not None:
        A = ops.movedim(A, list(dims), [i - len(dims) for i in range(len(dims))])
    rest = tuple(A.shape[B.ndim :])
    if prod(rest) != B.numel() or A.numel() != B.numel() ** 2:
        raise shape_error("linalg.tensorsolve", f"Expected A to satisfy prod(A.shape) = prod(B.shape)^2, got {A._spec!r}")
    return solve(A.reshape(B.numel(), -1), B.reshape(-1)).reshape(rest)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of `tensordot` with A, whose first `ind` dimensions hold as many elements as the others."""
    if ind < 1 or prod(A.shape[:ind]) != prod(A.shape[ind:]):
        raise shape_error("linalg.tensorinv", f"the first {ind} dimensions hold as many as the others, got {A._spec!r}")
    n = prod(A.shape[:ind])
    return inv(A.reshape(n, n)).reshape(*A.shape[ind:], *A.shape[:ind])
