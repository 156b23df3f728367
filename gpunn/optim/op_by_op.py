"""Optimizers that are written with tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import wrap

from .optimizer import Optimizer

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class OpByOp(Optimizer):
    """The base of optimizers whose update of a parameter is more than a function of each element.

    A subclass gives `_step_parameter`. Its steps are not planned: a `TrainStep` is done op by op.
    """

    _planned = False

    def _step_group(self, group: dict[str, Any]) -> None:
        with no_grad():
            for segment in self._active(group):
                p = segment.param
                gradient = wrap(self._gradient(segment), p._spec)
                self._step_parameter(group, p, -gradient if group.get("maximize") else gradient, self.state[p])

    def _step_parameter(self, group: dict[str, Any], p: Tensor, g: Tensor, state: dict[str, Any]) -> None:
        """Update a parameter with the gradient `g` in place, and what is remembered of it."""
        raise NotImplementedError(f"{type(self).__name__} has no step()")
