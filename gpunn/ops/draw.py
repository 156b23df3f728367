"""Random numbers as an op, so that a traced step draws new ones each time it is replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec
from gpunn.random import VALUES, Generator, Sample, default_generator, of_part

from .base import frozen
from .creation import Creation

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Draw(Creation):
    """y = ``sample(rng, size, *options)``, where rng stands at the place (seed, stream, call number) of Philox.

    The call number is the input, a Python number: each replay of a step has another one.
    """

    sample: Sample
    options: tuple[Any, ...]
    seed: int
    from_number = True

    def shape(self, call: int) -> Spec:
        return super().shape()

    def forward(self, backend: Any, call: int, out: Any = None) -> Any:
        return backend.draw(self.sample, self.options, self.size, self.dtype.numpy, self.seed, VALUES, call, out=out)


def draw(
    sample: Sample,
    options: tuple[Any, ...],
    size: tuple[int, ...],
    dtype: DType,
    device: Device | str | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """A tensor of random numbers from the next place of a generator, the default one if None.

    Inside a part of a batch it has those that the whole batch would have there (`gpunn.parts.Parts`).
    """
    source = default_generator if generator is None else generator
    where = get_default_device() if device is None else Device(device)
    op = Draw(size, dtype, where, *of_part(sample, options, size), source.initial_seed())
    result: Tensor = apply(op, source.next_call(VALUES))
    return result
