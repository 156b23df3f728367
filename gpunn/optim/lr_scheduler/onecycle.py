"""One cycle."""

from __future__ import annotations

import math
from typing import Any

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler, check_optimizer, for_each_group


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and far down again, once over the whole training; momentum the other way round.

    Smith and Topin 2018, "Super-convergence: very fast training of neural networks using large learning rates". Call
    ``step()`` after every batch. With n = `total_steps`, the rate goes::

        max_lr / div_factor  ->  max_lr                                    until step pct_start n - 1
        max_lr  ->  max_lr / div_factor / final_div_factor                 until step n - 1

    and with `three_phase` back to max_lr / div_factor in the time that the way up took, then down to the end.

    Args:
        optimizer: with an option ``momentum`` or ``betas`` where momentum is cycled.
        max_lr: the highest rate, or a list with one for each group.
        total_steps: how many steps there are, n; or give `epochs` and `steps_per_epoch`.
        epochs: how many epochs there are.
        steps_per_epoch: how many steps each takes.
        pct_start: the part of the steps, 0 to 1, in which the rate goes up.
        anneal_strategy: ``"cos"``, half a wave of the cosine, or ``"linear"``.
        cycle_momentum: whether momentum (for Adam b1) goes from `max_momentum` to `base_momentum` and back.
        base_momentum: the lowest momentum, or a list.
        max_momentum: the highest momentum, or a list.
        div_factor: max_lr over the first rate.
        final_div_factor: the first rate over the last.
        three_phase: see above.
        last_epoch: the last step that was done, -1 to begin.

    Raises:
        ValueError: an argument is out of its range, or `step` is called more often than `total_steps` times.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; "
                f"{type(optimizer).__name__} has neither, so give cycle_momentum=False"
            )
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        if last_epoch == -1:
            peaks = for_each_group("max_lr", optimizer, max_lr)
            for group, peak in zip(optimizer.param_groups, peaks):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
            if cycle_momentum:
                highest = for_each_group("max_momentum", optimizer, max_momentum)
                lowest = for_each_group("base_momentum", optimizer, base_momentum)
                for group, high, low in zip(optimizer.param_groups, highest, lowest):
                    group["max_momentum"] = high
                    group["base_momentum"] = low
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate of each group; the momentum is set here too."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}; "
                "call step() once a batch, not more"
            )
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        length = phase["end_step"] - start
        done = (step - start) / length if length else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], done))
            if self.cycle_momentum:
                momentum = self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], done)
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _between(self, start: float, end: float, done: float) -> float:
        if self._anneal_func_type == "linear":
            return start + (end - start) * done
        return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    given: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total_steps is not None:
        given = {"total_steps": total_steps}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())


def _phases(total: int, pct_start: float, three: bool) -> list[dict[str, Any]]:
    """The phases: until which step, from and to which rate and momentum, by their names in the groups."""
    up = float(pct_start * total) - 1
    ways = [(up, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three:
        ways.append((float(2 * pct_start * total) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        ways.append((total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        ways.append((total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    keys = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(keys, way)) for way in ways]
