"""Schedules by functions of the epoch."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler, check_optimizer, for_each_group

Function = Callable[[int], float]


class _ByFunction(LRScheduler):
    def __init__(self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1):
        self.lr_lambdas: list[Function] = for_each_group("lr_lambda", check_optimizer(optimizer), lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and functions; of callable objects, their attributes."""
        saved = [None if isinstance(f, types.FunctionType) else f.__dict__.copy() for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, rest.pop("lr_lambdas")):
            if saved is not None:
                function.__dict__.update(saved)
        super().load_state_dict(rest)


class LambdaLR(_ByFunction):
    """lr_t = lr_0 lr_lambda(t), with one function for all groups or a list of one for each."""

    def get_lr(self) -> list[float]:
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas)]


class MultiplicativeLR(_ByFunction):
    """lr_t = lr_{t-1} lr_lambda(t) for t > 0, with one function for all groups or a list of one for each."""

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._current()
        return [lr * function(self.last_epoch) for lr, function in zip(self._current(), self.lr_lambdas)]
