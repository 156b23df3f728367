"""Trainer: fit, evaluate, predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.amp import GradScaler
from gpunn.backend.device import device as Device
from gpunn.datasets import DataError
from gpunn.parallel import ShardedStep, world
from gpunn.tensor import Tensor
from gpunn.train.arguments import as_augmentation, data_and_number, device_of, validation_of
from gpunn.train.batch import Batch
from gpunn.train.callbacks import Callback, CallbackList, best_model
from gpunn.train.class_weight import ClassWeighted
from gpunn.train.data import EVALUATION_BATCH_SIZE, as_evaluation_loader, as_input, batches
from gpunn.train.errors import TrainingError
from gpunn.train.evaluation import Evaluator
from gpunn.train.fit import fit
from gpunn.train.gradient_step import GradientStep
from gpunn.train.guard import OnNaN, check_on_nan
from gpunn.train.history import History
from gpunn.train.keras import KerasCallback
from gpunn.train.measure import measure
from gpunn.train.meter import NonFiniteLoss
from gpunn.train.metric import Metric
from gpunn.train.metrics import as_metrics
from gpunn.train.objective import Objective
from gpunn.train.optimizers import as_optimizer
from gpunn.train.precision import Precision
from gpunn.train.progress import Progress
from gpunn.train.results import Evaluation, softmax, write_results
from gpunn.train.run_folder import RunFolder
from gpunn.train.schedule import ScheduleCallback
from gpunn.train.step import EagerStep, PlannedStep
from gpunn.utils.data import DataLoader


class Trainer:
    """Trains a model, in the manner of Keras::

        trainer = gpunn.Trainer(model, "cross_entropy", gpunn.optim.SGD(model.parameters(), 0.1), metrics=["accuracy"])
        history = trainer.fit((x, y), epochs=5, validation=0.1, batch_size=32)
        trainer.evaluate((x_test, y_test))  # {"loss": 0.07, "accuracy": 0.98}
        scores = trainer.predict(x_new)
        history.plot()

    ``fit(x, y, epochs=5, validation_split=0.1)`` and ``evaluate(x, y)`` are understood too.

    model:             called with the inputs of a batch, gives a tensor
    loss:              ``loss(output, target)``, one number; or a name, see `gpunn.train.objective.LOSSES`
    optimizer:         over the model's parameters; or a name, such as "adam", for one with its default options
    metrics:           names, Metric objects or functions of (output, target), see `gpunn.train.metrics`
    l2:                l in the penalty s = l/2 sum ||W||^2 over weights of two or more dimensions; the objective is
                       J = L + s
    grad_accumulation: so many batches make one training step; its gradient is that of all of them as one batch. Where
                       the loss is a function of which nothing says what it divides by (see `Objective`), what
                       gradients need of all these batches is kept until the last
    steps_per_launch:  so many training steps are one launch, where a planned step on a device with kernels can be (see
                       `gpunn.TrainStep.steps`); with the same bits. Callbacks are called for each step as ever, but
                       what is measured of it comes when all are done. Not with `on_nan="skip"` or "fp16", which look
                       at each step, nor with several ranks
    clip_norm:         the gradient, penalty included, is scaled down to at most this norm
    scheduler:         of the learning rate, see `ScheduleCallback`, which can be given too
    device:            where to train; the model moves there. If not given, where the model is
    callbacks:         see `gpunn.train.Callback`, and `gpunn.train.KerasCallback` for Keras's hooks
    run_dir:           a path or a RunFolder, for configuration, metrics, checkpoints, curves and report
    seed:              of the order of the data, the part held out, and all else that is random in `fit`; if not given,
                       all that goes on from `gpunn.manual_seed`
    progress:          a bar or lines on standard error; False for none; or an object of one's own
    on_nan:            what is done where a loss, a weight, a moment or a running statistic is infinite or NaN. "stop":
                       training ends with a TrainingError. To find the op where that began, the steps since the last
                       checkpoint or the beginning of the epoch are done again, callbacks included; the run folder gets
                       the step as failed_step.safetensors, for `gpunn debug`, and the model is left as it was before
                       that step. "skip": each step is looked at, and one that leaves such numbers is taken back: all is
                       as it was before it, random numbers included, and the history counts it as "skipped"; what is
                       trained is copied before each step. "ignore": nothing is looked at
    eager:             train and evaluate op by op, and not through plans (see `gpunn.TrainStep`): for models that do
                       another thing from step to step, and to look at what happens inside one
    memory_limit:      the bytes that a training step may need; a larger batch is cut into micro-batches, if the model
                       treats samples one by one. All that is free if not given. Eager steps have no limit
    precision:         "fp32", all in the types of parameters and inputs; "tf32", factors of products rounded to TF32
                       (see `gpunn.set_float32_matmul_precision`); "bf16" or "fp16", products in half precision
                       (see `gpunn.autocast`), parameters and their updates in float32. With "fp16" losses are scaled
                       (see `gpunn.amp.GradScaler`): a step whose gradients overflow is taken back, and the scale halved
    shard_optimizer:   where several ranks train (`gpunn.parallel`), each keeps the optimizer's state of some parameters
                       alone, and updates these (ZeRO's first stage); weights and checkpoints are the same
    augment:           what changes a batch before a training step, inside the plan: called with inputs and target, it
                       gives as many; see `gpunn.transforms`. Metrics of the training are those of changed inputs, with
                       the targets as they were

    On a GPU a data set of tensors lies on the device as a whole if that leaves half of the free memory free; all other
    data is copied there batch by batch, while the device does the step before; see `gpunn.train.feed.Feed`.

    Two runs with the same seed give the same bits, and so does a run that was interrupted and resumed.

    Behind `gpunn.parallel.init` all ranks call `fit` with the same arguments, and train together: each batch is divided
    among them, so that `batch_size` is that of all. Rank 0 writes the run folder and shows progress. `evaluate` and
    `predict` are each rank's own.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: str | Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        *,
        metrics: Iterable[str | Metric | Callable[..., Any]] = (),
        l2: float = 0.0,
        grad_accumulation: int = 1,
        steps_per_launch: int = 1,
        clip_norm: float | None = None,
        scheduler: Any = None,
        device: str | Device | None = None,
        callbacks: Sequence[Callback | KerasCallback] = (),
        run_dir: str | Path | RunFolder | None = None,
        seed: int | None = None,
        progress: bool | Progress = True,
        eager: bool = False,
        memory_limit: int | None = None,
        on_nan: OnNaN = "stop",
        precision: str = "fp32",
        shard_optimizer: bool = False,
        augment: Any = None,
    ):
        if not isinstance(grad_accumulation, int) or grad_accumulation < 1:
            raise ValueError(f"grad_accumulation is {grad_accumulation!r}; expected a number of batches, at least 1")
        if not isinstance(steps_per_launch, int) or steps_per_launch < 1:
            raise ValueError(f"steps_per_launch is {steps_per_launch!r}; expected a number of steps, at least 1")
        if steps_per_launch > 1 and (on_nan == "skip" or precision == "fp16"):
            looks = 'on_nan="skip"' if on_nan == "skip" else 'precision="fp16"'
            raise ValueError(
                f"{looks} looks at each step, and steps_per_launch={steps_per_launch} does several at once"
            )
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"clip_norm is {clip_norm}; expected a positive number or None")
        optimizer = as_optimizer(optimizer, model)
        if not {id(p) for p in model.parameters()} & {id(p) for g in optimizer.param_groups for p in g["params"]}:
            raise ValueError("none of the optimizer's parameters belongs to the model; make it from model.parameters()")
        self.model = model if device is None else model.to(device)
        self.device = Device(device) if device is not None else device_of(model)
        self.objective = Objective(loss, model, l2)
        self.optimizer = optimizer
        self.metrics = as_metrics(metrics)
        self.grad_accumulation = grad_accumulation
        self.steps_per_launch = steps_per_launch
        self.clip_norm = clip_norm
        if scheduler is not None and not isinstance(scheduler, ScheduleCallback):
            scheduler = ScheduleCallback(scheduler)
        self.run_folder = folder = RunFolder(run_dir) if isinstance(run_dir, (str, Path)) else run_dir
        callbacks = [*([] if scheduler is None else [scheduler]), *callbacks]
        self._best = best_model(folder, callbacks)
        self.callbacks = CallbackList([*callbacks, *([] if self._best is None else [self._best])])
        self._callback_names = [type(callback).__name__ for callback in callbacks]
        self.seeded = seed is not None
        self.seed = gpunn.initial_seed() if seed is None else int(seed) % 2**64
        self.progress = progress
        self.eager = eager
        self.memory_limit = memory_limit
        self.on_nan = check_on_nan(on_nan)
        self.precision = Precision(precision, self.device.type)
        self.scaler = GradScaler(self.device.type, enabled=self.precision.scaled)
        self.shard_optimizer = shard_optimizer
        self.augment = as_augmentation(augment, self.device)
        self.evaluator = Evaluator(self.model, self.objective, eager, self.precision)
        self.history = History()
        self.epoch = 0
        """The epoch that is trained, counted from 1."""
        self.batch = 0
        """How many of its batches are done."""
        self.stopped, self.stop_reason = False, ""
        self.memory: dict[str, int] = {}
        """What the largest planned step of the last `fit` needed by its forecast, in bytes by use."""
        self.data_is: str = ""
        """How the last `fit` brought data to the device: "resident", "streamed" or "copied", see `gpunn.train.feed`."""
        self.running: Callable[[], dict[str, float]] = dict
        """Loss and metrics of the epoch so far; for callbacks."""
        self.extent: dict[str, int | None] = {}
        """How many epochs `fit` was called for, and how many steps each has, None where that is not known."""
        self.note: Callable[[str], None] = lambda line: None
        """Shows a line to people while the Trainer trains; for callbacks."""

    def fit(
        self,
        data: Any,
        y: Any = None,
        validation: Any = None,
        batch_size: int | None = None,
        *,
        epochs: int | None = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        callbacks: Sequence[Callback | KerasCallback] = (),
        shuffle: bool = True,
        resume: bool | str | Path = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> History:
        """Train for `epochs` epochs, and return what was measured.

        data:       (x, y) of arrays or tensors, several inputs as (x1, x2, y); a Dataset of such tuples; a DataLoader;
                    or x alone, a tuple of several inputs
        y:          the targets of x; or the number of epochs, as ``fit((x, y), 5)``
        epochs:     1 if not given
        validation: a fraction of the data to hold out, by class where the targets are class indices; or data; or None
        batch_size: 32 if not given; a DataLoader has its own
        validation_data: data, as for `validation`
        validation_split: the fraction of x and y, their last samples, to validate with, as in Keras
        callbacks:  for this call, behind those of the Trainer
        shuffle:    a new order in each epoch
        resume:     go on from the newest checkpoint in the run folder, or from the one at a path, up to `epochs` in
                    all. Model, optimizer, data and the other arguments have to be those of the run, but for the seed
        class_weight: ``{class: weight}`` of training losses, as in Keras, see `ClassWeighted`

        Raises:
            TrainingError: a loss, or what is trained, is not finite, as `on_nan` says; or a callback fails.
            TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the step is finished and a checkpoint written before. A
                second one stops at once.
            FileExistsError: the run folder holds a run already, and `resume` is False; or another training uses it.
            io.FileFormatError: the checkpoint to resume from is damaged, or of another training.
            ValueError, TypeError: data or another argument is not what is expected; gpunn.datasets.DataError where
                there are too few samples.
        """
        data, number = data_and_number(data, y, "epochs")
        if number is not None and epochs is not None:
            raise ValueError(f"epochs is given twice, {number} and {epochs}")
        epochs = number if epochs is None else epochs
        epochs = 1 if epochs is None else epochs
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs is {epochs!r}; expected a whole number, at least 1")
        data, validation = validation_of(data, validation, validation_data, validation_split)
        ranks = world()
        claimed = self.run_folder is not None and ranks.is_first
        folder = self.run_folder.claimed() if self.run_folder and claimed else nullcontext()
        with ranks.guarded(), folder, self.callbacks.with_others(callbacks):
            return fit(self, data, epochs, validation, batch_size, shuffle, resume, class_weight)

    def evaluate(self, data: Any, y: Any = None, *, batch_size: int | None = None) -> dict[str, Any]:
        """Loss and metrics on data in evaluation mode; data, y and batch_size as for `fit`, but 256 if not given.

        A number as the second argument is the batch size.

        With L2 regularisation there are also "penalty", s, and "objective", J = L + s.

        Raises TrainingError where the loss is not finite, and as `fit` does for data.
        """
        data, number = data_and_number(data, y, "batch_size")
        return self._measure(as_evaluation_loader(data, self.model, number if batch_size is None else batch_size))

    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> Tensor:
        """What the model gives for inputs x (n, ...) in evaluation mode: one tensor (n, ...), on the model's device.

        x: an array or a tensor; a tuple of them for a model with several inputs

        Raises DataError where there is no sample, ValueError where inputs differ in number, TypeError where the model
        gives something else than one tensor.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; expected a whole number, at least 1")
        given = x if isinstance(x, tuple) else (x,)  # of a memory-mapped array a batch is read at a time
        inputs = [part if isinstance(part, np.memmap) else as_input(part, self.model) for part in given]
        counts = {part.shape[0] if part.ndim else 0 for part in inputs}
        if len(counts) != 1:
            raise ValueError(f"predict: the inputs have {sorted(counts)} samples; expected the same number")
        (count,) = counts
        if count == 0:
            raise DataError("predict: there is no sample in the data")
        starts = range(0, count, batch_size)
        slices = ([as_input(part[i : i + batch_size], self.model) for part in inputs] for i in starts)
        outputs = self.evaluator.predict_each(slices, self.device)
        return outputs[0] if len(outputs) == 1 else gpunn.cat(outputs)

    def report(
        self,
        data: Any,
        *,
        name: str = "test",
        class_names: Sequence[str] | None = None,
        images: Any = None,
        units: tuple[Any, Any] = (0.0, 1.0),
        probabilities: Callable[[Any], Any] = softmax,
        columns: Sequence[str] | None = None,
    ) -> Path:
        """Evaluate on data, and write report.html in the run folder anew with the results and with mistakes to look at.

        With the metric "per_class" it also has the results by class and the confusion matrix. For a regression it
        has diagrams of what was predicted beside what is true, of the residuals and of the errors.

        name:        what the data is called there
        class_names: the classes in the order of their indices
        images:      (n, channels, height, width) or (n, height, width), what to show of each sample where it was
                     misclassified; if not given its input, where that is an image of 1 or 3 channels. The rows of a
                     table (n, features) are shown as such
        units:       mean and standard deviation by which the targets of a regression were standardised; its
                     predictions are drawn in the targets' own units, m + s v for a value v
        probabilities: from outputs (n, classes), a NumPy array, to how sure the model is of each class; if not given
                     their softmax, which is right for logits and for logarithms of probabilities
        columns:     the names of the features of a table

        Returns the path of report.html. Raises ValueError without a run folder.
        """
        if self.run_folder is None:
            raise ValueError("report: there is no run folder; give the Trainer a run_dir")
        evaluation = Evaluation(name, class_names, images, units, probabilities, columns)
        evaluation.results = self._measure(as_evaluation_loader(data, self.model), evaluation.add)
        write_results(self.run_folder, self, [evaluation])
        return self.run_folder.report_path

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        return (
            f"<Trainer of {type(self.model).__name__} with {count:,} parameters by {_name_of(self.objective.function)} "
            f"and {type(self.optimizer).__name__}, lr {self.learning_rate:.3g}, on {self.device}"
            f"{self.data_is and f' with data {self.data_is}'}: {self.history.epochs} epochs trained>"
        )

    def stop(self, reason: str = "") -> None:
        """End the training after this epoch; for callbacks."""
        self.stopped, self.stop_reason = True, reason

    def make_step(self) -> EagerStep | PlannedStep:
        """The training step: called with a list of batches, it updates the model."""
        step = self._eager_step()
        return step if self.eager else PlannedStep(step, self.memory_limit, self.evaluator.arena)

    def make_gradient_step(self) -> GradientStep | None:
        """What gives the gradients of a planned step before it is done; None where steps are done op by op."""
        if self.eager:
            return None
        step = GradientStep(self._eager_step(), self.memory_limit, self.evaluator.arena)
        step.note = lambda line: None  # the training step says it
        return step

    def _eager_step(self) -> EagerStep:
        sharded = ShardedStep(self.optimizer) if self.shard_optimizer and world().size > 1 else None
        return EagerStep(
            self.model, self.objective, self.optimizer, self.clip_norm, sharded, self.precision, self.augment
        )

    @property
    def scale(self) -> float | None:
        """By what losses are multiplied now; None where they are not."""
        return self.scaler.get_scale() if self.precision.scaled else None

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are in the run folder, where those of the best are kept; 0 where none is."""
        return 0 if self._best is None else self._best.best_epoch

    @property
    def learning_rate(self) -> float:
        """The learning rate of the optimizer's first group of parameters."""
        return float(self.optimizer.param_groups[0]["lr"])

    def higher_is_better(self, name: str) -> bool:
        """Whether an entry of the history should rise; losses should not."""
        return any(m.higher_is_better for m in self.metrics if m.name == name.removeprefix("val_"))

    def settings(self) -> dict[str, Any]:
        """How the training is set up, in plain values."""
        defaults = {k: v for k, v in self.optimizer.defaults.items() if isinstance(v, (bool, int, float, str, tuple))}
        loss = self.objective.function
        loss, weights = (loss.each, {"class_weight": loss.weights}) if isinstance(loss, ClassWeighted) else (loss, {})
        return {
            "model": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "loss": _name_of(loss),
            **weights,
            "l2": self.objective.l2,
            "grad_accumulation": self.grad_accumulation,
            "steps_per_launch": self.steps_per_launch,
            "clip_norm": self.clip_norm,
            "precision": self.precision.name,
            "seed": self.seed,
            "callbacks": self._callback_names,
            "optimizer": type(self.optimizer).__name__,
            **defaults,
        }

    def _measure(self, loader: DataLoader, each: Callable[[Batch, Tensor], None] | None = None) -> dict[str, Any]:
        try:
            found = measure(self, batches(loader, self.objective, self.device), each).results()
        except NonFiniteLoss as error:
            raise TrainingError(
                f"the loss is {error.value} in batch {error.number}; the model gives no results"
            ) from None
        if self.objective.l2:
            penalty = self.objective.penalty()
            found |= {"penalty": penalty, "objective": found["loss"] + penalty}
        return found


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
