"""Callbacks that tell what was measured to other programs, through their own libraries."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpunn import io
from gpunn.optional import needed
from gpunn.parallel import world
from gpunn.train.callbacks import Callback, Logs

if TYPE_CHECKING:
    from gpunn.train.trainer import Trainer


class CSVLogger(Callback):
    """Writes the history into a CSV file, a row for each epoch, anew after each, so that a resumed run has all of it.

    path: the file
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Write the file."""
        if not world().is_first:
            return
        text = StringIO()
        writer = csv.DictWriter(text, list(trainer.history), lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history.rows)
        io.write_text(self.path, text.getvalue())


class _Service(Callback):
    """A callback that speaks to a library, on the first rank alone."""

    def begin(self, settings: dict[str, Any]) -> None:
        """Before the first epoch."""
        raise NotImplementedError

    def tell(self, numbers: dict[str, float], epoch: int) -> None:
        """After each epoch."""
        raise NotImplementedError

    def end(self) -> None:
        """After the last epoch."""
        raise NotImplementedError

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Begin, with the training's settings."""
        if world().is_first:
            self.begin(trainer.settings())

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Tell the entries of the epoch that are numbers."""
        if world().is_first:
            numbers = {k: float(v) for k, v in logs.items() if isinstance(v, (int, float)) and k != "epoch"}
            self.tell(numbers, epoch)

    def on_fit_end(self, trainer: Trainer) -> None:
        """End."""
        if world().is_first:
            self.end()


class TensorBoardLogger(_Service):
    """Writes events for TensorBoard, by tensorboardX: ``tensorboard --logdir FOLDER`` shows them.

    log_dir: the folder

    Raises ImportError where tensorboardX is not installed.
    """

    def __init__(self, log_dir: str | Path):
        self.log_dir = Path(log_dir)
        self._library = needed("tensorboardX", "TensorBoardLogger")

    def begin(self, settings: dict[str, Any]) -> None:
        """Open a file of events, with the settings as a text."""
        self._writer = self._library.SummaryWriter(str(self.log_dir))
        self._writer.add_text("settings", "\n".join(f"    {k} = {v}" for k, v in settings.items()), 0)

    def tell(self, numbers: dict[str, float], epoch: int) -> None:
        """Curves, with those of validation beside the others: loss/training and loss/validation."""
        for name, value in numbers.items():
            part = "validation" if name.startswith("val_") else "training"
            self._writer.add_scalar(f"{name.removeprefix('val_')}/{part}", value, epoch)
        self._writer.flush()  # nobody calls `end` where training is interrupted

    def end(self) -> None:
        """Close the file."""
        self._writer.close()


class WandbLogger(_Service):
    """A run of Weights & Biases.

    options: of ``wandb.init``, such as project, name, mode

    Raises ImportError where wandb is not installed.
    """

    def __init__(self, **options: Any):
        self.options = options
        self._library = needed("wandb", "WandbLogger")

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin the run, with the settings as its configuration."""
        self._run = self._library.init(**{**self.options, "config": {**settings, **self.options.get("config", {})}})

    def tell(self, numbers: dict[str, float], epoch: int) -> None:
        """Log the numbers; the step is the epoch."""
        self._run.log(numbers, step=epoch)

    def end(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflowLogger(_Service):
    """A run of MLflow.

    experiment:   its name; MLflow's default one if not given
    tracking_uri: where runs are kept; MLflow's own choice if not given
    options:      of ``mlflow.start_run``, such as run_name

    Raises ImportError where mlflow is not installed.
    """

    def __init__(self, experiment: str | None = None, tracking_uri: str | None = None, **options: Any):
        self.experiment, self.tracking_uri, self.options = experiment, tracking_uri, options
        self._library = needed("mlflow", "MLflowLogger")

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin the run, with the settings as its parameters."""
        if self.tracking_uri is not None:
            self._library.set_tracking_uri(self.tracking_uri)
        if self.experiment is not None:
            self._library.set_experiment(self.experiment)
        self._library.start_run(**self.options)
        self._library.log_params(settings)

    def tell(self, numbers: dict[str, float], epoch: int) -> None:
        """Log the numbers; the step is the epoch."""
        self._library.log_metrics(numbers, step=epoch)

    def end(self) -> None:
        """End the run."""
        self._library.end_run()
