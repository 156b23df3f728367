"""Schedules that multiply the initial rate by a factor f(t) of the epoch t."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler


class FactorLR(LRScheduler):
    """lr_t = lr_{t-1} f(t) / f(t-1), which is lr_0 f(t) where no other scheduler works on the same optimizer."""

    keeps_on_resuming: ClassVar[bool] = False
    """PyTorch's habit: with ``last_epoch`` given, whether the constructor leaves the rates as they are."""

    def f(self, epoch: int) -> float:
        """The factor of an epoch >= 0."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        now, before = self.f(t), self.f(t - 1) if t > 0 else 1.0
        if now == before or (self._is_initial and t > 0 and self.keeps_on_resuming):
            return self._current()
        if before == 0:
            return self._closed_form()
        return [lr * (now / before) for lr in self._current()]

    def _closed_form(self) -> list[float]:
        return [lr * self.f(self.last_epoch) for lr in self.base_lrs]


class StepLR(FactorLR):
    """f(t) = gamma^floor(t / step_size): times gamma every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        if step_size < 1:
            raise ValueError(f"step_size is at least 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class MultiStepLR(FactorLR):
    """f(t) = gamma^(number of milestones up to t): times gamma at each of the `milestones`, epochs in any order."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        return float(self.gamma ** sum(n for milestone, n in self.milestones.items() if milestone <= epoch))


class ConstantLR(FactorLR):
    """f(t) = factor before epoch `total_iters`, 1 from there on."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if not 0 <= factor <= 1:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1, got {factor}")
        _check_total(total_iters)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(FactorLR):
    """f(t) = start_factor + (end_factor - start_factor) t / total_iters, and end_factor from `total_iters` on."""

    keeps_on_resuming = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1, "
                f"got {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1, got {end_factor}")
        _check_total(total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class ExponentialLR(FactorLR):
    """f(t) = gamma^t: times gamma every epoch."""

    keeps_on_resuming = True

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        return float(self.gamma**epoch)


class PolynomialLR(FactorLR):
    """f(t) = (1 - t / total_iters)^power, and 0 from `total_iters` on."""

    keeps_on_resuming = True

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        _check_total(total_iters)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def f(self, epoch: int) -> float:
        return float((1 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


def _check_total(total_iters: int) -> None:
    if total_iters < 1:
        raise ValueError(f"total_iters is at least 1, got {total_iters}")
