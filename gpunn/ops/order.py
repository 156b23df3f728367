"""The largest, the smallest, and elements in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import int64
from gpunn.backend.spec import Spec

from .arithmetic import maximum, minimum
from .base import Op, frozen, shape_error
from .gather import gather
from .reduction import amax, amin, normalise_dim, reduced_shape
from .slicing import narrow

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Ordered(NamedTuple):
    """Elements, and where they stood along the dimension."""

    values: Tensor
    indices: Tensor


@frozen
class _ArgExtreme(Op, abstract=True):
    dim: int | None
    keepdim: bool = False
    differentiable = False

    def shape(self, x: Spec) -> Spec:
        dims = tuple(range(x.ndim)) if self.dim is None else (self.dim,)
        if 0 in [x.shape[d] for d in dims]:
            raise IndexError(f"{self.name}: an empty dimension has no extreme element, in {x!r} over dims {dims}")
        return x.like(reduced_shape(x.shape, dims, self.keepdim), int64)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.primitive)(x, self.dim, self.keepdim, out=out)


@frozen
class ArgMax(_ArgExtreme):
    """y = the index of the largest x along dim, the first one of several."""

    primitive = "argmax"


@frozen
class ArgMin(_ArgExtreme):
    """y = the index of the smallest x along dim, the first one of several."""

    primitive = "argmin"


@frozen
class Sort(Op):
    """y = x in order along dim,  i = where each stood; equal elements keep their order;  dx[i] = dy.

    x (..., n) -> y, i (..., n)
    """

    dim: int
    descending: bool = False
    saves_output = (1,)

    def shape(self, x: Spec) -> tuple[Spec, Spec]:
        return x, x.like(dtype=int64)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.sort(x, self.dim, self.descending, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return gather(dy[0], self.dim, argsort(y[1], self.dim))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element along `dim`, or among all elements in row-major order if None."""
    return _arg(ArgMax, "argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element along `dim`, or among all elements in row-major order if None."""
    return _arg(ArgMin, "argmin", input, dim, keepdim)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; or along `dim` ``(values, indices)``; or of two tensors, ``max(x, y)``, the larger ones.

    Among all elements equal ones share the gradient; along a dimension the one at the index gets it.
    """
    return _extreme("max", input, dim if other is None else other, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; or along `dim` ``(values, indices)``; or of two tensors, ``min(x, y)``, the smaller ones.

    Among all elements equal ones share the gradient; along a dimension the one at the index gets it.
    """
    return _extreme("min", input, dim if other is None else other, keepdim)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Ordered:
    """The elements in order along `dim`, and their indices. Equal elements always keep their order."""
    d = normalise_dim("sort", dim, input.ndim)
    if not input.shape:
        values, indices = apply(Sort(0, descending), input.reshape(1))
        return Ordered(values.reshape(()), indices.reshape(()))
    return Ordered(*apply(Sort(d, descending), input))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that put `input` in order along `dim`."""
    return sort(input.detach(), dim, descending).indices


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ordered:
    """The `k` largest (or smallest) elements along `dim`, in order, and their indices.

    Raises:
        RuntimeError: there are less than `k`.
    """
    d = normalise_dim("topk", dim, input.ndim)
    if not 0 <= k <= (input.shape[d] if input.shape else 1):
        raise shape_error("topk", f"selected index k out of range: {k} of dimension {d} of {input._spec!r}")
    values, indices = sort(input, dim, descending=largest)
    return Ordered(narrow(values, d, 0, k), narrow(indices, d, 0, k)) if input.shape else Ordered(values, indices)


def _arg(op: type[_ArgExtreme], name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    d = None if dim is None else normalise_dim(name, dim, x.ndim)
    return apply(op(d if x.shape else None, keepdim), x)


def _extreme(name: str, x: Any, dim: Any, keepdim: bool) -> Any:
    largest = name == "max"
    if not isinstance(x, TensorBase) and not isinstance(dim, TensorBase):
        raise TypeError(f"{name}: takes a tensor, got {type(x).__name__}; Python's {name}() takes numbers")
    if isinstance(dim, TensorBase):
        return (maximum if largest else minimum)(x, dim)  # type: ignore[arg-type]
    if dim is None:
        return (amax if largest else amin)(x)
    indices = (argmax if largest else argmin)(x, dim, keepdim=True)
    values = gather(x, dim, indices) if x.shape else x.clone()
    if keepdim or not x.shape:
        return Ordered(values, indices)
    return Ordered(values.squeeze(dim), indices.squeeze(dim))
