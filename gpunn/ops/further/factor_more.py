"""Further functions of matrices through the array module: determinants, pseudo-inverses, exponentials, triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import int64
from gpunn.backend.spec import Spec

from ..base import Composite, frozen
from ..creation import zeros_like
from ..diagonal import tril, triu
from ..join import cat
from ..matmul import matmul
from .factor import Inverse, Matrices, Solve, T


class SignLogDet(Matrices):
    """s, l = the sign of det X and ln |det X|;  dX = dl X^-T.   (Petersen and Pedersen 2012, 57)"""

    saved = (0,)

    def shape(self, x: Spec) -> tuple[Spec, Spec]:
        return x.like(x.shape[:-2]), x.like(x.shape[:-2])

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.slogdet(x)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        if dy[1] is None:
            return zeros_like(x)
        return dy[1].unsqueeze(-1).unsqueeze(-1) * T(apply(Inverse(), x))


class Det(Matrices):
    """y = det X;  dX = dy C, where C are the cofactors of X, det X X^-T where there is an inverse."""

    saved = (0,)

    def shape(self, x: Spec) -> Spec:
        return x.like(x.shape[:-2])

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.det(x)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy.unsqueeze(-1).unsqueeze(-1) * apply(Cofactors(), x)


class Cofactors(Matrices, Composite):
    """Y = det X X^-T, as det(U V^T) U diag(product of s_j over j != i) V^T by singular values."""

    saved = (0,)

    def shape(self, x: Spec) -> Spec:
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        u, s, vt = xp.linalg.svd(x)
        n = s.shape[-1]
        others = xp.where(xp.eye(n, dtype=bool), 1.0, s[..., None, :]).prod(-1)
        sign = xp.linalg.det(u @ vt)[..., None, None]
        return sign * ((u * others[..., None, :]) @ vt)

    def formula(self, x: Any) -> Any:
        return apply(Det(), x).unsqueeze(-1).unsqueeze(-1) * T(apply(Inverse(), x))


@frozen
class PseudoInverse(Matrices):
    """P = X^+, without singular values of at most `rtol` times the largest;

    dX = (1 - X P) dP^T P P^T + P^T P dP^T (1 - P X) - (P dP^T P)^T.
    (Golub and Pereyra 1973)
    """

    rtol: float
    hermitian: bool = False
    saved = (0,)
    saves_output = True

    def shape(self, x: Spec) -> Spec:
        *batch, m, n = x.shape
        return x.like((*batch, n, m))

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.pinv(x, self.rtol)

    def vjp(self, needs: Any, dp: Any, p: Any, x: Any) -> Any:
        g = T(dp)
        gp, pg = matmul(g, p), matmul(p, g)
        left = matmul(gp - matmul(x, matmul(p, gp)), T(p))
        right = matmul(T(p), pg - matmul(pg, matmul(p, x)))
        return left + right - T(matmul(p, matmul(g, p)))


class MatrixExp(Matrices):
    """Y = e^X = 1 + X + X^2 / 2 + ...;  dX = the right upper block of e^[[X^T, dY], [0, X^T]].

    By scaling and squaring of the series. (Al-Mohy and Higham 2009)
    """

    saved = (0,)

    def shape(self, x: Spec) -> Spec:
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        if not x.size:
            return x
        norm = float(xp.abs(x).sum(-2).max())
        squarings = max(0, int(np.ceil(np.log2(norm))) + 1) if 0 < norm < np.inf else 0
        small = x / 2.0**squarings
        y = term = xp.zeros_like(x) + xp.eye(x.shape[-1], dtype=x.dtype)
        for k in range(1, 19):  # of a norm of at most 1/2: 2^-18 / 18! is below 1e-21
            term = term @ small / k
            y = y + term
        for _ in range(squarings):
            y = y @ y
        return y

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        n = x.shape[-1]
        above, below = cat([T(x), dy], -1), cat([zeros_like(x), T(x)], -1)
        return apply(MatrixExp(), cat([above, below], -2))[..., :n, n:]


class LU(Matrices):
    """P = a permutation,  L = a lower triangle with ones on its diagonal,  U = an upper one,  i = the exchanged rows;

    dX = P L^-T (A + B) U^-T, where A is L^T dL below the diagonal, and B is dU U^T on and above it.

    For X that is not square by the same, of its first rows and columns.

    X (..., m, n) -> P (..., m, m)  L (..., m, k)  U (..., k, n)  i (..., k), k = min(m, n)
    (Giles 2008, 3.5 for the Cholesky factors; here for two of them)
    """

    saves_output = True

    def shape(self, x: Spec) -> tuple[Spec, ...]:
        *batch, m, n = x.shape
        k = min(m, n)
        pivots = x.like((*batch, k), int64)
        return x.like((*batch, m, m)), x.like((*batch, m, k)), x.like((*batch, k, n)), pivots

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d, d, np.dtype(np.int64)

    def compute(self, xp: Any, x: Any) -> Any:
        m, n = x.shape[-2:]
        a, k = xp.array(x).reshape(-1, m, n), min(m, n)
        count = xp.arange(a.shape[0])
        order = xp.broadcast_to(xp.arange(m), (a.shape[0], m)).copy()
        pivots = xp.zeros((a.shape[0], k), dtype=np.int64)
        for i in range(k):
            p = xp.abs(a[:, i:, i]).argmax(-1) + i
            pivots[:, i] = p + 1
            for rows in (a, order):
                first = rows[count, i].copy()
                rows[count, i] = rows[count, p]
                rows[count, p] = first
            pivot = a[:, i, i][:, None]
            factor = xp.where(pivot == 0, 0, a[:, i + 1 :, i] / xp.where(pivot == 0, 1, pivot))
            a[:, i + 1 :, i] = factor
            a[:, i + 1 :, i + 1 :] -= factor[:, :, None] * a[:, i : i + 1, i + 1 :]
        lower = xp.tril(a[:, :, :k], -1) + xp.eye(m, k, dtype=x.dtype)
        permutation = xp.zeros((a.shape[0], m, m), dtype=x.dtype)
        permutation[count[:, None], order, xp.arange(m)] = 1
        batch = x.shape[:-2]
        parts = (permutation, lower, xp.triu(a[:, :k, :]), pivots)
        return tuple(v.reshape(*batch, *v.shape[1:]) for v in parts)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        permutation, lower, upper, _ = y
        dl, du = (zeros_like(v) if d is None else d for d, v in ((dy[1], lower), (dy[2], upper)))
        (m, n), rest = x.shape[-2:], None
        if m > n:  # L_2 = X_2 U^-1
            rest = T(apply(Solve(), upper, T(dl[..., n:, :])))
            du = du - matmul(T(lower[..., n:, :]), rest)
            lower, dl = lower[..., :n, :], dl[..., :n, :]
        elif m < n:  # U_2 = L^-1 X_2
            rest = apply(Solve(), T(lower), du[..., m:])
            dl = dl - matmul(rest, T(upper[..., m:]))
            upper, du = upper[..., :m], du[..., :m]
        inner = tril(matmul(T(lower), dl), -1) + triu(matmul(du, T(upper)))
        dx = apply(Solve(), T(lower), T(apply(Solve(), upper, T(inner))))
        if rest is not None:
            dx = cat([dx, rest], -2 if m > n else -1)
        return matmul(permutation, dx)


class Geqrf(Matrices):
    """Y = R on and above the diagonal, and v of the reflections 1 - t v v^T below,  t = their factors.

    X (..., m, n) -> Y (..., m, n)  t (..., k), k = min(m, n)   (Golub and Van Loan 2013, 5.2)
    """

    differentiable = False

    def shape(self, x: Spec) -> tuple[Spec, Spec]:
        return x, x.like((*x.shape[:-2], min(x.shape[-2:])))

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d

    def compute(self, xp: Any, x: Any) -> Any:
        a = xp.array(x)
        m, n = a.shape[-2:]
        tau = xp.zeros((*a.shape[:-2], min(m, n)), dtype=a.dtype)
        for i in range(min(m, n)):
            v = xp.array(a[..., i:, i])
            alpha = xp.array(v[..., 0])
            rest = (v[..., 1:] ** 2).sum(-1)
            beta = -xp.where(alpha < 0, -1, 1) * xp.sqrt(alpha**2 + rest)
            flat = rest == 0
            t = xp.where(flat, 0, (beta - alpha) / xp.where(flat, 1, beta))
            v = v / xp.where(flat, 1, alpha - beta)[..., None]
            v[..., 0] = 1
            a[..., i:, i:] -= t[..., None, None] * v[..., :, None] * (v[..., None, :] @ a[..., i:, i:])
            a[..., i + 1 :, i] = xp.where(flat[..., None], 0, v[..., 1:])
            tau[..., i] = t
        return a, tau
