"""Maps of vectors and matrices, and of parts of a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpunn import linalg, ops
from gpunn.backend.type_info import finfo
from gpunn.ops.further.scans import cumprod

from .transforms import SigmoidTransform, Transform

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

    from .distribution import Distribution


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last dimension; as inverse ln y is taken."""

    domain_dim = codomain_dim = 1
    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return ops.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.log(y)


class StickBreakingTransform(Transform):
    """d numbers -> d + 1 shares: each takes of what those before it left a part, the sigmoid of x less ln of how many
    are still to come  (Stan Reference Manual, "Unit simplexes").
    """

    domain_dim = codomain_dim = 1

    def _parts(self, x: Tensor) -> Tensor:
        d = x.shape[-1]
        return x - ops.log(ops.arange(d, 0, -1, dtype=x.dtype, device=x.device))

    def _call(self, x: Tensor) -> Tensor:
        z = SigmoidTransform()(self._parts(x))
        left = cumprod(1 - z, -1)
        one = ops.ones_like(x[..., :1])
        return ops.cat([z, one], -1) * ops.cat([one, left], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        cut = y[..., :-1]
        left = (1 - ops.cumsum(cut, -1)).clamp(min=float(finfo(y.dtype).tiny))
        d = cut.shape[-1]
        return ops.log(cut) - ops.log(left) + ops.log(ops.arange(d, 0, -1, dtype=y.dtype, device=y.device))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = self._parts(x)
        return (-x - ops.softplus(-x) + ops.log(y[..., :-1])).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """A square matrix -> its lower triangle, with e^x on the diagonal."""

    domain_dim = codomain_dim = 2

    def _call(self, x: Tensor) -> Tensor:
        return ops.tril(x, -1) + ops.diag_embed(ops.exp(x.diagonal(0, -2, -1)))

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.tril(y, -1) + ops.diag_embed(ops.log(y.diagonal(0, -2, -1)))


class PositiveDefiniteTransform(Transform):
    """A square matrix -> L L^T, where L is its `LowerCholeskyTransform`."""

    domain_dim = codomain_dim = 2

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return ops.matmul(factor, factor.mT)

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform()._inverse(linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """d (d - 1) / 2 numbers -> the Cholesky factor (d, d) of a correlation matrix.

    Row by row below the diagonal, r = tanh x; an element is r times the root of what the squares of its row left, and
    the diagonal is the root of what is left at the end (Stan Reference Manual, "Cholesky factors of correlation
    matrices").
    """

    domain_dim, codomain_dim = 1, 2

    def _call(self, x: Tensor) -> Tensor:
        eps = float(finfo(x.dtype).eps)
        r = _filled_triangle(ops.tanh(x).clamp(-1 + eps, 1 - eps))
        left = ops.sqrt(cumprod(1 - r**2, -1))
        r = r + ops.eye(r.shape[-1], dtype=x.dtype, device=x.device)
        return r * ops.cat([ops.ones_like(left[..., :1]), left[..., :-1]], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        left = 1 - ops.cumsum(y * y, -1)
        left = ops.cat([ops.ones_like(left[..., :1]), left[..., :-1]], -1)
        row, column = _below(y.shape[-1], y)
        t = y[..., row, column] / ops.sqrt(left[..., row, column])
        return 0.5 * (ops.log1p(t) - ops.log1p(-t))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        left = 1 - ops.cumsum(y * y, -1)
        row, column = _below(y.shape[-1] - 1, y)  # of the rows and columns that have something left
        inner = ops.log(left[..., row + 1, column]) if row.numel() else ops.zeros_like(x[..., :0])
        return 0.5 * inner.sum(-1) - 2 * (x + ops.softplus(-2 * x) - math.log(2)).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        n = shape[-1]
        d = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if d * (d - 1) // 2 != n:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return (*shape[:-1], d, d)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError("Input is not square")
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


class ReshapeTransform(Transform):
    """The last dimensions of one shape in another one of as many elements."""

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0):
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError("in_shape, out_shape have different numbers of elements")
        self.domain_dim, self.codomain_dim = len(self.in_shape), len(self.out_shape)

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: x.ndim - self.domain_dim], *self.out_shape)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(*y.shape[: y.ndim - self.codomain_dim], *self.in_shape)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.zeros(x.shape[: x.ndim - self.domain_dim], dtype=x.dtype, device=x.device)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[: len(shape) - self.domain_dim], *self.out_shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[: len(shape) - self.codomain_dim], *self.in_shape)


class IndependentTransform(Transform):
    """A map whose last dimensions, so many more, are one event: there ln |dy / dx| is summed."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0):
        self.base_transform, self.reinterpreted_batch_ndims = base_transform, reinterpreted_batch_ndims
        self.domain_dim = base_transform.domain_dim + reinterpreted_batch_ndims
        self.codomain_dim = base_transform.codomain_dim + reinterpreted_batch_ndims
        self.bijective, self.sign = base_transform.bijective, base_transform.sign

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inverse(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        found = self.base_transform.log_abs_det_jacobian(x, y)
        n = self.reinterpreted_batch_ndims
        return found.sum(tuple(range(-n, 0))) if n else found

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.base_transform.inverse_shape(shape)


class _Pieces(Transform):
    """Several maps, each of a piece of the tensor along a dimension."""

    transforms: list[Transform]
    dim: int

    def _of_parts(self) -> None:
        """What it is by its parts."""
        self.bijective = all(t.bijective for t in self.transforms)
        self.domain_dim = max((t.domain_dim for t in self.transforms), default=0)
        self.codomain_dim = max((t.codomain_dim for t in self.transforms), default=0)

    def _split(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _join(self, pieces: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        return self._join([t(piece) for t, piece in zip(self.transforms, self._split(x))])

    def _inverse(self, y: Tensor) -> Tensor:
        return self._join([t._inverse(piece) for t, piece in zip(self.transforms, self._split(y))])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        pieces = zip(self.transforms, self._split(x), self._split(y))
        return self._join([t.log_abs_det_jacobian(*both) for t, *both in pieces])


class CatTransform(_Pieces):
    """Maps side by side along `dim`, of pieces of these `lengths` (by default of 1)."""

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ):
        self.transforms, self.dim = list(tseq), dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        self._of_parts()

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(ops.split(x, self.lengths, self.dim))

    def _join(self, pieces: list[Tensor]) -> Tensor:
        return ops.cat(pieces, self.dim)


class StackTransform(_Pieces):
    """Maps of the slices along `dim`."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        self.transforms, self.dim = list(tseq), dim
        self._of_parts()

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(ops.unbind(x, self.dim))

    def _join(self, pieces: list[Tensor]) -> Tensor:
        return ops.stack(pieces, self.dim)


class CumulativeDistributionTransform(Transform):
    """y = F(x), the distribution function of a distribution."""

    def __init__(self, distribution: Distribution, cache_size: int = 0):
        self.distribution = distribution

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)


def _below(d: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of what lies below the diagonal, row by row."""
    from gpunn.ops.further.counting import tril_indices

    row, column = tril_indices(d, d, -1, device=like.device)
    return row, column


def _filled_triangle(x: Tensor) -> Tensor:
    """d (d - 1) / 2 numbers, row by row, below the diagonal of zeros (d, d)."""
    (*batch, d, _) = CorrCholeskyTransform().forward_shape(x.shape)
    places = ops.zeros(d, d, dtype="int64", device=x.device)
    row, column = _below(d, x)
    places[row, column] = ops.arange(x.shape[-1], device=x.device) + 1
    padded = ops.cat([ops.zeros(*batch, 1, dtype=x.dtype, device=x.device), x], -1)
    return padded[..., places]
