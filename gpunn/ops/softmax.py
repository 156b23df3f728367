"""Softmax and its logarithm."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Op, frozen, shape_error
from .reduction import normalise_dim

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class _AlongDim(Op, abstract=True):
    """An op that treats each vector along `dim` (counted from 0) by itself."""

    dim: int
    flop_per_element = 5

    def shape(self, *specs: Spec) -> Spec:
        return specs[-1]

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return getattr(backend, self.primitive)(*arrays, self.dim, out=out)


class Softmax(_AlongDim):
    """y_i = e^(x_i) / sum_j e^(x_j);  dx = y (dy - sum_j dy_j y_j), the product with the Jacobian diag(y) - y y^T."""

    primitive = "softmax"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(SoftmaxBackward(self.dim), dy, y)


class SoftmaxBackward(_AlongDim, Composite):
    """dx = y (dy - sum_j dy_j y_j), for y = softmax(x)."""

    primitive = "softmax_backward"
    saved = (0, 1)

    def formula(self, dy: Any, y: Any) -> Any:
        return y * (dy - (dy * y).sum(self.dim, keepdim=True))


class LogSoftmax(_AlongDim):
    """y_i = x_i - ln sum_j e^(x_j);  dx = dy - e^y sum_j dy_j."""

    primitive = "log_softmax"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(LogSoftmaxBackward(self.dim), dy, y)


class LogSoftmaxBackward(_AlongDim, Composite):
    """dx = dy - e^y sum_j dy_j, for y = log_softmax(x)."""

    primitive = "log_softmax_backward"
    saved = (0, 1)

    def formula(self, dy: Any, y: Any) -> Any:
        return dy - y.exp() * dy.sum(self.dim, keepdim=True)


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^(x_i) / sum_j e^(x_j) along `dim`: positive, and summing to 1.

    Args:
        input: floats of any shape.
        dim: the dimension of the sum. Without it one is guessed as PyTorch does, with a warning.
        dtype: convert the input to this type before.

    Raises:
        IndexError: `dim` is out of range.
        RuntimeError: the input is no float.
    """
    return _along(Softmax, "softmax", input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """ln softmax(input), exact also where the softmax itself would round to 0; arguments as in `softmax`."""
    return _along(LogSoftmax, "log_softmax", input, dim, dtype)


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-input); arguments as in `softmax`."""
    return _along(Softmax, "softmin", -input, dim, dtype)


def _along(op: type[_AlongDim], name: str, x: Tensor, dim: int | None, dtype: Any) -> Tensor:
    if dtype is not None:
        x = x.to(dtype)
    if not x.dtype.is_floating_point:
        raise shape_error(name, f"takes floats, got {x._spec!r}; convert with .float(), or give dtype=gpunn.float32")
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(f"{name}: give dim; without it PyTorch's old guess is used, here dim={dim}", stacklevel=3)
    dim = normalise_dim(name, dim, x.ndim)
    if x.ndim == 0:
        return apply(op(0), x.reshape(1)).reshape(())
    return apply(op(dim), x)
