"""Classes that count more than others."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from gpunn import nn, tensor
from gpunn.ops import where
from gpunn.tensor import Tensor

LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.BCELoss, nn.BCEWithLogitsLoss)


class ClassWeighted(nn.Module):
    """L = (w_1 l_1 + ... + w_n l_n) / n, with the loss l_i of a sample and the weight w_i of its class

    As Keras takes ``class_weight``: the mean is over samples, where PyTorch's losses with a ``weight`` divide by the
    sum of the weights.

    loss:    one of `LOSSES`, without a weight and with the reduction "mean"
    weights: by class; 1 for those that are not in it. The class of a target of probabilities (n, classes) is the
             likeliest; a target of numbers from 0 to 1, as for "bce", is of class 1 from 1/2 on

    Raises ValueError for another loss, and for weights that are none.
    """

    reduction = "mean"

    def __init__(self, loss: Any, weights: Mapping[int, float]):
        super().__init__()
        if not isinstance(loss, LOSSES) or loss.reduction != "mean" or getattr(loss, "weight", None) is not None:
            names = ", ".join(kind.__name__ for kind in LOSSES)
            raise ValueError(
                f"class_weight: expected one of the losses {names}, averaged and without weights of its own"
            )
        for key, w in weights.items():
            if isinstance(key, bool) or int(key) != key or key < 0 or not 0 <= w < math.inf:
                raise ValueError(
                    f"class_weight: expected {{class: weight}}, of indices and numbers, got {key!r}: {w!r}"
                )
        self.weights = {str(int(key)): float(w) for key, w in weights.items()}
        self.each = copy.copy(loss)
        self.each.reduction = "none"
        self.ignore_index = getattr(loss, "ignore_index", None)
        top = int(max(weights, default=-1)) + 1
        self.register_buffer("table", tensor([float(weights.get(k, 1.0)) for k in range(top)] + [1.0]), False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """output, target: as for the loss."""
        losses = self.each(output, target)
        if not target.is_floating_point():
            classes = target.long()
        elif losses.ndim < target.ndim:
            classes = target.argmax(1)
        else:
            classes = (target >= 0.5).long()
        other = len(self.table) - 1
        classes_known = where((classes >= 0) & (classes < other), classes, other)
        weighted = losses * self.table.to(losses.device, losses.dtype)[classes_known]
        if self.ignore_index is None or target.is_floating_point():
            return weighted.mean()
        return weighted.sum() / (classes != self.ignore_index).to(losses.dtype).sum()
