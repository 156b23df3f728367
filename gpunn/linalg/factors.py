"""Matrices as products of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import apply
from gpunn.ops.base import shape_error
from gpunn.ops.further import factor
from gpunn.ops.further.factor import T

from .common import Eigen, Factors, Singular, _matrices

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with A = L L^T, or with `upper` L^T; of A the lower triangle is read.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    _matrices("cholesky", A, square=True)
    lower = apply(factor.Cholesky(), T(A) if upper else A)
    return T(lower) if upper else lower


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R with A = Q R; "reduced", "complete", or "r" for R alone."""
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
    return apply(factor.SVD(), A)[1]


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
    return eigh(A, UPLO).eigenvalues


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
