"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL
from gpunn.backend.spec import Spec

from .base import Cost, Op, shape_error
from .construct import as_tensor
from .elementwise import broadcast_shapes
from .promote import operand

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class MatMul(Op):
    """Z = X Y, on the last two dimensions, broadcast over the others;  dX = dZ Y^T,  dY = X^T dZ.

    X (..., n, k)  Y (..., k, m)  ->  Z (..., n, m)
    """

    primitive = "matmul"
    saved = (0, 1)
    saved_for = ((1,), (0,))

    def shape(self, x: Spec, y: Spec) -> Spec:
        if x.ndim < 2 or y.ndim < 2:
            raise shape_error(self, f"takes matrices, got {x!r} and {y!r}")
        if x.shape[-1] != y.shape[-2]:
            raise shape_error(
                self,
                f"{x!r} and {y!r} do not fit: the columns of the first ({x.shape[-1]}) "
                f"must be as many as the rows of the second ({y.shape[-2]})",
            )
        if x.dtype is not y.dtype:
            raise shape_error(self, f"the types differ: {x!r} and {y!r}; convert one with .to(dtype)")
        if x.dtype.category == BOOL:
            raise shape_error(self, "there is no product of boolean matrices; convert with .float()")
        batch = x.shape[:-2] if x.shape[:-2] == y.shape[:-2] else broadcast_shapes(self, x.shape[:-2], y.shape[:-2])
        return x.like((*batch, x.shape[-2], y.shape[-1]))

    def vjp(self, needs: Any, dz: Any, z: Any, x: Any, y: Any) -> Any:
        dx = apply(self, dz, y.transpose(-2, -1)) if needs[0] else None
        dy = apply(self, x.transpose(-2, -1), dz) if needs[1] else None
        return dx, dy

    def cost(self, x: Spec, y: Spec) -> Cost:
        z = self.shape(x, y)
        return Cost(2 * z.numel() * x.shape[-1], x.nbytes + y.nbytes + z.nbytes)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, as in PyTorch: vectors are rows or columns, further dimensions are batches and broadcast.

    Raises:
        RuntimeError: a 0-d tensor, types that differ, or sizes that do not meet.
    """
    device = next((x.device for x in (input, other) if isinstance(x, TensorBase)), None)
    input, other = (
        x if isinstance(x, TensorBase) else as_tensor(operand("matmul", x), device=device) for x in (input, other)
    )
    if not input.ndim or not other.ndim:
        raise shape_error("matmul", f"both need at least one dimension, got {input._spec!r} and {other._spec!r}")
    x = input.unsqueeze(0) if input.ndim == 1 else input
    y = other.unsqueeze(1) if other.ndim == 1 else other
    z: Tensor = apply(MatMul(), x, y)
    if input.ndim == 1:
        z = z.squeeze(-2)
    return z.squeeze(-1) if other.ndim == 1 else z


def rmatmul(input: Tensor, other: Tensor) -> Tensor:
    """other @ input."""
    return matmul(other, input)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    _require_ndim("mm", 2, input, mat2)
    return apply(MatMul(), input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _require_ndim("mv", 2, input)
    _require_ndim("mv", 1, vec)
    return matmul(input, vec)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, n, k) and (b, k, m); nothing is broadcast."""
    _require_ndim("bmm", 3, input, mat2)
    if input.shape[0] != mat2.shape[0]:
        raise shape_error("bmm", f"the batches differ: {input._spec!r} and {mat2._spec!r}")
    return apply(MatMul(), input, mat2)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _require_ndim("dot", 1, input, tensor)
    return matmul(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors, (n,) and (m,) -> (n, m)."""
    _require_ndim("outer", 1, input, vec2)
    return input.unsqueeze(1) * vec2


@half_precision
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Beta input + alpha mat1 @ mat2; with beta = 0 input is not read, so its NaN does not spread."""
    product = mm(mat1, mat2)
    check_factors(product, beta, alpha)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    result = product + (input if beta == 1 else input * beta)
    if result.shape != product.shape:
        raise shape_error("addmm", f"{input._spec!r} does not broadcast to {product._spec!r}")
    return result


def check_factors(product: Tensor, beta: float, alpha: float) -> None:
    """Raise RuntimeError where the numbers of `addmm` would make floats of integers."""
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if isinstance(factor, float) and not product.is_floating_point():
            raise shape_error("addmm", f"for integers {name} is an integer too, got {factor}")


def _require_ndim(name: str, ndim: int, *tensors: Tensor) -> None:
    for x in tensors:
        if x.ndim != ndim:
            raise shape_error(name, f"takes tensors of {ndim} dimensions, got {x._spec!r}")
