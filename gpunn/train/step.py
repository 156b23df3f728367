"""One training step: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpunn import full, nn
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

    def __call__(self, batches: Sequence[Batch]) -> list[tuple[Tensor, Any]]:
        """Take one step; `batches` holds at least one."""
        objective = self.objective
        total = sum(batch.share for batch in batches)
        results = []
        self.optimizer.zero_grad()
        for batch in batches:
            output = self.model(*batch.inputs)
            loss = objective.loss(output, batch.target)
            if not batch.share:  # no target counts: the loss is a mean of nothing, and has no gradient
                pass
            elif batch.share == total or objective.reduction == "sum":
                loss.backward()
            else:
                loss.backward(full(loss.shape, batch.share / total, dtype=loss.dtype, device=loss.device))
            results.append((loss.detach(), output.detach() if isinstance(output, Tensor) else output))
        objective.add_penalty_gradient()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trained_parameters(), self.clip_norm)
        self.optimizer.step()
        return results

    def trained_parameters(self) -> list[Tensor]:
        """The parameters that the optimizer changes."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]
