"""Products of tensors, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import full_precision, half_precision, plain

from ..base import shape_error
from ..diagonal import diagonal
from ..join import stack
from ..matmul import check_factors, matmul, outer
from ..reduction import normalise_dim
from ..slicing import select
from ..vector_norm import vector_norm
from ..view import movedim, reshape, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Number = int | float

__all__ = [
    "addbmm",
    "addmv",
    "addr",
    "baddbmm",
    "bilinear",
    "cdist",
    "chain_matmul",
    "cross",
    "dist",
    "inner",
    "kron",
    "matrix_power",
    "pairwise_distance",
    "pdist",
    "tensordot",
    "trace",
    "vander",
    "vdot",
]


def _sum(input: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    """beta input + alpha product; what is in the input does not matter where beta is 0."""
    check_factors(product, beta, alpha)
    product = product if alpha == 1 else alpha * product
    if not beta:
        return product
    return (input if beta == 1 else beta * input) + product


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta input + alpha mat vec."""
    return _sum(input, matmul(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta input + alpha vec1 vec2^T."""
    return _sum(input, outer(vec1, vec2), beta, alpha)


@half_precision
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta input + alpha batch1 batch2, for each matrix of a batch."""
    return _sum(input, _bmm("baddbmm", batch1, batch2), beta, alpha)


@half_precision
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta input + alpha times the sum over the batch of batch1 batch2."""
    return _sum(input, _summed(_bmm("addbmm", batch1, batch2)), beta, alpha)


def _bmm(name: str, x: Tensor, y: Tensor) -> Tensor:
    if x.ndim != 3 or y.ndim != 3:
        raise shape_error(name, f"multiplies batches of matrices with three dimensions, got {x._spec!r}, {y._spec!r}")
    return matmul(x, y)


def _summed(x: Tensor) -> Tensor:
    return x.sum(0, dtype=x.dtype)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices, one after the other."""
    return reduce(matmul, matrices)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sum over the last dimension of both, for all pairs of rows: (..., k), (*, k) -> (..., *)."""
    if not input.ndim or not other.ndim:
        return input * other
    return tensordot(input, other, ([-1], [-1]))


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The dot product of two vectors."""
    from ..matmul import dot

    return dot(input, other)


@full_precision
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise shape_error("trace", f"expected a matrix, got {input._spec!r}")
    return diagonal(input).sum()


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Any] = 2, out: None = None) -> Tensor:
    """The sum of products over some dimensions: the last `dims` of a and the first of b, or two lists of dimensions.

    Where a dimension has size 1 in one of the two, the other is summed over.

    Raises:
        RuntimeError: the sizes of the dimensions are not those of the other tensor.
    """
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.ndim, b.ndim):
            raise shape_error("tensordot", f"expects dims from 0 to the number of dimensions, got {dims}")
        over_a, over_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        over_a, over_b = (
            [normalise_dim("tensordot", d, x.ndim) for d in ([ds] if isinstance(ds, int) else ds)]
            for x, ds in zip((a, b), dims)
        )
    for i, j in zip(over_a, over_b):
        if a.shape[i] == 1 != b.shape[j]:
            b = b.sum(j, keepdim=True, dtype=b.dtype)
        elif b.shape[j] == 1 != a.shape[i]:
            a = a.sum(i, keepdim=True, dtype=a.dtype)
    sizes = [a.shape[d] for d in over_a]
    if sizes != [b.shape[d] for d in over_b]:
        raise shape_error(
            "tensordot", f"the dimensions {over_a} of {a._spec!r} and {over_b} of {b._spec!r} have other sizes"
        )
    free_a = [d for d in range(a.ndim) if d not in over_a]
    free_b = [d for d in range(b.ndim) if d not in over_b]
    n = prod(sizes)
    shape = [a.shape[d] for d in free_a] + [b.shape[d] for d in free_b]
    left = reshape(a.permute(*free_a, *over_a), (prod(a.shape[d] for d in free_a), n)) if a.ndim else reshape(a, (1, 1))
    right = (
        reshape(b.permute(*over_b, *free_b), (n, prod(b.shape[d] for d in free_b))) if b.ndim else reshape(b, (1, 1))
    )
    return reshape(matmul(left, right), shape)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: each element of the input times the whole other tensor, in its place."""
    n = max(input.ndim, other.ndim)
    a, b = (reshape(x, (1,) * (n - x.ndim) + x.shape) for x in (input, other))
    wide = reshape(a, [s for size in a.shape for s in (size, 1)])
    tall = reshape(b, [s for size in b.shape for s in (1, size)])
    return reshape(wide * tall, [p * q for p, q in zip(a.shape, b.shape)])


def matrix_power(input: Tensor, n: int) -> Tensor:
    """The product of n times a square matrix; of a batch each. A negative n takes the inverse.

    Raises:
        RuntimeError: the matrices are not square.
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise shape_error("matrix_power", f"expected square matrices, got {input._spec!r}")
    if n < 0:
        raise shape_error("matrix_power", f"a negative power ({n}) needs the inverse, which there is none of yet")
    from ..creation import eye

    identity = eye(input.shape[-1], dtype=input.dtype, device=input.device)
    result = identity.expand(input.shape) if not n else None
    square = input
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return result.clone() if result is input else result  # type: ignore[return-value]


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3: the first such one where `dim` is None."""
    if input.ndim != other.ndim:
        raise shape_error("cross", f"takes as many dimensions of both, got {input._spec!r} and {other._spec!r}")
    if dim is None:
        dim = next((d for d, size in enumerate(input.shape) if size == 3), None)
        if dim is None:
            raise shape_error("cross", f"no dimension of {input._spec!r} has size 3")
    dim = normalise_dim("cross", dim, input.ndim)
    if input.shape[dim] != 3 or other.shape[dim - input.ndim] != 3:
        raise shape_error("cross", f"dimension {dim} must have size 3, got {input._spec!r} and {other._spec!r}")
    dim -= input.ndim  # counted from the end, where both agree when one is broadcast
    (a, b, c), (x, y, z) = ([select(t, dim, i) for i in range(3)] for t in (input, other))
    return movedim(stack([b * z - c * y, c * x - a * z, a * y - b * x], -1), -1, dim)


@plain
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = x1^T W_k x2 + b_k:  x1 (..., i), x2 (..., j), W (k, i, j), b (k)  ->  y (..., k)."""
    rows1, rows2 = input1.shape[:-1], input2.shape[:-1]
    if rows1 != rows2:
        raise shape_error("bilinear", f"both inputs have the same batch, got {input1._spec!r} and {input2._spec!r}")
    k, i, j = weight.shape
    if input1.shape[-1] != i or input2.shape[-1] != j:
        raise shape_error(
            "bilinear", f"the inputs {input1._spec!r}, {input2._spec!r} do not fit the weight {weight._spec!r}"
        )
    n = prod(rows1)
    left = matmul(reshape(input1, (n, i)), reshape(movedim(weight, 0, 1), (i, k * j)))  # (n, k j)
    y = matmul(reshape(left, (n, k, j)), reshape(input2, (n, j, 1)))
    y = reshape(y, (*rows1, k))
    return y if bias is None else y + bias


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    difference = input - other
    return vector_norm(difference, p)


@full_precision
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm of the difference of each pair of rows: (..., n, d), (..., m, d) -> (..., n, m).

    Differences are taken, and never products, whatever `compute_mode` says: nothing cancels.
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise shape_error("cdist", f"takes rows of one length, got {x1._spec!r} and {x2._spec!r}")
    return _norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p)


def _norm(difference: Tensor, p: float) -> Tensor:
    """The p-norm of rows; of empty ones 0 for each p, also where it is the largest element."""
    return vector_norm(difference, p if difference.shape[-1] else 1, -1)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference of each pair of different rows, in the order (0, 1), (0, 2), ..., (1, 2), ..."""
    from ..construct import as_tensor
    from ..selection import index_select

    if input.ndim != 2:
        raise shape_error("pdist", f"takes a matrix, got {input._spec!r}")
    n = input.shape[0]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    first, second = (as_tensor([pair[k] for pair in pairs], dtype="int64", device=input.device) for k in (0, 1))
    return _norm(index_select(input, 0, first) - index_select(input, 0, second), p)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of a vector's elements as columns, N of them, falling or increasing."""
    if x.ndim != 1 or (N is not None and N < 0):
        raise shape_error("vander", f"takes a vector and N >= 0, got {x._spec!r} and {N}")
    n = x.shape[0] if N is None else N
    x = x if x.is_floating_point() else x.long()  # of small integers the powers would overflow
    powers = list(range(n)) if increasing else list(range(n))[::-1]
    return stack([x**k for k in powers], 1) if powers else x.reshape(-1, 1)[:, :0]
