"""Learning rates that follow a schedule, also where a run is resumed for another number of epochs."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Literal

from gpunn.optim import lr_scheduler
from gpunn.train.callbacks import Callback, Logs, Monitor

if TYPE_CHECKING:
    from gpunn.train.trainer import Trainer

PROGRESS = ("last_epoch", "_step_count", "_last_lr", "_is_initial", "best", "num_bad_epochs", "cooldown_counter")
"""What changes in a scheduler's state as it steps; the rest is how it was made."""


MOST_STEPS = 1_000_000
"""So many steps of a course are followed one by one when a run goes on with another: in a second or two."""


class ScheduleCallback(Callback):
    """Step a scheduler of learning rates after each epoch or each training step.

    every:   "epoch", "batch", or "auto": "batch" for OneCycleLR
    monitor: the entry of the logs that ReduceLROnPlateau watches; if not given "val_loss" or, without it, "loss"
    resume:  what becomes of it in a resumed run. "auto": a scheduler that is made as that of the run was goes on where
             that one was; one that is made otherwise, such as for more epochs, goes on at the same place of its own
             course, where it is of the same class, else at its beginning. "state": it becomes that of the run, however
             it was made. "anew": it begins here
    """

    def __init__(
        self,
        scheduler: Any,
        every: Literal["auto", "epoch", "batch"] = "auto",
        monitor: str | None = None,
        resume: Literal["auto", "state", "anew"] = "auto",
    ):
        if every not in ("auto", "epoch", "batch"):
            raise ValueError(f"ScheduleCallback: every is {every!r}; expected 'auto', 'epoch' or 'batch'")
        if resume not in ("auto", "state", "anew"):
            raise ValueError(f"ScheduleCallback: resume is {resume!r}; expected 'auto', 'state' or 'anew'")
        self.scheduler = scheduler
        self.monitor = monitor
        self.resume = resume
        self._plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        if self._plateau and every == "batch":
            raise ValueError("ScheduleCallback: ReduceLROnPlateau watches epochs; expected every='epoch'")
        self.every = (
            every if every != "auto" else "batch" if isinstance(scheduler, lr_scheduler.OneCycleLR) else "epoch"
        )
        # The optimizer's options at the beginning of the course; a checkpoint of the optimizer brings others.
        self._options = [{k: v for k, v in g.items() if k != "params"} for g in scheduler.optimizer.param_groups]

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        """Step a scheduler of batches."""
        if self.every == "batch":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Step a scheduler of epochs."""
        if self._plateau:
            self.scheduler.step(Monitor(self.monitor).value(logs))
        elif self.every == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's own."""
        state: dict[str, Any] = self.scheduler.state_dict()
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> str | None:
        """Go on as `resume` says; a line for people where that is not simply where `state_dict` was called."""
        mine = self.scheduler.state_dict()
        alike = mine.keys() == state.keys()
        if self.resume == "state" or (self.resume == "auto" and alike and _settings(mine) == _settings(state)):
            self.scheduler.load_state_dict(state)
            return None
        if self.resume == "anew" or not alike:
            return self.begin_anew()
        if self._plateau:  # which has no course, but goes down from where it is
            self.scheduler.load_state_dict({**mine, **{k: v for k, v in state.items() if k in PROGRESS}})
        else:
            self.begin_anew()
            self._follow(state["last_epoch"])
        place = f"after {state['last_epoch']} {'steps' if self.every == 'batch' else 'epochs'} of its new course"
        return f"the schedule of the learning rate is another one than before: it goes on {place}, at {self._rate:.3g}"

    def _follow(self, steps: int) -> None:
        """Go so many steps along the course.

        Raises ValueError where that are more than `MOST_STEPS`, other than of OneCycleLR, which has a closed form.
        """
        if steps > 0 and isinstance(self.scheduler, lr_scheduler.OneCycleLR):
            self.scheduler.last_epoch, self.scheduler._step_count = steps - 1, steps
            steps = 1
        if steps > MOST_STEPS:
            raise ValueError(
                f"the schedule of the run has made {steps:,} steps, and one that is made otherwise is followed over at "
                f"most {MOST_STEPS:,}; resume the run with its own schedule, or begin one anew"
            )
        with warnings.catch_warnings():  # PyTorch's, about steps before those of the optimizer
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(steps):
                self.scheduler.step()

    def begin_anew(self) -> str:
        """Take the optimizer's options as they were given; a line that says so."""
        for group, options in zip(self.scheduler.optimizer.param_groups, self._options):
            group.update(options)
        return f"the schedule of the learning rate begins anew, at {self._rate:.3g}"

    @property
    def _rate(self) -> float:
        return float(self.scheduler.optimizer.param_groups[0]["lr"])


def _settings(state: Any) -> Any:
    """How a scheduler was made, from its state; those that it is made of likewise. Files have lists for tuples."""
    if isinstance(state, dict):
        return {name: _settings(value) for name, value in state.items() if name not in PROGRESS}
    return [_settings(value) for value in state] if isinstance(state, (list, tuple)) else state
