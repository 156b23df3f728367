"""Linear algebra under PyTorch's old names; `gpunn.linalg` is the new home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import apply

from ..creation import eye
from ..diagonal import tril, triu
from ..matmul import matmul
from ..reduction import mean
from ..vector_norm import vector_norm
from ..view import transpose
from .factor_more import Geqrf

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Usv(NamedTuple):
    """Singular values and vectors, the columns of U and V."""

    U: Any
    S: Any
    V: Any


class Triangular(NamedTuple):
    """A solution, and the matrix."""

    solution: Any
    cloned_coefficient: Any


class Reflections(NamedTuple):
    """Reflections and R in one matrix, and the factors of the reflections."""

    a: Any
    tau: Any


def _linalg() -> Any:
    from importlib import import_module

    return import_module("gpunn.linalg")


def inverse(input: Tensor) -> Tensor:
    """`gpunn.linalg.inv`."""
    return _linalg().inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`gpunn.linalg.pinv`."""
    return _linalg().pinv(input, rcond)


def det(input: Tensor) -> Tensor:
    """`gpunn.linalg.det`."""
    return _linalg().det(input)


def slogdet(input: Tensor) -> Any:
    """`gpunn.linalg.slogdet`."""
    return _linalg().slogdet(input)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant, NaN where that is negative."""
    sign, size = _linalg().slogdet(input)
    from ..comparison import lt, where

    return where(lt(sign, 0), float("nan"), size)


def matrix_exp(input: Tensor) -> Tensor:
    """`gpunn.linalg.matrix_exp`."""
    return _linalg().matrix_exp(input)


def matrix_rank(input: Tensor, tol: Any = None, symmetric: bool = False) -> Tensor:
    """`gpunn.linalg.matrix_rank`."""
    return _linalg().matrix_rank(input, tol)


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """`gpunn.linalg.cholesky`."""
    return _linalg().cholesky(input, upper=upper)


def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A X = input, where A = L L^T, or L^T L if `upper`."""
    return _linalg().solve(_product(L, upper), input)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of L L^T, or of L^T L if `upper`."""
    return _linalg().inv(_product(L, upper))


def _product(L: Tensor, upper: bool) -> Tensor:
    if upper:
        u = triu(L)
        return matmul(transpose(u, -2, -1), u)
    lower = tril(L)
    return matmul(lower, transpose(lower, -2, -1))


def qr(input: Tensor, some: bool = True) -> Any:
    """`gpunn.linalg.qr`."""
    return _linalg().qr(input, "reduced" if some else "complete")


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Usv:
    """U, S and V (not V^T) with A = U diag(S) V^T; see `gpunn.linalg.svd`."""
    u, s, vt = _linalg().svd(input, not some)
    v = transpose(vt, -2, -1)
    return Usv(u, s, v) if compute_uv else Usv(u.detach() * 0, s, v.detach() * 0)


def lstsq(input: Tensor, b: Tensor, rcond: Any = None, driver: str | None = None) -> Any:
    """`gpunn.linalg.lstsq`."""
    return _linalg().lstsq(input, b, rcond, driver=driver)


def lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """L and U in one matrix, which rows were exchanged, and with `get_infos` whether it failed; see `lu_factor`."""
    found = _linalg().lu_factor_ex(input, pivot=pivot)
    return tuple(found) if get_infos else tuple(found)[:2]


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """P, L and U from what `lu` gives."""
    from importlib import import_module

    k = min(LU_data.shape[-2:])
    lower = tril(LU_data[..., :k], -1) + eye(LU_data.shape[-2], k, dtype=LU_data.dtype, device=LU_data.device)
    return import_module("gpunn.linalg.common").PLU(
        import_module("gpunn.linalg.triangular").permutation(LU_pivots, LU_data), lower, triu(LU_data[..., :k, :])
    )


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X with A X = b from what `lu` gives."""
    return _linalg().lu_solve(LU_data, LU_pivots, b)


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Triangular:
    """X with A X = b, or A^T X = b, for triangular A; see `gpunn.linalg.solve_triangular`."""
    a, up = (A.mT, not upper) if transpose else (A, upper)
    return Triangular(_linalg().solve_triangular(a, b, upper=up, unitriangular=unitriangular), A.clone())


def geqrf(input: Tensor) -> Reflections:
    """The reflections whose product is Q, below the diagonal, with R on and above it; see `householder_product`.

    It has no gradient; `gpunn.linalg.qr` does.
    """
    with no_grad():
        return Reflections(*apply(Geqrf(), input))


def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """`gpunn.linalg.householder_product`."""
    return _linalg().householder_product(input, tau)


def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """Q other, or other Q, or with Q^T, for the whole square Q of the reflections that `geqrf` gives."""
    from ..pad import pad

    m = input.shape[-2]
    q = _linalg().householder_product(pad(input, (0, m - input.shape[-1])), tau)
    q = q.mT if transpose else q
    return matmul(q, other) if left else matmul(other, q)


def frobenius_norm(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares."""
    return vector_norm(input, 2, dim or None, keepdim)


def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values."""
    return _linalg().matrix_norm(input, "nuc", dim, keepdim)


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norm of the slices along a dimension, which is kept; of all elements for dim -1."""
    if dim == -1:
        return vector_norm(v, pow)
    return vector_norm(v, pow, tuple(d for d in range(v.ndim) if d != dim % v.ndim), True)


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> Usv:
    """The q largest singular values and their vectors; all are computed, and the others left out."""
    u, s, vt = _linalg().svd(A if M is None else A - M, False)
    k = min(6 if q is None else q, s.shape[-1])
    return Usv(u[..., :k], s[..., :k], transpose(vt, -2, -1)[..., :k])


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Usv:
    """The q largest singular values of the rows, less their mean, and their vectors (6 by default)."""
    return svd_lowrank(A - mean(A, -2, True) if center else A, min(6, *A.shape[-2:]) if q is None else q, niter)
