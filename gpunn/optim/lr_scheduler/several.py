"""Several schedulers on one optimizer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from gpunn.optim.optimizer import Optimizer

from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Several(LRScheduler):
    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} expects at least one scheduler, but got no scheduler.")
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name} takes schedulers, got {type(scheduler).__name__} at index {i}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler, whose step() needs a metric; "
                    f"got one at index {i}"
                )
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"{name} expects all schedulers to belong to the same optimizer; not so index {i}")
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, with the schedulers' own."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        saved = rest.pop("_schedulers")
        if len(saved) != len(self._schedulers):
            raise ValueError(f"the state is of {len(saved)} schedulers, here are {len(self._schedulers)}")
        super().load_state_dict(rest)
        for scheduler, state in zip(self._schedulers, saved):
            scheduler.load_state_dict(state)


class SequentialLR(_Several):
    """One scheduler after the other: ``schedulers[i + 1]`` begins, from its own epoch 0, at epoch ``milestones[i]``."""

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ):
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Each scheduler has set the rates for its epoch 0 already; take that back, and let the first do it again.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self._schedulers:
            _take_back(scheduler)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Go on to the next epoch, with the scheduler whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Several):
    """All schedulers at every step, in their order: their effects multiply."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self._take(schedulers, optimizer)
        self._last_lr = self._schedulers[-1].get_last_lr()

    def step(self) -> None:
        """Go on to the next epoch with each scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current()


def _take_back(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Several):
        for inner in scheduler._schedulers:
            _take_back(inner)
    else:
        scheduler.last_epoch -= 1
