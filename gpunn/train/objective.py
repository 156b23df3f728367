"""What training minimises: J = L + s, the loss on the data and the L2 penalty on the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn import nn, no_grad
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


class Objective:
    """J = L + s

    L = loss(model(x), y)
    s = l2/2 sum ||W||^2 over the model's weights W with two or more dimensions, so not over biases and the scales of
        norms;  ds/dW = l2 W     (Goodfellow, Bengio, Courville, "Deep Learning", 2016, 7.1.1)

    loss: ``loss(output, target)`` gives one number; or the name of one of `LOSSES`
    """

    def __init__(self, loss: str | Callable[[Tensor, Tensor], Tensor], model: nn.Module, l2: float = 0.0):
        if isinstance(loss, str):
            if loss not in LOSSES:
                raise ValueError(f"there is no loss {loss!r}; there are: {', '.join(LOSSES)}, and functions")
            loss = getattr(nn, LOSSES[loss])()
        if not callable(loss):
            raise TypeError(f"loss is a function of (output, target) or a name, not {loss!r}")
        if not 0 <= l2 < float("inf"):
            raise ValueError(f"l2 is {l2}; expected 0 or a positive number")
        self.function = loss
        self.l2 = l2
        self.reduction: str = getattr(loss, "reduction", "mean")
        self.weights = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2] if l2 else []

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """L of one batch.

        Raises ValueError where the loss function does not give one number.
        """
        loss = self.function(output, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"the loss function gave {given}; expected one number, as with reduction='mean'")
        return loss

    def share(self, target: Tensor) -> float:
        """By what a batch counts when losses are averaged or gradients added up: what its mean was divided by.

        That is the number of targets; where the loss has class weights or an index to ignore, the sum of the weights
        of those that count. The loss of a batch that is a sum already counts as 1.
        """
        if self.reduction == "sum":
            return 1.0
        ignore, weight = getattr(self.function, "ignore_index", None), getattr(self.function, "weight", None)
        if target.dtype.is_floating_point or (ignore is None and weight is None):
            return float(target.numel())
        labels = target.cpu().numpy()
        counted = labels[labels != ignore] if ignore is not None else labels
        return float(counted.size if weight is None else weight.cpu().numpy()[counted].sum(dtype=np.float64))

    def penalty(self) -> float:
        """s for the weights as they are."""
        return 0.5 * self.l2 * sum(w.detach().double().square().sum().item() for w in self.weights)

    @no_grad()
    def add_penalty_gradient(self) -> None:
        """Add ds/dW = l2 W to the gradient of each weight that has one."""
        for w in self.weights:
            if w.grad is not None:
                w.grad = w.grad.add(w, alpha=self.l2)
