"""Rows of a table by their indices, and one-hot rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.inplace import assign
from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import INTEGER, int64
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec

from .base import Composite, Cost, Op, frozen, shape_error
from .comparison import ne, where
from .creation import arange, ones
from .vector_norm import vector_norm

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class OneHot(Op):
    """y = 1 where the index along the new dimension `dim` is the label, else 0.

    For a label out of range all is 0, or an error if `strict`.
    """

    classes: int
    dim: int
    dtype: DType
    strict: bool = False
    differentiable = False

    def shape(self, x: Spec) -> Spec:
        return x.like((*x.shape[: self.dim], self.classes, *x.shape[self.dim :]), self.dtype)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.one_hot(x, self.classes, self.dim, self.dtype.numpy, self.strict, out=out)


@frozen
class Embedding(Op):
    """y = W[i], the row for each index i;  dW[i] = sum of dy over places of the index i.

    Rows `padding_idx` get no gradient (-1: all get theirs); with `by_frequency` dW[i] is over the number of its terms.
    """

    padding_idx: int = -1
    by_frequency: bool = False
    saved = (0,)

    def shape(self, indices: Spec, weight: Spec) -> Spec:
        if indices.dtype.category != INTEGER:
            raise shape_error(self, f"the indices must be integers, got {indices!r}; convert with .long()")
        if weight.ndim != 2:
            raise shape_error(self, f"'weight' must be 2-D (rows, width), got {weight!r}")
        return weight.like((*indices.shape, weight.shape[1]))

    def forward(self, backend: Any, indices: Any, weight: Any, out: Any = None) -> Any:
        return backend.embedding(indices, weight, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, indices: Any, weight: Any) -> Any:
        return None, apply(EmbeddingBackward(weight.shape[0], self.padding_idx, self.by_frequency), dy, indices)

    def cost(self, indices: Spec, weight: Spec) -> Cost:
        return Cost(0, indices.nbytes + 2 * self.shape(indices, weight).nbytes)


@frozen
class EmbeddingBackward(Composite):
    """dW = I^T dy, with the one-hot rows I of the indices: the gradient of `Embedding`."""

    rows: int
    padding_idx: int
    by_frequency: bool
    saved = (0, 1)

    def shape(self, dy: Spec, indices: Spec) -> Spec:
        return dy.like((self.rows, dy.shape[-1]))

    def forward(self, backend: Any, dy: Any, indices: Any, out: Any = None) -> Any:
        return backend.embedding_backward(dy, indices, self.rows, self.padding_idx, self.by_frequency, out=out)

    def formula(self, dy: Any, indices: Any) -> Any:
        hot = apply(OneHot(self.rows, 1, dy.dtype), indices.reshape(-1))
        if self.padding_idx >= 0:
            hot = hot * ne(arange(self.rows, device=dy.device), self.padding_idx).to(dy.dtype)
        if self.by_frequency:
            hot = hot / hot.sum(0).clamp(min=1)
        return hot.t() @ dy.reshape(-1, dy.shape[-1])


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The row of `weight` for each index.

    Args:
        input: indices of any integer type and shape.
        weight: (rows, width).
        padding_idx: a row that gets no gradient; negative ones count from the end.
        max_norm: rows that are looked up and longer than this are first scaled down to it, in `weight` itself.
        norm_type: the p of the norm that `max_norm` limits.
        scale_grad_by_freq: divide the gradient of each row by how often it was looked up.
        sparse: there are no sparse gradients here; True is an error.

    Returns:
        (*input.shape, width).

    Raises:
        IndexError: there is no such row.
        RuntimeError: the indices are no integers, or weight is no matrix.
        ValueError: padding_idx is no row.
    """
    if sparse:
        raise NotImplementedError("embedding: there are no sparse gradients; leave sparse=False")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx must be within the {rows} rows of weight, got {padding_idx}")
    if max_norm is not None:
        _renormalise(input, weight, max_norm, norm_type)
    return apply(Embedding(-1 if padding_idx is None else padding_idx % rows, scale_grad_by_freq), input, weight)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the place of each label along a new last dimension, else 0, as int64.

    Args:
        tensor: labels from 0, of any integer type and shape.
        num_classes: the size of the new dimension; -1 for the largest label + 1.

    Raises:
        RuntimeError: the labels are no integers, or one is negative or too large; or there is none to tell the number
            of classes from.
    """
    if tensor.dtype.category != INTEGER:
        raise shape_error("one_hot", f"takes integers, got {tensor._spec!r}; convert with .long()")
    if num_classes == -1 and tensor.numel():
        num_classes = max(int(tensor.amax().item()) + 1, 1)
    if num_classes <= 0:
        raise shape_error("one_hot", f"the number of classes is unknown: num_classes={num_classes}, {tensor._spec!r}")
    return apply(OneHot(num_classes, tensor.ndim, int64, strict=True), tensor)


def _renormalise(indices: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up down to `max_norm`, in place; as in PyTorch, by max_norm / (norm + 1e-7)."""
    with no_grad():
        apply(Embedding(), indices, weight)  # an index that is no row is an error before anything is written
        counted = ones(indices.numel(), 1, dtype=weight.dtype, device=weight.device)
        looked_up = apply(EmbeddingBackward(weight.shape[0], -1, False), counted, indices.reshape(-1)) > 0
        norm = vector_norm(weight, norm_type, 1, keepdim=True)
        scale = where(norm > max_norm, max_norm / (norm + 1e-7), 1.0)
        assign(weight, weight * where(looked_up, scale, 1.0))
