"""Several tensors as one, and one tensor several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.memory_format import lies_last
from gpunn.backend.spec import Spec

from .base import Op, frozen, shape_error
from .promote import promote
from .reduction import normalise_dim
from .slicing import narrow, select

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Cat(Op):
    """y = [x_1, x_2, ...], one after another along dimension `dim`;  dx_i = its part of dy."""

    dim: int
    images = (0,)
    flop_per_element = 0

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """Where all inputs lie so."""
        return all(map(lies_last, arrays))

    def shape(self, *specs: Spec) -> Spec:
        first, d = specs[0], self.dim
        for i, x in enumerate(specs):
            if x.ndim != first.ndim:
                raise shape_error(self, f"tensor 0 has {first.ndim} dimensions, tensor {i} has {x.ndim}")
            if x.shape[:d] != first.shape[:d] or x.shape[d + 1 :] != first.shape[d + 1 :]:
                raise shape_error(
                    self, f"sizes must match except in dimension {d}: tensor 0 is {first!r}, tensor {i} is {x!r}"
                )
        return first.like((*first.shape[:d], sum(x.shape[d] for x in specs), *first.shape[d + 1 :]))

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.concatenate(arrays, self.dim, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, *inputs: Any) -> Any:
        gradients = []
        start = 0
        for x, needed in zip(inputs, needs):
            gradients.append(narrow(dy, self.dim, start, x.shape[self.dim]) if needed else None)
            start += x.shape[self.dim]
        return tuple(gradients)


@frozen
class Stack(Op):
    """y = [x_1, x_2, ...], along a new dimension `dim`;  dx_i = element i of dy."""

    dim: int
    flop_per_element = 0

    def shape(self, *specs: Spec) -> Spec:
        first = specs[0]
        for i, x in enumerate(specs):
            if x.shape != first.shape:
                raise shape_error(self, f"the shapes must be equal: tensor 0 is {first!r}, tensor {i} is {x!r}")
        return first.like((*first.shape[: self.dim], len(specs), *first.shape[self.dim :]))

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.stack(arrays, self.dim, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, *inputs: Any) -> Any:
        return tuple(select(dy, self.dim, i) if needed else None for i, needed in enumerate(needs))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`, in their common type. As in PyTorch, those of shape (0,) count not.

    Raises:
        ValueError: there are no tensors.
        RuntimeError: a tensor has no dimension, or sizes differ in another dimension than `dim`.
    """
    parts = _tensors("cat", tensors)
    if not parts:
        raise ValueError("cat: expected a non-empty list of tensors")
    for i, x in enumerate(parts):
        if not x.shape:
            raise shape_error("cat", f"tensor {i} has no dimension; use stack")
    ndim = max(x.ndim for x in parts)
    rest = [x for x in parts if x.shape != (0,)] if ndim > 1 else parts
    result: Tensor = apply(Cat(normalise_dim("cat", dim, ndim)), *rest)
    return result


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new dimension `dim`, in their common type.

    Raises:
        RuntimeError: there are no tensors, or their shapes differ.
    """
    parts = _tensors("stack", tensors)
    if not parts:
        raise shape_error("stack", "expected a non-empty list of tensors")
    result: Tensor = apply(Stack(normalise_dim("stack", dim, parts[0].ndim + 1)), *parts)
    return result


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side: along dimension 1, vectors and numbers along dimension 0."""
    parts = [x if x.ndim else x.reshape(1) for x in _tensors("hstack", tensors)]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors one below the other, along dimension 0; vectors and numbers are rows."""
    return cat([x if x.ndim > 1 else x.reshape(1, -1) for x in _tensors("vstack", tensors)])


def _tensors(name: str, tensors: Sequence[Tensor]) -> list[Any]:
    """The tensors in their common type."""
    parts = list(tensors)
    for i, x in enumerate(parts):
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}: element {i} is no tensor but {type(x).__name__}; make one with gpunn.tensor(...)")
    return parts if not parts or all(x.dtype is parts[0].dtype for x in parts) else promote(name, *parts)
