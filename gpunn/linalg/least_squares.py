"""Pseudo-inverses, ranks, and the best solution of equations that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import apply
from gpunn.ops.base import shape_error
from gpunn.ops.further import factor_more

from .common import LeastSquares, _matrices
from .factors import svdvals

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def pinv(
    A: Tensor, rcond: float | None = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
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
    result: Tensor = apply(factor_more.PseudoInverse(relative, hermitian), A)
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
        solution (..., n, k), residuals (..., k) for a driver other than "gelsy", the default, where m > n and all
        ranks are n, else empty, rank, singular_values for "gelsd" and "gelss".
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
    if m > n and driver not in (None, "gelsy") and bool((rank == n).all()):
        residuals = ((ops.matmul(A, solution) - b) ** 2).sum(-2)
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else ops.zeros(0, dtype=A.dtype, device=A.device)
    return LeastSquares(solution.squeeze(-1) if vector else solution, residuals, rank, values)


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
