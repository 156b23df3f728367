"""Smaller steps when nothing improves any more."""

from __future__ import annotations

import math
from typing import Any

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler, check_optimizer, for_each_group


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a metric has not improved for more than `patience` epochs.

    Call ``step(metric)`` once an epoch, for instance with the validation loss.

    Args:
        optimizer: whose groups' ``lr`` is set.
        mode: ``"min"`` where a smaller metric is better, ``"max"`` where a larger one is.
        factor: below 1.
        patience: how many epochs without improvement are let pass.
        threshold: how much better counts as better.
        threshold_mode: ``"rel"``, a part of the best value, or ``"abs"``.
        cooldown: how many epochs after a reduction are not looked at.
        min_lr: the lowest rate, or a list with one for each group.
        eps: a reduction by less than this is left out.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ):
        if not factor < 1:
            raise ValueError(f"Factor should be < 1.0, got {factor}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! It is 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! It is 'rel' or 'abs'")
        self.optimizer = check_optimizer(optimizer)
        self.min_lrs = for_each_group("min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = self._current()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Look at the metric of an epoch, a number or a tensor of one element."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current()

    @property
    def in_cooldown(self) -> bool:
        """Whether epochs are not looked at, because the rate was just reduced."""
        return self.cooldown_counter > 0

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = sign * self.threshold
        target = self.best * (1 - margin) if self.threshold_mode == "rel" else self.best - margin
        return sign * metric < sign * target

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"the optimizer has {len(groups)} parameter groups, but min_lr was given for {len(self.min_lrs)}; "
                    "extend the scheduler's min_lrs"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs):
            new = max(group["lr"] * self.factor, lowest)
            if group["lr"] - new > self.eps:
                group["lr"] = new
