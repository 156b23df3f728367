"""The loop over epochs and batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gpunn
from gpunn import io
from gpunn.tensor import Tensor
from gpunn.train import checkpoint, data
from gpunn.train.batch import Batch
from gpunn.train.cut import free_memory
from gpunn.train.errors import TrainingError, TrainingInterrupted, advice
from gpunn.train.feed import Feed
from gpunn.train.guard import Guard, copied, losses_are_finite
from gpunn.train.history import Row
from gpunn.train.interrupt import Interrupt
from gpunn.train.measure import measure
from gpunn.train.meter import Meter, NonFiniteLoss
from gpunn.train.progress import Progress
from gpunn.train.ranks import Ranks
from gpunn.train.run_folder import RunFolder
from gpunn.train.status import Recorded
from gpunn.utils.data import DataLoader

if TYPE_CHECKING:
    from gpunn.train.trainer import Trainer

CPU = gpunn.device("cpu")
SHARE_FOR_ANCHOR = 0.1
"""What of the free memory may be taken to keep where a run stood, for the search of what made its numbers NaN."""


class FitLoop:
    """One call of `Trainer.fit`, from its first or resumed step to its last.

    completed: the number of epochs that were
    trained:   whether the steps of the epoch after those are done, so that only its validation is missing
    seconds:   the time that those steps took
    lr:        the learning rate of the last step
    validation_state: of the loader for validation, before the next one
    guard:     looks whether what is trained stays finite; None where nobody wants to know
    anchor:    the `checkpoint.moment` from which the last steps can be done again, copied; None where there is none
    ranks:     those that train together
    run_folder: on all ranks, where there is one; only rank 0 writes there, and has it as `folder`
    """

    def __init__(
        self,
        trainer: Trainer,
        loader: DataLoader,
        validation: DataLoader | None,
        epochs: int,
        progress: Progress,
        run: RunFolder | None,
    ):
        self.ranks = Ranks()
        self.run_folder = run
        self.trainer = trainer
        self.loader = loader
        self.validation = validation
        self.epochs = epochs
        self.folder = run = run if self.ranks.is_first else None
        self.progress = progress if run is None else Recorded(progress, run.status_path)
        self.step = trainer.make_step()
        self.step.note = self.progress.note
        # On the CPU there are no launches to spare.
        self._per_launch = 1 if self.ranks.several or trainer.device.type == "cpu" else trainer.steps_per_launch
        at_once = self._per_launch * trainer.grad_accumulation
        loaders = (loader,) if validation is None else (loader, validation)
        self._feeds = {each: Feed(each, trainer.device, at_once if each is loader else 1) for each in loaders}
        trainer.data_is = self._feeds[loader].how
        self.meter = Meter(trainer.metrics, any_loss=trainer.on_nan == "ignore")
        trainer.running, trainer.extent = self.meter.scalars, {"epochs": epochs, "steps": data.length(loader)}
        looks = trainer.on_nan != "ignore" or trainer.precision.scaled
        self.guard = Guard(trainer.model, trainer.optimizer) if looks else None
        self.anchor: dict[str, Any] | None = None
        self.completed = 0
        self.trained = False
        self.seconds = 0.0
        self.lr = trainer.learning_rate
        self.validation_state = None if validation is None else validation.state_dict()
        self._interrupt = Interrupt()

    def run(self) -> None:
        """Train.

        Raises TrainingError where a loss is not finite or a callback fails, TrainingInterrupted after Ctrl-C,
        SIGTERM or SIGHUP.
        """
        trainer = self.trainer
        self.ranks.world.set_last_words(self._lost)
        with self._interrupt:
            try:
                if self.completed >= self.epochs:
                    self.progress.note(f"nothing is left to train: the run has {self.completed} epochs")
                trainer.callbacks.call("on_fit_begin", trainer)
                while self.completed < self.epochs and not trainer.stopped:
                    self._epoch()
                if trainer.stop_reason:
                    self.progress.note(f"stopped after epoch {self.completed}: {trainer.stop_reason}")
                trainer.callbacks.call("on_fit_end", trainer)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not isinstance(error, TrainingInterrupted):  # a second one
                    error.args = (self._stopped_at_once(),)
                self.progress.failed(error)
                raise
            finally:
                self.progress.close()

    def _epoch(self) -> None:
        trainer = self.trainer
        trainer.epoch = self.completed + 1
        if not trainer.batch:
            trainer.callbacks.call("on_epoch_begin", trainer, trainer.epoch)
        self.progress.start(trainer.epoch, self.epochs, data.length(self.loader), trainer.batch, self.meter.samples)
        if not self.trained:
            self._steps()
        if trainer.batch == 0:
            raise TrainingError(f"epoch {trainer.epoch} has no batch: the loader gave none")
        row = self._row()
        trainer.history.rows.append(row)
        self.progress.end(row)
        trainer.callbacks.call("on_epoch_end", trainer, trainer.epoch, row)
        self.ranks.agree_to_stop(trainer)
        self.completed, self.trained, self.seconds, trainer.batch = trainer.epoch, False, 0.0, 0
        self.meter.reset()
        if line := self.ranks.check_weights(trainer.model):
            self.progress.note(line)
        path = self._save()
        if self.folder is not None:
            self.folder.add_row(row)
            if self.folder.model == "last":
                io.save(trainer.model.state_dict(), self.folder.model_path)
        if self._requested() and self.completed < self.epochs and not trainer.stopped:
            self._leave(path, f"after epoch {self.completed}")

    def _steps(self) -> None:
        """The training steps of an epoch, or the rest of them."""
        trainer, step, meter, progress = self.trainer, self.step, self.meter, self.progress
        trainer.model.train()
        self._drop_anchor()
        run = self.trainer.run_folder
        every = None if run is None else run.checkpoint_every
        if every is not None:
            every.begin()
        before, began = self.seconds, time.perf_counter()
        try:
            for groups in data.in_groups(self.groups(), self._per_launch):
                if len(groups) == self._per_launch > 1:
                    self._launch(groups)
                else:
                    for group in groups:
                        self._begin(group)
                        total = self.ranks.begin_step(group, self._interrupt.requested)
                        for (loss, output), batch in zip(self._step(group, total), group):
                            meter.add(loss, output, batch)
                        self._end(group)
                if self._requested() or (every is not None and self.ranks.as_first(every.due())):
                    self.seconds = before + time.perf_counter() - began
                    # The last group is only known to be full, or not, once the loader has ended the epoch.
                    self.trained = self.loader.state_dict()["position"] == 0
                    path = self._save()
                    if self._requested():
                        self._leave(path, f"in epoch {trainer.epoch} after batch {trainer.batch}")
                    self._drop_anchor()
                    if every is not None:
                        every.begin()
                if progress.due():
                    step.check()
                    meter.read()
                    progress.batch(trainer.batch, meter.samples, meter.scalars() | self._penalty(meter.loss))
            step.check()
            meter.read()
        except NonFiniteLoss as error:
            raise self._diverged(error) from None
        if meter.skipped and not meter.batches:
            raise TrainingError(
                f"every step of epoch {trainer.epoch} gave infinities or NaN and was skipped; {advice(trainer)}"
                f"{self._last_good()}"
            )
        self._check_finite()
        self.seconds = before + time.perf_counter() - began
        self.trained = True

    def _begin(self, group: list[Batch]) -> None:
        self.lr = self.trainer.learning_rate  # which a schedule changes behind the step
        self.trainer.callbacks.call("on_step_begin", self.trainer, group)

    def _end(self, group: list[Batch]) -> None:
        self.trainer.batch += len(group)
        self.trainer.callbacks.call("on_batch_end", self.trainer, self.trainer.batch)

    def _launch(self, groups: list[list[Batch]]) -> None:
        """Several steps at once; callbacks are called for each, and what they gave is measured behind all of them."""
        following = iter([*groups[1:], None])
        current = groups[0]

        def between() -> None:
            nonlocal current
            self._end(current)
            if (group := next(following)) is not None:
                current = group
                self._begin(group)

        self._begin(current)
        for group, results in zip(groups, self.step.several(groups, between)):
            for (loss, output), batch in zip(results, group):
                self.meter.add(loss, output, batch)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or another such signal came."""
        return bool(self._requested())

    def groups(self) -> Iterator[list[Batch]]:
        """The batches of each step of an epoch, or of the rest of them."""
        return data.in_groups(self._batches(self.loader), self.trainer.grad_accumulation)

    def _step(self, group: list[Batch], total: float | None = None) -> list[tuple[Tensor, Any]]:
        """A step, and its results; none where it was taken back. `total` as for `EagerStep`."""
        skips = self.trainer.on_nan == "skip"
        if self.guard is None or not (skips or self.trainer.precision.scaled):
            return self.step(group, total)
        results, outcome = self.attempt(group, total)
        if outcome == "finite" or not (skips or outcome == "overflow"):
            return results
        self.meter.skipped += 1
        if outcome == "overflow":
            return results
        self.guard.put_back()
        return []

    def attempt(
        self, group: list[Batch], total: float | None = None
    ) -> tuple[list[tuple[Tensor, Any]], Literal["finite", "overflow", "not finite"]]:
        """A step, its results, and what came of it, from which the scale of the gradients follows.

        One whose scaled gradients alone overflowed is taken back. One that is not finite otherwise can be: by
        `Guard.put_back`.
        """
        assert self.guard is not None
        trainer, scaled = self.trainer, self.trainer.precision.scaled
        self.guard.keep()
        results = self.step(group, total, trainer.scale)
        losses, trained = losses_are_finite(results, group), not self.guard.not_finite()
        if self.ranks.all(losses and trained):
            trainer.scaler.found(True)
            return results, "finite"
        if not scaled or not self.ranks.all(losses):
            return results, "not finite"
        self.guard.put_back()
        if trainer.scaler.get_scale() <= 1.0:
            raise TrainingError(
                f"gradients are infinite or NaN in fp16 even where they are not scaled, in epoch {trainer.epoch}, at "
                f"learning rate {self.lr:.3g}; train with a lower one, or in bf16 or fp32{self._last_good()}"
            )
        trainer.scaler.found(False)
        return results, "overflow"

    def _drop_anchor(self) -> None:
        """Keep where the run stands, if it will be asked for and takes little memory."""
        trainer = self.trainer
        if trainer.on_nan != "stop" or self.ranks.several:  # who would have to do the steps again together
            return
        moments = sum(
            v.nbytes for state in trainer.optimizer.state.values() for v in state.values() if isinstance(v, Tensor)
        )
        size = moments + sum(t.nbytes for t in (*trainer.model.parameters(), *trainer.model.buffers()))
        free = free_memory(CPU)
        small = free is None or size <= SHARE_FOR_ANCHOR * free
        self.anchor = copied(checkpoint.moment(self)) if small else None

    def _batches(self, loader: DataLoader) -> Iterator[Batch]:
        """The batches of an epoch, or the rest of them."""
        return self._feeds[loader].batches(self.trainer.objective, self.ranks.world)

    def merged(self, meter: Meter) -> Meter:
        """What all ranks have measured."""
        return self.ranks.merged(meter, self.trainer.objective.reduction == "sum")

    def _requested(self) -> int:
        """The signal that ends the training, on which all ranks agree; 0 if none came."""
        return self.ranks.requested if self.ranks.several else self._interrupt.requested

    def _row(self) -> Row:
        """The row of an epoch whose steps are done, with its validation."""
        trainer, meter = self.trainer, self.merged(self.meter)
        row: Row = {"epoch": trainer.epoch} | meter.scalars()
        row |= self._penalty(row["loss"])
        if trainer.on_nan == "skip" or trainer.precision.scaled:
            row["skipped"] = meter.skipped
        if self.validation is not None:
            self.progress.validating()
            try:
                self.ranks.take_buffers(trainer.model)
                found = self.merged(measure(trainer, self._until_interrupted(self.validation)))
                self.validation_state = self.validation.state_dict()
                row |= {f"val_{name}": value for name, value in found.scalars().items()}
            except NonFiniteLoss as error:
                raise self._diverged(error, "validation ") from None
        rate = meter.samples / self.seconds if self.seconds else 0.0
        return self.ranks.row(row | {"lr": self.lr, "seconds": self.seconds, "samples_per_second": rate})

    def _penalty(self, loss: float) -> Row:
        """s for the weights as they are, and J = L + s; nothing without L2 regularisation."""
        objective = self.trainer.objective
        if not objective.l2:
            return {}
        penalty = objective.penalty()
        return {"penalty": penalty, "objective": loss + penalty}

    def _until_interrupted(self, loader: DataLoader) -> Iterator[Batch]:
        for batch in self._batches(loader):
            if self._interrupt.requested and not self.ranks.several:  # who would have to leave together
                self._leave(self._save(), f"in the validation of epoch {self.trainer.epoch}")
            if batch.counts:
                yield batch

    def _save(self) -> Path | None:
        self.step.check()  # what a step has spoilt must not be kept
        self._check_finite()
        if self.run_folder is None:
            return None
        state = checkpoint.capture(self)
        if self.folder is None:
            return None
        try:
            return self.folder.save_checkpoint(state, self.trainer.best_epoch)
        except OSError as error:
            raise TrainingError(f"a checkpoint can't be written: {error}{self._last_good()}") from error

    def _leave(self, path: Path | None, where: str) -> None:
        number = self._requested()
        if self.run_folder is None:
            raise TrainingInterrupted(f"stopped {where}; there is no run folder, so nothing was saved", None, number)
        place = "" if path is None else f" from {path}"  # rank 0 knows it
        text = f"stopped {where}; to go on{place}: {self.run_folder.resume_hint}"
        raise TrainingInterrupted(text, None if path is None else str(path), number)

    def _lost(self, message: str) -> str:
        """What there is to say when this process ends because of another rank."""
        if isinstance(self.progress, Recorded):
            self.progress.lost(message)
        if self.run_folder is None or not self.run_folder.checkpoints():
            return "; nothing was saved"
        return f". To go on from the last checkpoint: {self.run_folder.resume_hint}"

    def _stopped_at_once(self) -> str:
        """What is left of the run after a second signal."""
        text = f"stopped at once, in epoch {self.trainer.epoch}"
        if self.folder is None or not self.folder.checkpoints():
            return f"{text}; nothing was saved"
        return f"{text}; to go on from {self.folder.latest_checkpoint()}: {self.folder.resume_hint}"

    def _check_finite(self) -> None:
        """Raise TrainingError where what is trained is not finite any more: such a state is not worth keeping."""
        name = "" if self.guard is None else self.guard.not_finite()
        if name:
            trainer = self.trainer
            text = (
                f"{name} is no longer finite in epoch {trainer.epoch}, at learning rate {self.lr:.3g}, so no "
                f"checkpoint was written; {advice(trainer)}"
            )
            raise TrainingError(text + self._cause() + self._last_good())

    def _diverged(self, error: NonFiniteLoss, kind: str = "") -> TrainingError:
        """Where it happened, what to try, and what was kept."""
        trainer = self.trainer
        where = f"epoch {trainer.epoch}, batch {error.number}, at learning rate {self.lr:.3g}"
        text = f"the {kind}loss became {error.value} in {where}; {advice(trainer, error.batch)}"
        return TrainingError(text + self._cause(error.batch if kind else None) + self._last_good())

    def _cause(self, validated: Batch | None = None) -> str:
        """A sentence about the op where infinities or NaN began: in the validation of a batch, or in training."""
        from gpunn.train import failure

        if self.ranks.several:
            return ""
        if validated is not None:
            found = str(failure.evaluation(self.trainer, validated))
            return f". It began here: {found}" if found else ""
        found = failure.find(self)
        return f". {found}" if found else ""

    def _last_good(self) -> str:
        """A sentence about the newest checkpoint, where there is one."""
        if self.folder is None or not self.folder.checkpoints():
            return ""
        return f". The last good checkpoint is {self.folder.latest_checkpoint()}"
