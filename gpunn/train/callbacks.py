"""What happens beside the training steps: stopping early, keeping the best, learning rates, the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gpunn import io
from gpunn.parallel import world
from gpunn.train.errors import TrainingError

if TYPE_CHECKING:
    from gpunn.train.batch import Batch
    from gpunn.train.run_folder import RunFolder
    from gpunn.train.trainer import Trainer

Logs = dict[str, Any]


class Callback:
    """Base class of callbacks; a subclass has those methods that it needs.

    Each gets the Trainer: its model, optimizer, history, epoch and batch, and `trainer.stop(reason)`, which ends the
    training after this epoch. `logs` is the epoch's row of the history. An exception ends the training with a
    TrainingError that names the callback.
    """

    def reset(self) -> None:
        """Forget the training before, when `fit` begins; what a checkpoint kept of this one comes back behind it."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch, or the first one after resuming."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch, counted from 1."""

    def on_step_begin(self, trainer: Trainer, batches: Sequence[Batch]) -> None:
        """Before a training step on these batches, which are several with gradient accumulation."""

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        """After a training step and its update; `batch` counts the batches of this epoch so far."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch; not where training was interrupted or failed."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know; a checkpoint keeps it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> str | None:
        """Go on from where `state_dict` was called; a line for people, where there is something to say."""

    def begin_anew(self) -> str | None:
        """Begin in a resumed run that had no such callback; a line for people, where there is something to say."""


EVENTS = ("on_fit_begin", "on_epoch_begin", "on_step_begin", "on_batch_end", "on_epoch_end", "on_fit_end")


C = TypeVar("C", bound=Callback)


class CallbackList:
    """Calls all callbacks that have something to do at an event, in their order."""

    def __init__(self, callbacks: Sequence[Any]):
        self._take([as_callback(callback) for callback in callbacks])

    def _take(self, callbacks: list[Callback]) -> None:
        self.callbacks = callbacks
        # Most have nothing to do at most events, and batches are many.
        self._busy = {event: [c for c in callbacks if _has(c, event)] for event in EVENTS}

    @contextmanager
    def with_others(self, callbacks: Sequence[Any]) -> Iterator[None]:
        """Inside, these are called too, behind those that are there."""
        before = self.callbacks
        self._take([*before, *(as_callback(callback) for callback in callbacks)])
        try:
            yield
        finally:
            self._take(before)

    def of(self, kind: type[C]) -> list[C]:
        """Those of a class."""
        return [callback for callback in self.callbacks if isinstance(callback, kind)]

    def call(self, event: str, *args: Any) -> None:
        """Call ``callback.event(*args)`` on each.

        Raises TrainingError that names the callback, from the exception that it raised.
        """
        for callback in self._busy[event]:
            try:
                getattr(callback, event)(*args)
            except TrainingError:
                raise
            except Exception as error:
                name, kind = type(callback).__name__, type(error).__name__
                raise TrainingError(f"the callback {name} failed in {event}: {kind}: {error}") from error

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each, with its name."""
        return [{"name": type(c).__name__, "state": c.state_dict()} for c in self.callbacks]

    def load_state_dict(self, states: list[dict[str, Any]]) -> list[str]:
        """Go on from where `state_dict` was called: each takes the first state of its name that is left, if any is.

        Returns the lines that they have for people.
        """
        left, lines = list(states), []
        for callback in self.callbacks:
            own = next((state for state in left if state["name"] == type(callback).__name__), None)
            if own is None:
                lines.append(callback.begin_anew())
            else:
                left.remove(own)
                lines.append(callback.load_state_dict(own["state"]))
        return [line for line in lines if line]


def as_callback(callback: Any) -> Callback:
    """A callback as it is; one with Keras's hooks as a callback.

    Raises TypeError for anything else.
    """
    if isinstance(callback, Callback):
        return callback
    if hasattr(callback, "as_callback") and not isinstance(callback, type):
        made: Callback = callback.as_callback()
        return made
    raise TypeError(f"{callback!r} is no callback; derive it from gpunn.train.Callback or KerasCallback")


def _has(callback: Callback, event: str) -> bool:
    return getattr(getattr(callback, event), "__func__", None) is not getattr(Callback, event)


class Monitor:
    """The best value of an entry of the logs so far.

    monitor:   the entry's name; None for "val_loss" or, where there is none, "loss"
    mode:      "min", "max", or "auto": "max" for metrics of which higher is better
    min_delta: what counts as better: a difference of more than this
    """

    def __init__(self, monitor: str | None, mode: Literal["auto", "min", "max"] = "auto", min_delta: float = 0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode is {mode!r}; expected 'auto', 'min' or 'max'")
        if min_delta < 0:
            raise ValueError(f"min_delta is {min_delta}; expected 0 or more")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.best: float | None = None

    def value(self, logs: Logs) -> float:
        """The entry in the logs.

        Raises KeyError where there is none.
        """
        name = self.name_in(logs)
        if not isinstance(logs.get(name), (int, float)):
            hint = "; give fit() validation data" if name.startswith("val_") else ""
            raise KeyError(f"the logs have no {name!r}, but {', '.join(logs)}{hint}")
        return float(logs[name])

    def name_in(self, logs: Logs) -> str:
        """The name of the entry."""
        return self.monitor or ("val_loss" if "val_loss" in logs else "loss")

    def improved(self, trainer: Trainer, logs: Logs) -> bool:
        """Whether this epoch's value is the best so far; NaN never is."""
        value = self.value(logs)
        higher = self.mode == "max" or (self.mode == "auto" and trainer.higher_is_better(self.name_in(logs)))
        gain = math.inf if self.best is None else (value - self.best) * (1 if higher else -1)
        if math.isnan(value) or not gain > self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Callback):
    """Stop when the monitored value has not improved for `patience` epochs.

    monitor:      an entry of the logs; if not given "val_loss" or, without validation, "loss"
    mode:         "min", "max", or "auto": "max" for metrics of which higher is better
    min_delta:    what counts as an improvement: a difference of more than this
    restore_best: at the end give the model the weights of the best epoch

    Raises ValueError for a patience below 1.
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best: bool = True,
    ):
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}; expected at least 1 epoch")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best = restore_best
        self.reset()

    def reset(self) -> None:
        """Nothing is the best, and nobody waits."""
        self.monitor.best = None
        self.best_epoch = self.waited = 0
        self._weights: dict[str, Any] | None = None

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Compare, and stop where there was no improvement for too long."""
        if self.monitor.improved(trainer, logs):
            self.best_epoch, self.waited = epoch, 0
            if self.restore_best:
                self._weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = "never finite"
            if self.monitor.best is not None:
                best = f"best: {self.monitor.best:.4g} in epoch {self.best_epoch}"
            trainer.stop(f"{self.monitor.name_in(logs)} has not improved for {self.waited} epochs ({best})")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights."""
        if self._weights is not None:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """The best value, when it was, and its weights."""
        return {
            "best": self.monitor.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self._weights,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.monitor.best = state["best"]
        self.best_epoch, self.waited, self._weights = state["best_epoch"], state["waited"], state["weights"]


class BestModel(Callback):
    """Save the model's state_dict to `path` whenever the monitored value improves.

    monitor: an entry of the logs; if not given "val_loss" or, without validation, "loss"
    """

    def __init__(
        self,
        path: str | Path,
        monitor: str | None = None,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
    ):
        self.path = Path(path)
        self.monitor = Monitor(monitor, mode, min_delta)
        self.reset()

    def reset(self) -> None:
        """Nothing is the best."""
        self.monitor.best, self.best_epoch = None, 0

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Save the model if it is the best so far."""
        if self.monitor.improved(trainer, logs):
            if world().is_first:
                io.save(trainer.model.state_dict(), self.path)
            self.best_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The best value and its epoch; the weights are in the file."""
        return {"best": self.monitor.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.monitor.best, self.best_epoch = state["best"], state["best_epoch"]


class LambdaCallback(Callback):
    """Functions as a callback, by event: ``LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: print(logs))``.

    Raises TypeError for the name of no event.
    """

    def __init__(self, **functions: Callable[..., None]):
        for event, function in functions.items():
            if event not in EVENTS:
                raise TypeError(f"LambdaCallback: there is no event {event!r}; there are: {', '.join(EVENTS)}")
            setattr(self, event, function)


def best_model(folder: RunFolder | None, callbacks: Sequence[Any]) -> BestModel | None:
    """What keeps the weights of the best epoch in a run folder that asks for them: the epoch that EarlyStopping finds
    the best, unless the folder monitors something else.
    """
    if folder is None or folder.model != "best":
        return None
    stopping = next((c.monitor for c in callbacks if isinstance(c, EarlyStopping)), None)
    if stopping is None or folder.monitor is not None:
        return BestModel(folder.model_path, folder.monitor)
    return BestModel(folder.model_path, stopping.monitor, stopping.min_delta, stopping.mode)
