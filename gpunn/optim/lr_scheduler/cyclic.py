"""Cycles between two rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler, check_optimizer, for_each_group

MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """Up from `base_lr` to `max_lr` and down again, over and over; momentum the other way round.

    Smith 2017, "Cyclical learning rates for training neural networks". Call ``step()`` after every batch. At batch t of
    cycle c = 1, 2, ..., with the height h, 0 at its ends and 1 at the top::

        lr = base_lr + (max_lr - base_lr) h s          momentum = max_momentum - (max_momentum - base_momentum) h s

    The scale s is 1 for ``"triangular"``, 1 / 2^(c - 1) for ``"triangular2"``, and gamma^t for ``"exp_range"``.

    Args:
        optimizer: with an option ``momentum`` or ``betas`` where momentum is cycled.
        base_lr: the lowest rate, or a list with one for each group; the groups begin with it.
        max_lr: the highest rate of the first cycle, or a list.
        step_size_up: how many batches the way up takes.
        step_size_down: how many the way down takes; `step_size_up` where it is None.
        mode: see above.
        gamma: of ``"exp_range"``.
        scale_fn: s as a function of c or t, in the place of `mode`.
        scale_mode: ``"cycle"`` where `scale_fn` takes c, ``"iterations"`` where it takes t.
        cycle_momentum: whether momentum (for Adam b1) is cycled too.
        base_momentum: the lowest momentum, or a list.
        max_momentum: the highest momentum, or a list.
        last_epoch: the last batch that was done, -1 to begin.

    Raises:
        ValueError: the mode is none, or the optimizer has no momentum to cycle.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        lowest = for_each_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest):
                group["lr"] = rate
        self.max_lrs = for_each_group("max_lr", optimizer, max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        if mode not in MODES and scale_fn is None:
            raise ValueError(f"mode is invalid and scale_fn is None: {mode!r}; the modes are {MODES}")
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = "betas" in optimizer.defaults
            if not self.use_beta1 and "momentum" not in optimizer.defaults:
                raise ValueError(
                    "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; "
                    f"{type(optimizer).__name__} has neither, so give cycle_momentum=False"
                )
            self.base_momentums = for_each_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = for_each_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                for group, low, high in zip(optimizer.param_groups, self.base_momentums, self.max_momentums):
                    group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def scale_fn(self, x: float) -> float:
        """The scale s of cycle, or batch, x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return self.gamma**x
        return 1.0 if self.mode == "triangular" else 1 / 2.0 ** (x - 1)

    def get_lr(self) -> list[float]:
        """The rate of each group; the momentum is set here too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                momentum = high - (high - low) * height * scale
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and a `scale_fn`, which is code; give it anew."""
        state = super().state_dict()
        del state["_scale_fn_custom"]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, and keep the `scale_fn` that is here."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
