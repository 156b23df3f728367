"""Optimizers by name."""

from __future__ import annotations

from typing import Any

from gpunn import nn, optim
from gpunn.printing import did_you_mean

NAMES = (
    *("Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "Lion"),
    *("Adafactor", "Muon"),
)
OPTIMIZERS = {name.lower(): name for name in NAMES}


def as_optimizer(optimizer: Any, model: nn.Module) -> Any:
    """An optimizer as it is; for a name, in any case, one of all the model's parameters with its default options.

    Raises ValueError for another name, TypeError for what is no optimizer.
    """
    if isinstance(optimizer, str):
        name = optimizer.lower()
        if name not in OPTIMIZERS:
            near = did_you_mean(name, OPTIMIZERS)
            raise ValueError(
                f"there is no optimizer {optimizer!r}{near}; there are: {', '.join(OPTIMIZERS)}, and objects"
            )
        return getattr(optim, OPTIMIZERS[name])(model.parameters())
    if not hasattr(optimizer, "param_groups"):
        given = optimizer.__name__ if isinstance(optimizer, type) else type(optimizer).__name__
        raise TypeError(
            f"the optimizer is an object such as gpunn.optim.Adam(model.parameters()) or a name, not {given}"
        )
    return optimizer
