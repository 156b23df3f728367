"""What `Trainer.fit` does in a run folder that is its own: a new training, or one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gpunn
from gpunn.io import FileFormatError
from gpunn.parallel import world
from gpunn.train.checkpoint import load_checkpoint, restore
from gpunn.train.class_weight import ClassWeighted
from gpunn.train.data import as_evaluation_loader, as_loader, hold_out
from gpunn.train.fingerprint import fingerprint
from gpunn.train.history import History
from gpunn.train.loop import FitLoop
from gpunn.train.progress import Progress, make_progress
from gpunn.train.results import write_results
from gpunn.train.step import PlannedStep
from gpunn.utils.data import DataLoader

if TYPE_CHECKING:
    from gpunn.train.trainer import Trainer


def fit(
    trainer: Trainer,
    data: Any,
    epochs: int,
    validation: Any,
    batch_size: int | None,
    shuffle: bool,
    resume: bool | str | Path,
    class_weight: Mapping[int, float] | None = None,
) -> History:
    """`Trainer.fit` in the claimed run folder."""
    own = trainer.objective
    if class_weight:
        trainer.objective = own.of(ClassWeighted(own.function, class_weight).to(trainer.device))
    try:
        return _fit(trainer, data, epochs, validation, batch_size, shuffle, resume)
    finally:
        trainer.objective = own


def _fit(
    trainer: Trainer,
    data: Any,
    epochs: int,
    validation: Any,
    batch_size: int | None,
    shuffle: bool,
    resume: bool | str | Path,
) -> History:
    ranks = world()
    source = None
    if resume:
        source = ranks.broadcast(_checkpoint_to_resume(trainer, resume) if ranks.is_first else None)
    state = None if source is None else load_checkpoint(source)
    if state is not None:
        trainer.seed = state["settings"]["seed"]
    elif trainer.seeded:
        gpunn.manual_seed(trainer.seed)
    else:
        trainer.seed = gpunn.initial_seed()
    loader, validation_loader = _loaders(trainer, data, validation, batch_size, shuffle)
    trainer.history = History()
    trainer.epoch = trainer.batch = 0
    trainer.stopped, trainer.stop_reason = False, ""
    for callback in trainer.callbacks.callbacks:
        callback.reset()
    progress = make_progress(trainer.progress if ranks.is_first else False)
    loop = FitLoop(trainer, loader, validation_loader, epochs, progress, trainer.run_folder)
    progress, folder = loop.progress, loop.folder
    trainer.note = progress.note
    settings = {**trainer.settings(), "epochs": epochs, "batch_size": loader.batch_size}
    if state is None:
        loop.ranks.begin(loop)
    new = folder is not None and (state is None or not folder.config_path.exists())
    if folder is not None and new:
        folder.begin(settings, fingerprint(trainer.device))
    if state is not None and source is not None:
        _resume(trainer, loop, state, source, progress)
        loop.ranks.begin(loop)
    if folder is not None and not new and loop.completed < epochs and not trainer.stopped:
        folder.go_on(settings)
    try:
        loop.run()
    except BaseException:
        if folder is not None and state is None:
            folder.give_up()
        raise
    finally:
        trainer.memory = loop.step.largest.parts if isinstance(loop.step, PlannedStep) and loop.step.largest else {}
        trainer.evaluator.arena.forget()  # all that training computed in
    if folder is not None:
        for line in write_results(folder, trainer, []):
            progress.note(line)
    return trainer.history


def _loaders(
    trainer: Trainer, data: Any, validation: Any, batch_size: int | None, shuffle: bool
) -> tuple[DataLoader, DataLoader | None]:
    if isinstance(validation, (int, float)) and not isinstance(validation, bool):
        data, validation = hold_out(data, validation, trainer.model, trainer.seed)
    loader = as_loader(data, trainer.model, batch_size, shuffle=shuffle, seed=trainer.seed)
    return loader, None if validation is None else as_evaluation_loader(validation, trainer.model)


def _resume(trainer: Trainer, loop: FitLoop, state: dict[str, Any], source: Path, progress: Progress) -> None:
    try:
        lines = restore(loop, state)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise FileFormatError(
            f"{source} is of another training, or damaged: {type(error).__name__}: {error}"
        ) from error
    loop.ranks.world.gather(None, "the reading of the checkpoint")  # before others are removed
    if (folder := loop.folder) is not None:
        epoch = trainer.best_epoch if folder.model == "best" else loop.completed
        folder.go_back(trainer.history.rows, source, epoch, trainer.best_epoch, trainer.batch)
    place = f"epoch {loop.completed}" + (f" and batch {trainer.batch} of the next" if trainer.batch else "")
    for line in (f"resuming after {place}", *lines):
        progress.note(line)


def _checkpoint_to_resume(trainer: Trainer, resume: bool | str | Path) -> Path:
    if not isinstance(resume, bool):
        return Path(resume)
    if trainer.run_folder is None:
        raise ValueError("resume=True takes the newest checkpoint in the run folder, but there is no run_dir")
    return trainer.run_folder.latest_checkpoint()
