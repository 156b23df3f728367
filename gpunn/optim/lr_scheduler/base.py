"""What all schedulers share."""

from __future__ import annotations

import warnings
from typing import Any

from gpunn.optim.optimizer import Optimizer


class LRScheduler:
    """The base of all schedulers, with the interface of `torch.optim.lr_scheduler.LRScheduler`.

    A subclass gives `get_lr`, the rates of epoch ``last_epoch``. Most are written as a recurrence, the new rate from
    the one before, so that several schedulers can work on one optimizer: their effects multiply.

    Args:
        optimizer: whose groups' ``lr`` is set.
        last_epoch: the last epoch that was done, to go on from there; -1 to begin, with each group's ``lr`` as its
            ``initial_lr``.

    Attributes:
        base_lrs: each group's ``initial_lr``.
        last_epoch: how many steps were made; the constructor makes the one to epoch 0.

    Raises:
        TypeError: `optimizer` is none.
        KeyError: going on, but a group has no ``initial_lr``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = check_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}], so last_epoch={last_epoch} can't be "
                    "gone on from; load the state of the optimizer before"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def get_lr(self) -> list[float]:
        """The rate of each group for epoch ``last_epoch``, from the present one; for `step`. Read `get_last_lr`."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rate of each group, as this scheduler set it last."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch, and set its learning rates."""
        if self._step_count == 1 and type(self.optimizer).step is Optimizer.step and not self.optimizer._stepped:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first learning rate is skipped",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Go back to epoch 0, and set its learning rates from ``base_lrs``, where the rates have a closed form."""
        self.last_epoch = 0
        self._set(self._closed_form())

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave. The optimizer's state, with its learning rates, is loaded by itself."""
        self.__dict__.update(state_dict)

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _closed_form(self) -> list[float]:
        return self.get_lr()

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        self._last_lr = self._current()


def check_optimizer(optimizer: Any) -> Optimizer:
    """The argument, if it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A value for each group: a list as it is, anything else for all of them."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"{name} takes one value, or one for each of the {groups} parameter groups; got {len(value)}")
    return list(value)
