"""Numbers that check a derivation, or show more of it: Jacobians and central differences."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.autograd import grad
from gpunn.autograd.tape import apply
from gpunn.plan.graph import Compute, Value
from gpunn.tensor import Tensor
from gpunn.train.objective import Objective

SMALL = 64
"""A Jacobian is computed for at most so many rows and columns."""


def jacobian(node: Compute, place: int, values: dict[int, np.ndarray]) -> np.ndarray | None:
    """All partial derivatives of a node's first result by one of its inputs, in float64; None where that is too large.

    Row by row, by products of unit vectors with the Jacobian, which is what a gradient computes.
    """
    x, y = node.inputs[place], node.outputs[0]
    if not isinstance(x, Value) or not 0 < x.spec.numel() <= SMALL or not 0 < y.spec.numel() <= SMALL:
        return None
    if not (x.spec.dtype.is_floating_point and y.spec.dtype.is_floating_point and node.op.differentiable):
        return None
    inputs: list[Any] = []
    for k, v in enumerate(node.inputs):
        if not isinstance(v, Value):
            inputs.append(v)
            continue
        array = values[id(v)]
        wide = array.astype(np.float64) if v.spec.dtype.is_floating_point else array
        inputs.append(gpunn.tensor(wide, device="cpu", requires_grad=k == place))
    with gpunn.enable_grad():
        result = apply(node.op, *inputs)
    result = result if isinstance(result, Tensor) else result[0]
    if not result.requires_grad:
        return None
    rows = []
    for k in range(result.numel()):
        unit = np.zeros(result.numel())
        unit[k] = 1
        one = gpunn.tensor(unit.reshape(result.shape), device="cpu")
        (g,) = grad(result, [inputs[place]], [one], retain_graph=True, allow_unused=True)
        rows.append(np.zeros(x.spec.numel()) if g is None else g.numpy().reshape(-1))
    return np.array(rows) + 0.0  # which makes 0 of -0


class CentralDifference:
    """(J(w + h) - J(w - h)) / 2h for one element w of a parameter, on copies of the model and the loss.

    Args:
        model: the model.
        objective: J.
        batch: the inputs and the target.
    """

    def __init__(self, model: nn.Module, objective: Objective, batch: Sequence[Tensor]):
        self._given = model, objective, list(batch)
        self._random = gpunn.get_rng_state()
        self._model: nn.Module | None = None

    def __call__(self, name: str, index: tuple[int, ...]) -> tuple[float, float, str]:
        """The difference, h, and the type in which it was computed."""
        if self._model is None:
            self._copy()
        assert self._model is not None
        w = dict(self._model.named_parameters())[name]
        wide = w.dtype.name == "float64"
        value = float(w.detach().numpy()[index]) if w.device.type == "cpu" else float(w.detach().cpu().numpy()[index])
        h = (1e-5 if wide else 1e-2) * max(1.0, abs(value))
        ends = [self._at(w, index, value + step) for step in (h, -h)]
        self._put(w, index, value)
        return (ends[0] - ends[1]) / (2 * h), h, w.dtype.name

    def _copy(self) -> None:
        """Copies in float64, if the model and the loss can do with that."""
        model, objective, batch = self._given
        self._model = copy.deepcopy(model).double()
        self._batch = [t.double() if t.dtype.is_floating_point else t for t in batch]
        loss = objective.function
        self._loss = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
        try:
            self._objective()
        except Exception:  # a model that makes tensors in one type
            self._model, self._batch, self._loss = copy.deepcopy(model), batch, loss

    @staticmethod
    def _put(w: Tensor, index: tuple[int, ...], value: float) -> None:
        with gpunn.no_grad():
            w[index] = value

    def _at(self, w: Tensor, index: tuple[int, ...], value: float) -> float:
        self._put(w, index, value)
        return self._objective()

    def _objective(self) -> float:
        assert self._model is not None
        now = gpunn.get_rng_state()
        gpunn.set_rng_state(self._random)  # the same dropout as in the derivation
        try:
            with gpunn.no_grad():
                objective = Objective(self._loss, self._model, self._given[1].l2)
                loss = objective.loss(self._model(*self._batch[:-1]), self._batch[-1])
            return loss.item() + objective.penalty()
        finally:
            gpunn.set_rng_state(now)
