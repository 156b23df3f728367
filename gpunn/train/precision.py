"""In what precision a training computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from gpunn import autocast, bfloat16, float16, full, no_grad
from gpunn.backend.products import computing_in
from gpunn.tensor import Tensor

PRECISIONS = {"fp32": None, "tf32": None, "bf16": bfloat16, "fp16": float16}
"""The names of precisions, and the types that the factors of products come in, where they are not those of inputs."""


@dataclass(frozen=True)
class Precision:
    """How products compute.

    name: see `PRECISIONS`; in "fp32" all computes in the types of parameters and inputs, in "tf32" products of float32
          round their factors to TF32, as with ``gpunn.set_float32_matmul_precision("high")``
    kind: of the device

    Raises ValueError where there is no such precision.
    """

    name: str = "fp32"
    kind: str = "cpu"

    def __post_init__(self) -> None:
        if self.name not in PRECISIONS:
            raise ValueError(f"precision is {self.name!r}; expected one of {', '.join(map(repr, PRECISIONS))}")

    @property
    def scaled(self) -> bool:
        """Whether gradients have to be scaled, since they would vanish in the range of its floats."""
        return self.name == "fp16"

    def forward(self) -> AbstractContextManager[Any]:
        """The context of a forward pass and its loss."""
        dtype = PRECISIONS[self.name]
        return self.products() if dtype is None else autocast(self.kind, dtype)

    def products(self) -> AbstractContextManager[Any]:
        """The context of a whole step, forward and backward."""
        return computing_in("high") if self.name == "tf32" else nullcontext()


def scale_and_inverse(scale: float | None, like: Tensor) -> list[Tensor]:
    """A scale of gradients and one over it, in the type and on the device of a tensor; nothing where it is None."""
    if scale is None:
        return []
    return [full((), value, dtype=like.dtype, device=like.device) for value in (scale, 1.0 / scale)]


def unscale(parameters: list[Tensor], inverse: Tensor) -> None:
    """Multiply all gradients by one over their scale."""
    with no_grad():
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(inverse)
