"""Solving and factoring matrices through the array module, with gradients; all of it in batches (..., m, n)."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import int64
from gpunn.backend.spec import Spec

from ..base import Composite, Cost, Op
from ..creation import zeros_like
from ..diagonal import diag_embed, diagonal, tril, triu
from ..matmul import matmul
from ..view import transpose


class LinAlgError(RuntimeError):
    """A matrix that has no inverse, or no such factors."""


def T(x: Any) -> Any:
    """The transposed matrices."""
    return transpose(x, -2, -1)


class Matrices(Op, abstract=True):
    """An op on matrices that the array module computes; `compute(xp, *arrays)` gives its results."""

    def compute(self, xp: Any, *arrays: Any) -> Any:
        """The results, by NumPy or CuPy."""
        raise NotImplementedError

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        types = self.types(arrays[0].dtype)
        return backend.of_arrays(self.guarded, arrays, types, out=out)

    def types(self, d: Any) -> tuple[Any, ...]:
        """The types of the results for matrices of type d."""
        return (d,)

    def guarded(self, xp: Any, *arrays: Any) -> Any:
        """`compute`, with the array module's error for what can't be done as ours."""
        try:
            with _raising(xp):
                return self.compute(xp, *arrays)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(self.failure(xp, *arrays)) from error

    def failure(self, xp: Any, *arrays: Any) -> str:
        """What is said where it can't be done."""
        return f"linalg.{self.name.lower()}: the algorithm did not converge: does the input hold NaN or infinities?"

    def cost(self, *specs: Any) -> Cost:
        """n^3 for each n x n matrix, to the order of magnitude."""
        results = self.shape(*specs)
        results = results if isinstance(results, tuple) else (results,)
        moved = sum(s.nbytes for s in (*specs, *results) if isinstance(s, Spec))
        x = specs[0]
        return Cost(x.numel() * min(x.shape[-2:]), moved)


def _raising(xp: Any) -> Any:
    """CuPy tells that a matrix is singular only where it is asked to."""
    if xp is np:
        return nullcontext()
    import cupyx

    return cupyx.errstate(linalg="raise")


class Inverse(Matrices):
    """Y = X^-1;  dX = -Y^T dY Y^T.   (Giles 2008, 2.2.3)"""

    saves_output = True

    def shape(self, x: Spec) -> Spec:
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.inv(x)

    def failure(self, xp: Any, *arrays: Any) -> str:
        return "linalg.inv: the inversion could not be completed because the input matrix is singular"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return -matmul(T(y), matmul(dy, T(y)))


class Solve(Matrices):
    """Y = A^-1 B;  dB = A^-T dY,  dA = -dB Y^T.   (Giles 2008, 2.3.1)"""

    saved = (0,)
    saves_output = True

    def shape(self, a: Spec, b: Spec) -> Spec:
        return b

    def compute(self, xp: Any, a: Any, b: Any) -> Any:
        return xp.linalg.solve(a, b)

    def failure(self, xp: Any, *arrays: Any) -> str:
        return "linalg.solve: The solver failed because the input matrix is singular"

    def vjp(self, needs: Any, dy: Any, y: Any, a: Any, b: Any) -> Any:
        db = apply(Solve(), T(a), dy)
        return -matmul(db, T(y)) if needs[0] else None, db


class Cholesky(Matrices):
    """X = L L^T;  dX = L^-T S L^-1 / 2, where S is L^T dL below and on the diagonal, and symmetric.

    (Murray, "Differentiation of the Cholesky decomposition", 2016)
    """

    saves_output = True

    def shape(self, x: Spec) -> Spec:
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.cholesky(x)

    def failure(self, xp: Any, *arrays: Any) -> str:
        return (
            "linalg.cholesky: The factorization could not be completed because the input is not positive-definite"
            f" (the leading minor of order {leading_minor(xp, arrays[0])} is not positive-definite)"
        )

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        s = matmul(T(y), dy)
        s = tril(s) + T(tril(s, -1))
        left = apply(Solve(), T(y), s)  # L^-T S
        return T(apply(Solve(), T(y), T(left))) * 0.5


def leading_minor(xp: Any, x: Any) -> int:
    """The order of the first leading minor that is not positive definite, 0 if all are."""
    for matrix in x.reshape(-1, *x.shape[-2:]):
        for k in range(1, matrix.shape[-1] + 1):
            if not float(xp.linalg.eigvalsh(matrix[:k, :k])[0]) > 0:
                return k
    return 0


@dataclass(frozen=True)
class QR(Matrices):
    """X = Q R, where the columns of Q are orthonormal and R is upper triangular;

    dX = (dQ + Q S) R^-T, where S = R dR^T - dQ^T Q below and on the diagonal, and is symmetric.

    X (..., m, n) -> Q (..., m, k)  R (..., k, n), k = min(m, n), or with `complete` k = m
    (Seeger et al., "Auto-differentiating linear algebra", 2017; for m < n Roberts and Roberts 2020)
    """

    complete: bool = False
    saved = (0,)
    saves_output = True

    def shape(self, x: Spec) -> tuple[Spec, Spec]:
        *batch, m, n = x.shape
        k = m if self.complete else min(m, n)
        return x.like((*batch, m, k)), x.like((*batch, k, n))

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.qr(x, "complete" if self.complete else "reduced")

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        (q, r), (m, n) = y, x.shape[-2:]
        if self.complete and m > n:
            raise RuntimeError("linalg.qr: there is no gradient for mode='complete' of matrices with more rows")
        dq, dr = (zeros_like(v) if d is None else d for d, v in zip(dy, y))
        if m >= n:
            return _qr_gradient(q, r, dq, dr)
        u, right, dv = r[..., :m], x[..., m:], dr[..., m:]
        dx = _qr_gradient(q, u, dq + matmul(right, T(dv)), dr[..., :m])
        from ..join import cat

        return cat([dx, matmul(q, dv)], -1)


def _qr_gradient(q: Any, r: Any, dq: Any, dr: Any) -> Any:
    s = matmul(r, T(dr)) - matmul(T(dq), q)
    s = tril(s) + T(tril(s, -1))
    return T(apply(Solve(), r, T(dq + matmul(q, s))))


class SVD(Matrices):
    """X = U diag(s) V^T, singular values in falling order;

    dX = U ((F o (U^T dU - dU^T U)) S + S (F o (V^T dV - dV^T V)) + diag(ds)) V^T + (1 - U U^T) dU S^-1 V^T
    + U S^-1 dV^T (1 - V V^T), where F_ij = 1 / (s_j^2 - s_i^2), 0 for i = j.

    X (..., m, n) -> U (..., m, k)  s (..., k)  V^T (..., k, n), k = min(m, n)
    (Townsend, "Differentiating the singular value decomposition", 2016)
    """

    saves_output = True

    def shape(self, x: Spec) -> tuple[Spec, Spec, Spec]:
        *batch, m, n = x.shape
        k = min(m, n)
        return x.like((*batch, m, k)), x.like((*batch, k)), x.like((*batch, k, n))

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d, d

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.svd(x, full_matrices=False)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        (u, s, vt), (du, ds, dvt) = y, dy
        k, (m, n) = s.shape[-1], x.shape[-2:]
        inner = None if ds is None else diag_embed(ds)
        outer = None
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)
        f = _inverse_of_differences(row * row - column * column)
        if du is not None:
            utdu = matmul(T(u), du)
            inner = _plus(inner, f * (utdu - T(utdu)) * row)
            if m > k:
                outer = matmul((du - matmul(u, utdu)) / row, vt)
        if dvt is not None:
            vtdv = matmul(vt, T(dvt))
            inner = _plus(inner, column * (f * (vtdv - T(vtdv))))
            if n > k:
                outer = _plus(outer, matmul(u / row, dvt - matmul(T(vtdv), vt)))
        return _plus(matmul(u, matmul(inner, vt)), outer)


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _inverse_of_differences(e: Any) -> Any:
    """1 / e, but 0 on the diagonal."""
    on = diag_embed(diagonal(e, 0, -2, -1) * 0 + 1)
    return (1 - on) / (e + on)


@dataclass(frozen=True)
class Eigh(Matrices):
    """X = Q diag(l) Q^T for symmetric X, of which one triangle is read, eigenvalues in rising order;

    dX = Q (diag(dl) + F o (Q^T dQ)) Q^T, where F_ij = 1 / (l_j - l_i), 0 for i = j.   (Giles 2008, 3.1)
    """

    uplo: str = "L"
    saves_output = True

    def shape(self, x: Spec) -> tuple[Spec, Spec]:
        return x.like(x.shape[:-1]), x

    def types(self, d: Any) -> tuple[Any, ...]:
        return d, d

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.eigh(x, self.uplo)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        (values, q), (dl, dq) = y, dy
        inner = None if dl is None else diag_embed(dl)
        if dq is not None:
            f = _inverse_of_differences(values.unsqueeze(-2) - values.unsqueeze(-1))
            inner = _plus(inner, f * matmul(T(q), dq))
        return matmul(q, matmul(inner, T(q)))


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
    """Y = det X X^-T, as det(U V^T) U diag(product of s_j over j != i) V^T by the singular values, which there always is."""

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


@dataclass(frozen=True)
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
        from ..join import cat

        n = x.shape[-1]
        above, below = cat([T(x), dy], -1), cat([zeros_like(x), T(x)], -1)
        return apply(MatrixExp(), cat([above, below], -2))[..., :n, n:]


class LU(Matrices):
    """X = P L U, with ones on the diagonal of L, and i = the rows that were exchanged, counted from 1;

    dX = P L^-T (A + B) U^-T, where A is L^T dL below the diagonal, and B is dU U^T on and above it, for square X.

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
        if x.shape[-1] != x.shape[-2]:
            raise RuntimeError(f"linalg.lu: the gradient is for square matrices, got {x!r}")
        dl, du = dy[1], dy[2]
        inner = None if dl is None else tril(matmul(T(lower), dl), -1)
        if du is not None:
            inner = _plus(inner, triu(matmul(du, T(upper))))
        if inner is None:
            return zeros_like(lower)
        right = T(apply(Solve(), upper, T(inner)))
        return matmul(permutation, apply(Solve(), T(lower), right))


class Geqrf(Matrices):
    """X = Q R as reflections 1 - t v v^T, whose v stand below the diagonal, and R on and above it.

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
