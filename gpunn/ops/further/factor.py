"""Solving and factoring matrices through the array module, with gradients; all of it in batches (..., m, n)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from ..base import Cost, Op, frozen
from ..creation import zeros_like
from ..diagonal import diag_embed, diagonal, tril
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


@frozen
class QR(Matrices):
    """Q = orthonormal columns,  R = an upper triangular matrix, whose product is X;

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
    """U = the left singular vectors,  s = the singular values in falling order,  W = V^T, the right ones as rows;

    dX = U ((F o (U^T dU - dU^T U)) S + S (F o (V^T dV - dV^T V)) + diag(ds)) V^T + (1 - U U^T) dU S^-1 V^T
    + U S^-1 dV^T (1 - V V^T), where F_ij = 1 / (s_j^2 - s_i^2), 0 for i = j.

    X (..., m, n) -> U (..., m, k)  s (..., k)  W (..., k, n), k = min(m, n)
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
        inner: Any = None if ds is None else diag_embed(ds)
        outer: Any = None
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)
        f = _inverse_of_differences(row * row - column * column)
        if du is not None:
            utdu = matmul(T(u), du)
            inner = plus(inner, f * (utdu - T(utdu)) * row)
            if m > k:
                outer = matmul((du - matmul(u, utdu)) / row, vt)
        if dvt is not None:
            vtdv = matmul(vt, T(dvt))
            inner = plus(inner, column * (f * (vtdv - T(vtdv))))
            if n > k:
                outer = plus(outer, matmul(u / row, dvt - matmul(T(vtdv), vt)))
        return plus(matmul(u, matmul(inner, vt)), outer)


def plus(a: Any, b: Any) -> Any:
    """The sum of what is there."""
    return b if a is None else a if b is None else a + b


def _inverse_of_differences(e: Any) -> Any:
    """1 / e, but 0 on the diagonal."""
    on = diag_embed(diagonal(e, 0, -2, -1) * 0 + 1)
    return (1 - on) / (e + on)


@frozen
class Eigh(Matrices):
    """l = the eigenvalues in rising order,  Q = their vectors, of symmetric X, of which one triangle is read;

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
        inner: Any = None if dl is None else diag_embed(dl)
        if dq is not None:
            f = _inverse_of_differences(values.unsqueeze(-2) - values.unsqueeze(-1))
            inner = plus(inner, f * matmul(T(q), dq))
        return matmul(q, matmul(inner, T(q)))
