"""Averages of weights: over the last part of a training (SWA), or exponentially forgotten (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.backend.dtypes import int64
from gpunn.nn.batchnorm import _BatchNorm
from gpunn.nn.module import Module
from gpunn.tensor import Tensor, tensor

from .lr_scheduler.base import LRScheduler, check_optimizer, for_each_group
from .optimizer import Optimizer

Average = Callable[[Tensor, Tensor, "Tensor | int"], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], "Tensor | int"], None]

__all__ = [
    "AveragedModel",
    "update_bn",
    "SWALR",
    "get_ema_multi_avg_fn",
    "get_swa_multi_avg_fn",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The function (average, value, number) -> decay average + (1 - decay) value.

    Raises:
        ValueError: `decay` is not between 0 and 1.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Tensor | int) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """The function (average, value, n) -> average + (value - average) / (n + 1), the mean of n + 1 values."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Tensor | int) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """`get_ema_avg_fn` for lists, in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverage:
    """`get_swa_avg_fn` for lists, in place."""
    return _in_place(get_swa_avg_fn())


def _in_place(average: Average) -> MultiAverage:
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        with no_grad():
            for mine, other in zip(averaged, current):
                mine.copy_(average(mine, other, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of those that `update_parameters` is shown.

    Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization"; with the average of
    `get_ema_avg_fn`: Polyak and Juditsky 1992.

    Args:
        model: copied, with all of its state.
        device: where the copy goes.
        avg_fn: (average, value, number averaged) -> average, for one parameter; the mean by default.
        multi_avg_fn: the same for lists of parameters, in place.
        use_buffers: whether buffers, such as running statistics, are averaged too; else they are copied.

    Attributes:
        module: the copy.
        n_averaged: how many were averaged, a buffer.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of `model` into the average; the first ones are copied."""
        with no_grad():
            mine, others = list(self._averaged(self.module)), list(self._averaged(model))
            others = [other.detach().to(own.device) for own, other in zip(mine, others)]
            if self.n_averaged == 0:
                for own, other in zip(mine, others):
                    own.copy_(other)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn([own.detach() for own in mine], others, self.n_averaged)
            else:
                average = get_swa_avg_fn() if self.avg_fn is None else self.avg_fn
                for own, other in zip(mine, others):
                    own.copy_(average(own.detach(), other, self.n_averaged))
            if not self.use_buffers:
                for own, other in zip(self.module.buffers(), model.buffers()):
                    own.copy_(other.to(own.device))
            self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterable[Tensor]:
        return chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of batch norms anew, as the mean over all batches of `loader`.

    Args:
        loader: batches, or tuples that begin with one.
        model: called with each batch, in training mode.
        device: where batches go before.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    was_training = model.training
    model.train()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
    with no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for module, momentum in zip(norms, momenta):
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rate that is there to a fixed one, which stays: the rate at which weights are averaged.

    With a(t) = t / anneal_epochs, at most 1, or for ``"cos"`` (1 - cos(pi a)) / 2 of it, at step t::

        lr = a swa_lr + (1 - a) lr_0

    Args:
        optimizer: whose rates are set.
        swa_lr: the last rate, or a list with one for each group.
        anneal_epochs: how many steps the way there takes.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: the last epoch that was done, -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, for_each_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate of each group, from the present one, so that another scheduler may have set that."""
        step = self._step_count - 1
        if not self.anneal_epochs:
            step = max(1, step)
        before, now = self._done(step - 1), self._done(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            first = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates

    def _done(self, step: int) -> float:
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
