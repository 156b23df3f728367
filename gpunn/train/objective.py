"""What training minimises: J = L + s, the loss on the data and the L2 penalty on the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn import nn, no_grad
from gpunn.nn import functional as F
from gpunn.printing import did_you_mean
from gpunn.tensor import Tensor

LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll": "NLLLoss",
    "bce": "BCELoss",
    "bce_with_logits": "BCEWithLogitsLoss",
    "mse": "MSELoss",
    "l1": "L1Loss",
    "smooth_l1": "SmoothL1Loss",
    "huber": "HuberLoss",
}
_OF_LABELS = {F.cross_entropy, F.nll_loss}
_OF_NUMBERS = {
    *(F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss),
    *(F.binary_cross_entropy, F.binary_cross_entropy_with_logits),
}
"""The functions that say by what they divide as the modules of the same name do, the latter as long as there is no
weight."""


class Objective:
    """J = L + s

    L = loss(model(x), y)
    s = l2/2 sum ||W||^2 over the model's weights W with two or more dimensions, so not over biases and the scales of
        norms;  ds/dW = l2 W     (Goodfellow, Bengio, Courville, "Deep Learning", 2016, 7.1.1)

    loss: ``loss(output, target)`` gives one number; or the name of one of `LOSSES`. An object with an attribute
        `reduction`, as the losses of `gpunn.nn` have, thereby says that its losses of several batches add up to that
        of all ("sum"), or are a mean (any other) over the number of targets, or over the weights of those that count
        if it has an `ignore_index` or class weights as `weight`. So do the functions of `gpunn.nn.functional` with
        their arguments in a `functools.partial`. What any other function divides by is unknown. A loss of
        outputs that are more than a prediction has a method `prediction(output)` that gives it: for metrics, and for
        `predict`.
    """

    def __init__(self, loss: str | Callable[[Tensor, Tensor], Tensor], model: nn.Module, l2: float = 0.0):
        if isinstance(loss, str):
            if loss not in LOSSES:
                near = did_you_mean(loss, LOSSES)
                raise ValueError(f"there is no loss {loss!r}{near}; there are: {', '.join(LOSSES)}, and functions")
            loss = getattr(nn, LOSSES[loss])()
        if not callable(loss):
            raise TypeError(f"loss is a function of (output, target) or a name, not {loss!r}")
        if not 0 <= l2 < float("inf"):
            raise ValueError(f"l2 is {l2}; expected 0 or a positive number")
        self.function = loss
        self.prediction: Callable[[Any], Any] = getattr(loss, "prediction", _all_of)
        self.l2 = l2
        self.weights = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2] if l2 else []

    def of(self, function: Callable[[Tensor, Tensor], Tensor]) -> Objective:
        """The same with another loss."""
        other = copy.copy(self)
        other.function = function
        return other

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """L of one batch.

        Raises ValueError where the loss function does not give one number.
        """
        loss = self.function(output, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"the loss function gave {given}; expected one number, as with reduction='mean'")
        return loss

    @property
    def separable(self) -> bool:
        """Whether the losses of several batches, each by its `share`, are the loss of all of them as one batch."""
        return self._options() is not None

    @property
    def reduction(self) -> str | None:
        """How the losses of samples become one: "sum", or "mean" and its kind; None where that is unknown."""
        options = self._options()
        return None if options is None else options["reduction"]

    def share(self, target: Tensor) -> float:
        """By what a batch counts when losses are averaged or gradients added up: what its mean was divided by.

        That is the number of targets; where the loss has class weights or an index to ignore, the sum of the weights
        of those that count. The loss of a batch that is a sum already counts as 1. Where it is unknown, the number of
        targets is taken for it, which is enough for the mean that is shown.
        """
        options = self._options() or {}
        if options.get("reduction") == "sum":
            return 1.0
        ignore, weight = options.get("ignore_index"), options.get("weight")
        if target.dtype.is_floating_point or (ignore is None and weight is None):
            return float(target.numel())
        labels = target.cpu().numpy()
        counted = labels[labels != ignore] if ignore is not None else labels
        return float(counted.size if weight is None else weight.cpu().numpy()[counted].sum(dtype=np.float64))

    def _options(self) -> dict[str, Any] | None:
        """What says how the loss is reduced, by the names in PyTorch; None where nothing does."""
        loss = self.function
        if hasattr(loss, "reduction"):
            return {name: getattr(loss, name, None) for name in ("reduction", "ignore_index", "weight")}
        function, given = (loss.func, loss.keywords) if isinstance(loss, partial) and not loss.args else (loss, {})
        if function in _OF_LABELS:
            return {"reduction": "mean", "ignore_index": -100} | given
        return {"reduction": "mean"} | given if function in _OF_NUMBERS and "weight" not in given else None

    def penalty(self) -> float:
        """s for the weights as they are."""
        return 0.5 * self.l2 * sum(w.detach().double().square().sum().item() for w in self.weights)

    @no_grad()
    def add_penalty_gradient(self) -> None:
        """Add ds/dW = l2 W to the gradient of each weight that has one."""
        for w in self.weights:
            if w.grad is not None:
                w.grad = w.grad.add(w, alpha=self.l2)


def _all_of(output: Any) -> Any:
    """A prediction that is the whole output."""
    return output
