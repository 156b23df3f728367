"""The gradients of a training step before it is done: how large they are, through a plan of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn import full, no_grad
from gpunn.autograd.mode import is_tracing
from gpunn.parallel import world
from gpunn.parts import Ahead
from gpunn.plan import NotPlanned, Step
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.step import PlannedStep, _flat, trained_parameters


class GradientStep(PlannedStep):
    """Forward and backward of a planned step without its update, which leave all as it was.

    A planned step keeps no gradients, and fuses some with their update. So that one which is watched has the bits of
    one which is not, its gradients are computed by this plan before it: with the same random numbers, which it draws
    again, and with the buffers that it changes put back. What else the memory of the step's plan is used for, this one
    uses too, in turns.
    """

    def __call__(self, batches: Sequence[Batch], scale: float | None = None) -> list[Tensor] | None:  # type: ignore[override]
        """`squares` of the gradient of each parameter that is trained; None where the step is done op by op.

        Raises TrainingError where a batch fits neither as a whole nor in parts.
        """
        ranks, total = world(), None
        if ranks.size > 1:
            found = ranks.agree(sum(batch.share for batch in batches), all(batch.share for batch in batches))
            total = float(found[:, 0].sum())
            if not found[:, 1].all():  # ranks do it together, or none does
                return None
        weights = self._take(batches, total)
        if not all(batch.share for batch in self._batches):
            return None
        try:
            with Ahead():
                return list(Step.__call__(self, *_flat(self._batches, weights), *self.eager.scales(scale)))
        except NotPlanned:
            return None

    def body(self, *flat: Any) -> Any:
        """The gradients on all the tensors of all batches, and what there was in the buffers."""
        if not is_tracing():
            raise NotPlanned
        buffers = list(self.model.buffers())
        before = [b.clone() for b in buffers]
        self.eager.gradients(*self._of(flat), self._contexts())
        found = [squares(p) for p in trained_parameters(self.optimizer)]
        with no_grad():
            for b, value in zip(buffers, before):
                b.copy_(value)
        return tuple(found)


def squares(parameter: Tensor) -> Tensor:
    """The sums of the squares of a parameter's gradient along all dimensions but the first, in float64: (units,).

    -1 where there is no gradient.
    """
    if parameter.grad is None:
        return full((1,), -1.0, dtype="float64", device=parameter.device)
    return sums_of_squares(parameter.grad)


@no_grad()
def sums_of_squares(x: Tensor) -> Tensor:
    """The sums of squares along all dimensions but the first, in float64: (n, ...) to (n,), and () to (1,)."""
    x = x.detach().double().square()
    return x.reshape(1) if x.ndim == 0 else x.reshape(x.shape[0], -1).sum(1)
