"""One training step: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpunn import full, nn
from gpunn.plan import Step
from gpunn.tensor import Tensor
from gpunn.train.objective import Objective


@dataclass
class Batch:
    """A batch on the model's device.

    inputs: what the model is called with, each (n, ...)
    target: what is wanted, (n, ...)
    share:  by what the batch counts among others, see `Objective.share`
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    share: float

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.target.shape[0] if self.target.shape else 1


class EagerStep:
    """A training step op by op; ``step(batches)`` changes the parameters once.

    With several batches the gradient is that of all of them as one batch, within rounding: of means, the gradient of
    each counts by its share. Returned are loss and output of each batch, as they were before the update.
    """

    def __init__(self, model: nn.Module, objective: Objective, optimizer: Any, clip_norm: float | None = None):
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.note: Any = None

    def __call__(self, batches: Sequence[Batch]) -> list[tuple[Tensor, Any]]:
        """Take one step; `batches` holds at least one."""
        return self.run(batches, self.weights(batches))

    def weights(self, batches: Sequence[Batch]) -> list[Tensor | None]:
        """By what the gradient of each batch is multiplied: a tensor without dimensions, or None for 1."""
        total = sum(batch.share for batch in batches)
        if len(batches) == 1 or self.objective.reduction == "sum":
            return [None] * len(batches)
        first = next(p for p in self.model.parameters() if p.dtype.is_floating_point)
        return [
            full((), batch.share / total if total else 0.0, dtype=first.dtype, device=first.device) for batch in batches
        ]

    def run(self, batches: Sequence[Batch], weights: Sequence[Tensor | None]) -> list[tuple[Tensor, Any]]:
        """The step, with the weights of the batches."""
        objective = self.objective
        results = []
        self.optimizer.zero_grad()
        for batch, weight in zip(batches, weights):
            output = self.model(*batch.inputs)
            loss = objective.loss(output, batch.target)
            if batch.share:  # else no target counts: the loss is a mean of nothing, and has no gradient
                loss.backward(None if weight is None else weight.to(loss.dtype).reshape(loss.shape))
            results.append((loss.detach(), output.detach() if isinstance(output, Tensor) else output))
        objective.add_penalty_gradient()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trained_parameters(), self.clip_norm)
        self.optimizer.step()
        return results

    def trained_parameters(self) -> list[Tensor]:
        """The parameters that the optimizer changes."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class PlannedStep(Step):
    """The same step through a plan: traced once for each shape of the batches, and replayed; see `gpunn.TrainStep`.

    Steps that a plan can't express are done op by op: those where no target of a batch counts, and models whose output
    is no tensor.
    """

    def __init__(self, eager: EagerStep):
        super().__init__(eager.model, eager.optimizer)
        self.eager = eager
        self._batches: Sequence[Batch] = ()
        self._expressible = True

    def __call__(self, batches: Sequence[Batch]) -> list[tuple[Tensor, Any]]:
        """Take one step; `batches` holds at least one."""
        weights = self.eager.weights(batches)
        if not self._expressible or not all(batch.share for batch in batches):
            return self.eager.run(batches, weights)
        self._batches = batches
        flat = [t for batch, w in zip(batches, weights) for t in (*batch.inputs, batch.target, w) if t is not None]
        try:
            found = super().__call__(*flat)
        except _NoTensor:
            self._expressible = False
            return self.eager.run(batches, weights)
        return list(zip(found[::2], found[1::2]))

    def body(self, *flat: Any) -> Any:
        """The step on all the tensors of all batches, one after the other, each with its weight if it has one."""
        tensors = iter(flat)
        batches, weights = [], []
        for batch in self._batches:
            inputs = tuple(next(tensors) for _ in batch.inputs)
            batches.append(Batch(inputs, next(tensors), 1.0))
            weights.append(
                next(tensors) if len(self._batches) > 1 and self.eager.objective.reduction != "sum" else None
            )
        flat_results = tuple(t for result in self.eager.run(batches, weights) for t in result)
        if not all(isinstance(t, Tensor) for t in flat_results):
            raise _NoTensor
        return flat_results


class _NoTensor(Exception):
    """The model's output is no tensor."""
