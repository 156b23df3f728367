"""Norms of vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import as_dtype

from .arithmetic import abs, pow, sign
from .base import frozen
from .comparison import eq, where
from .reduction import Dims, Reduction, amax, amin, normalise_dims, restore, sum

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class VectorNorm(Reduction):
    """y = (sum of |x|^p over dims)^(1/p);  dx = dy sign(x) (|x| / y)^(p - 1), 0 where x or y is 0.

    For p = 2 that is dx = dy x / y. For p < 1 it is dy sign(x) |x|^(p - 1) y^(1 - p), since |x| / y may round to 0.
    """

    p: float = 2.0
    primitive = "vector_norm"
    saved = (0,)
    saves_output = True

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.vector_norm(x, self.p, self.dims, self.keepdim, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        dy, y = (restore(v, x, self.dims, self.keepdim) for v in (dy, y))
        zero, power = eq(x, 0), self.p - 1
        if self.p < 1:
            return dy * where(zero, 0, sign(x) * pow(abs(where(zero, 1, x)), power) * pow(y, -power))
        share = x / where(eq(y, 0), 1, y)
        if self.p == 2:
            return dy * share
        return dy * where(zero, 0, sign(x) * pow(abs(where(zero, 1, share)), power))


def vector_norm(x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """(sum of |x|^ord)^(1/ord) over `dim` (all dimensions if None).

    For ord = inf and -inf the largest and the smallest |x|, for ord = 0 the number of elements that are not 0.

    Raises:
        RuntimeError: the elements are no floats, or `ord` is negative and there are none.
    """
    if dtype is not None:
        x = x.to(as_dtype(dtype))
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"vector_norm: the elements must be floats, got {x._spec!r}; convert with .float()")
    dims = normalise_dims("vector_norm", dim, x.ndim)
    if ord < 0 and 0 in [x.shape[d] for d in dims]:
        raise RuntimeError(f"vector_norm: there is no norm of order {ord} of no element, in {x._spec!r} over {dims}")
    if ord == math.inf:
        return amax(abs(x), dims, keepdim)
    if ord == -math.inf:
        return amin(abs(x), dims, keepdim)
    if ord == 0:
        return sum(where(eq(x, 0), abs(sign(x)), 1), dims, keepdim)  # constant but at 0: the gradient is 0
    if ord == 1:
        return sum(abs(x), dims, keepdim)
    return apply(VectorNorm(dims, keepdim, float(ord)), x)


def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """`vector_norm` of order `p`; ``"fro"``, the default, is 2, and ``"nuc"`` the sum of a matrix's singular values.

    Raises:
        ValueError: another name.
    """
    if p == "nuc":
        from .further.old import nuclear_norm

        return nuclear_norm(input if dtype is None else input.to(dtype), (-2, -1) if dim is None else dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p is a number, 'fro' or 'nuc', got {p!r}")
    return vector_norm(input, 2 if p is None or isinstance(p, str) else p, dim, keepdim, dtype=dtype)
