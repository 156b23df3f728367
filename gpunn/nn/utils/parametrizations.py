"""Weights with a norm, a largest singular value or columns that stay what they are."""

from __future__ import annotations

from gpunn import ops
from gpunn.autograd.autocast import plain
from gpunn.autograd.inplace import assign
from gpunn.autograd.mode import no_grad, state
from gpunn.ops.further.old import geqrf, norm_except_dim
from gpunn.tensor import Tensor

from .. import functional as F
from ..conv import _Conv
from ..module import Module
from .computed import named_tensor
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """w = g v / |v|: the length of each slice of the weight and its direction are learned apart.

    Salimans, Kingma 2016, "Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks", equation 2.

    Args:
        module: a layer; it becomes one of a class below its own, with g as ``parametrizations.weight.original0`` and
            v as ``original1``.
        name: of the weight.
        dim: the dimension of the slices; None for one norm of all.
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The norms and the weight itself."""
        return norm_except_dim(weight, 2, self.dim), weight


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """w / s: the weight over its largest singular value s, so that the layer stretches no vector.

    s = u^T W v, with W the weight as a matrix (dimension `dim` by all others) and u, v from power iterations
    u = W v / |W v|, v = W^T u / |W^T u|, some at each call in training. Miyato et al. 2018, "Spectral normalization
    for generative adversarial networks", algorithm 1.

    Args:
        module: a layer.
        name: of the weight.
        n_power_iterations: how many at each call.
        eps: the least norm, against division by 0.
        dim: the rows of the matrix; by default 0, for transposed convolutions 1.
    """
    weight = named_tensor(module, name)
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, default_dim(module) if dim is None else dim, eps)
    )


def default_dim(module: Module) -> int:
    """The dimension of the output's channels."""
    return 1 if isinstance(module, _Conv) and module.transposed else 0


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """Dimension `dim` by all others."""
    if dim:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.flatten(1)


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"spectral_norm: the weight {weight._spec!r} has no dimension {dim}")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got {n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in zip(("_u", "_v"), matrix.shape):
                self.register_buffer(name, F.normalize(matrix.new_empty(size).normal_(), dim=0, eps=eps))
            self._iterated(matrix, 15)

    def _iterated(self, matrix: Tensor, times: int) -> tuple[Tensor, Tensor]:
        with no_grad():
            u, v = self._u, self._v
            for _ in range(times):
                u = F.normalize(ops.mv(matrix, v), dim=0, eps=self.eps)
                v = F.normalize(ops.mv(matrix.t(), u), dim=0, eps=self.eps)
            if not state.recomputing:
                assign(self._u, u)
                assign(self._v, v)
        return u, v

    @plain
    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            u, v = self._iterated(matrix.detach(), self.n_power_iterations)
        else:
            u, v = self._u, self._v
        return weight / ops.dot(u.detach().clone(), ops.mv(matrix, v.detach().clone()))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


MAPS = ("matrix_exp", "cayley", "householder")


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A weight with orthonormal columns, or rows where it is wide; of a batch each matrix.

    The map from any matrix X is e^A or the Cayley map (1 - A/2)^-1 (1 + A/2) of the skew matrix A = X - X^T of X's
    lower triangle, or the product of Householder reflections along X's columns (Lezcano-Casado 2019, "Trivializations
    for gradient-based optimization on manifolds").

    Args:
        module: a layer.
        name: of the weight, of 2 dimensions at least.
        orthogonal_map: "matrix_exp", "cayley" or "householder"; by default the first for square matrices, else the
            last.
        use_trivialization: whether the map starts at the weight as it is made orthogonal: Q = base map(X).

    Raises:
        ValueError: there is no such weight or map.
    """
    weight = named_tensor(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    square = weight.shape[-2] == weight.shape[-1]
    chosen = orthogonal_map or ("matrix_exp" if square else "householder")
    if chosen not in MAPS:
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {chosen}')
    return register_parametrization(module, name, _Orthogonal(weight, chosen, use_trivialization), unsafe=True)


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool = True):
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        from gpunn import linalg

        n, k = X.shape[-2:]
        wide = n < k
        if wide:
            X, n, k = X.mT, k, n
        if self.orthogonal_map == "householder":
            A = ops.tril(X, -1)
            tau = 2.0 / (1.0 + (A * A).sum(-2))
            signs = X.detach().diagonal(dim1=-2, dim2=-1)
            Q = linalg.householder_product(A, tau) * ops.trunc(signs).unsqueeze(-2)
        else:
            X = ops.tril(X)
            if n != k:
                X = ops.cat([X, X.new_zeros(*X.shape[:-1], n - k)], -1)
            A = X - X.mT
            if self.orthogonal_map == "matrix_exp":
                Q = linalg.matrix_exp(A)
            else:
                one = ops.eye(n, dtype=A.dtype, device=A.device)
                Q = linalg.solve(one - A / 2, one + A / 2)
            Q = Q[..., :k]
        if self.use_trivialization:
            assert self.base is not None
            Q = ops.matmul(self.base, Q)
        return Q.mT if wide else Q

    def right_inverse(self, Q: Tensor) -> Tensor:
        """The X that a weight is made of, once it is made orthogonal by a QR decomposition.

        Raises:
            NotImplementedError: by "matrix_exp" and "cayley" without trivialization it is not known.
        """
        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got {Q._spec!r}.")
        with no_grad():
            return self._inverse(Q.detach())

    def _inverse(self, Q: Tensor) -> Tensor:
        start = Q
        n, k = Q.shape[-2:]
        wide = n < k
        if wide:
            Q, n, k = Q.mT, k, n
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            A, tau = geqrf(Q)
            signs = ops.sign(A.diagonal(dim1=-2, dim2=-1))
            signs = ops.where(ops.eq(tau, 0), -signs, signs)
            eye = ops.eye(n, k, dtype=A.dtype, device=A.device)
            A = ops.where(ops.gt(eye, 0), eye * signs.unsqueeze(-2), A)
            return A.mT if wide else A
        if n != k:
            more = ops.empty(*Q.shape[:-1], n - k, dtype=Q.dtype, device=Q.device).normal_()
            Q = ops.cat([Q, more], -1)
        if n != k or not _is_orthogonal(Q):
            Q = _made_orthogonal(Q)
        self.base = Q.clone()
        return -ops.eye(*start.shape[-2:], dtype=Q.dtype, device=Q.device).expand(start.shape).clone()


def _is_orthogonal(Q: Tensor) -> bool:
    n, k = Q.shape[-2:]
    eps = 10 * n * (2.0**-52 if Q.dtype.itemsize == 8 else 2.0**-23)
    difference = ops.matmul(Q.mT, Q) - ops.eye(k, dtype=Q.dtype, device=Q.device)
    return bool((ops.abs(difference) <= eps).all())


def _made_orthogonal(A: Tensor) -> Tensor:
    """The Q of A = Q R with a positive diagonal of R, as a product of reflections."""
    from gpunn import linalg

    reflections, tau = geqrf(A)
    Q = linalg.householder_product(reflections, tau)
    return Q * ops.sign(reflections.diagonal(dim1=-2, dim2=-1)).unsqueeze(-2)
