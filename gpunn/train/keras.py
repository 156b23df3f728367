"""Callbacks with Keras's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.train.callbacks import Callback, Logs

if TYPE_CHECKING:
    from gpunn import nn
    from gpunn.train.batch import Batch
    from gpunn.train.trainer import Trainer

NEVER_CALLED = ("on_test_", "on_predict_")


class KerasCallback:
    """Base class of callbacks with the hooks of Keras; a subclass has those that it needs::

        class Shown(gpunn.train.KerasCallback):
            def on_epoch_end(self, epoch, logs=None):
                print(epoch, logs["loss"])

    Epochs and batches are counted from 0, as there. `logs` at the end of a batch has loss and metrics of the epoch so
    far, at the end of an epoch its row of the history. `gpunn.train.Callback` has the same events, and more.

    model:   the model
    trainer: the Trainer
    params:  {"epochs": ..., "steps": ...}, the latter None where it is not known
    """

    model: nn.Module
    trainer: Trainer
    params: dict[str, Any]

    def set_model(self, model: nn.Module) -> None:
        """Told before the training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Told before the training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; `logs` is its row."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a training step."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training step; with gradient accumulation `batch` is the last of its batches."""

    def as_callback(self) -> Callback:
        """The same as `gpunn.train.Callback`.

        Raises TypeError where it has hooks of evaluation or prediction, which nobody would call.
        """
        if idle := [name for name in dir(self) if name.startswith(NEVER_CALLED)]:
            raise TypeError(
                f"{type(self).__name__}: {', '.join(idle)} would never be called; expected hooks of training"
            )
        return _Adapted(self)


class _Adapted(Callback):
    """Keras's hooks, called at the events of a Trainer."""

    def __init__(self, hooks: KerasCallback):
        self.hooks = hooks
        kind = type(hooks)
        # Loss and metrics so far are computed for those alone who want them.
        self._at_batches = kind.on_train_batch_end is not KerasCallback.on_train_batch_end

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Who trains, and that it begins."""
        self.hooks.trainer = trainer
        self.hooks.set_model(trainer.model)
        self.hooks.set_params(dict(trainer.extent))
        self.hooks.on_train_begin({})

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Counted from 0."""
        self.hooks.on_epoch_begin(epoch - 1, {})

    def on_step_begin(self, trainer: Trainer, batches: Sequence[Batch]) -> None:
        """Counted from 0."""
        self.hooks.on_train_batch_begin(trainer.batch, {})

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        """With what is measured so far."""
        if self._at_batches:
            self.hooks.on_train_batch_end(batch - 1, trainer.running())

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """With the epoch's row; `model.stop_training` ends the training."""
        self.hooks.on_epoch_end(epoch - 1, logs)
        if getattr(trainer.model, "stop_training", False):
            trainer.model.stop_training = False
            trainer.stop(f"{type(self.hooks).__name__} has set model.stop_training")

    def on_fit_end(self, trainer: Trainer) -> None:
        """With the last row."""
        self.hooks.on_train_end(trainer.history.last)
