"""A batch of samples: its tensors, or where they lie in a data set that is on the device as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gpunn.autograd.tape import wrap
from gpunn.backend.spec import Spec
from gpunn.tensor import Tensor


@dataclass
class Batch:
    """A batch on the model's device.

    inputs: what the model is called with, each (n, ...)
    target: what is wanted, (n, ...)
    share:  by what the batch counts among others, see `Objective.share`
    labels: the target where metrics are computed, on the host; None if it was never there
    first:  where it is a rank's part of a batch, or a micro-batch, the place of its first sample in the whole
    counts: whether its samples count; not those of a rank that has none of its own, see `gpunn.utils.data.part`
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    share: float
    labels: Tensor | None = None
    first: int = 0
    counts: bool = True

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.target.shape[0] if self.target.shape else 1

    def host_target(self) -> Tensor:
        """The target on the host."""
        return self.target.cpu() if self.labels is None else self.labels

    def tensors(self) -> list[Tensor]:
        """What a planned step is called with."""
        return [*self.inputs, self.target]

    def of(self, tensors: Iterator[Tensor]) -> Batch:
        """Such a batch, made of the next of what `tensors` gave."""
        inputs = tuple([next(tensors) for _ in self.inputs])
        return Batch(inputs, next(tensors), 1.0, first=self.first, counts=self.counts)

    def part(self, start: int, stop: int) -> Batch:
        """Some of the samples; how much they count is not known."""
        labels = None if self.labels is None else self.labels[start:stop]
        inputs = tuple([x[start:stop] for x in self.inputs])
        return Batch(inputs, self.target[start:stop], 1.0, labels, self.first + start)

    def like(self, n: int) -> Batch:
        """A batch of `n` such samples, as shapes without elements."""
        return self.of(iter([_shape_of(n, t) for t in self.tensors()]))

    def input_shapes(self) -> list[Tensor]:
        """The inputs, as shapes without elements."""
        return [_shape_of(self.samples, x) for x in self.inputs]


class Gathered(Batch):
    """Samples of a data set on the device, which are gathered when they are asked for: in a planned step, by the step.

    So `inputs` and `target`, which a `Batch` has from the beginning, are made here at the first use.

    data:    the tensors of the data set, (*inputs, target), on the device
    indices: (n,) int64, the samples, on the device
    share:   as above
    labels:  as above
    first:   as above
    counts:  as above
    """

    def __init__(
        self,
        data: Sequence[Tensor],
        indices: Tensor,
        share: float,
        labels: Tensor | None = None,
        first: int = 0,
        counts: bool = True,
    ):
        self.data = data
        self.indices = indices
        self.share = share
        self.labels = labels
        self.first, self.counts = first, counts

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:  # type: ignore[override]
        """What the model is called with."""
        return tuple([t[self.indices] for t in self.data[:-1]])

    @cached_property
    def target(self) -> Tensor:  # type: ignore[override]
        """What is wanted."""
        return self.data[-1][self.indices]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.indices.shape[0]

    def tensors(self) -> list[Tensor]:
        """The indices: a planned step gathers the samples itself."""
        return [self.indices]

    def of(self, tensors: Iterator[Tensor]) -> Gathered:
        """Such a batch of other indices."""
        return Gathered(self.data, next(tensors), 1.0, first=self.first, counts=self.counts)

    def part(self, start: int, stop: int) -> Gathered:
        """Some of the samples."""
        labels = None if self.labels is None else self.labels[start:stop]
        return Gathered(self.data, self.indices[start:stop], 1.0, labels, self.first + start)

    def input_shapes(self) -> list[Tensor]:
        """The inputs, as shapes without elements."""
        return [_shape_of(self.samples, x) for x in self.data[:-1]]


def _shape_of(n: int, t: Tensor) -> Tensor:
    return wrap(None, Spec((n, *t.shape[1:]), t.dtype, t.device))
