"""All parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other, as a new vector; gradients pass through it."""
    return ops.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into the parameters, in their order.

    Raises:
        RuntimeError: the vector has more or fewer elements than the parameters together.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters takes a tensor, got {type(vec).__name__}")
    wanted = list(parameters)
    sizes = [p.numel() for p in wanted]
    if vec.ndim != 1 or vec.numel() != sum(sizes):
        raise RuntimeError(f"vector_to_parameters: the parameters have {sum(sizes)} elements, got {vec._spec!r}")
    with no_grad():
        for p, part in zip(wanted, ops.split(vec, sizes)):
            p.copy_(part.reshape(p.shape))
