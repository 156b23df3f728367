"""All that a run needs to go on to the same bits, taken down and put back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn import get_rng_state, io, set_rng_state
from gpunn.parallel import ShardedStep
from gpunn.train.fingerprint import differences, fingerprint
from gpunn.train.history import TIMING

if TYPE_CHECKING:
    from gpunn.train.loop import FitLoop

VERSION = 3


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(_is_number(row.get(name)) for name in ("epoch", "loss", "lr", *TIMING))


ENTRIES: dict[str, Callable[[Any], bool]] = {
    "version": _is_count,
    "epoch": _is_count,
    "epochs": _is_count,
    "batch": _is_count,
    "trained": lambda v: isinstance(v, bool),
    "stopped": lambda v: v is None or isinstance(v, str),
    "seconds": _is_number,
    "lr": _is_number,
    "model": lambda v: isinstance(v, dict),
    "optimizer": lambda v: isinstance(v, dict),
    "callbacks": lambda v: isinstance(v, list) and all(isinstance(c, dict) and {"name", "state"} <= {*c} for c in v),
    "generator": lambda v: isinstance(v, dict),
    "other_generators": lambda v: isinstance(v, dict),
    "loader": lambda v: isinstance(v, dict),
    "validation_loader": lambda v: v is None or isinstance(v, dict),
    "step": lambda v: isinstance(v, dict),
    "meter": lambda v: isinstance(v, dict),
    "history": lambda v: isinstance(v, list) and all(map(_is_row, v)),
    "settings": lambda v: isinstance(v, dict) and _is_count(v.get("seed")),
    "fingerprint": lambda v: isinstance(v, dict),
}
"""What a checkpoint holds, and whether a value can be that."""


def capture(loop: FitLoop) -> dict[str, Any]:
    """The state of a run between two steps, for a file: its `moment`, and

    version: of what checkpoints hold;  settings: the Trainer's;  fingerprint: what bits depend on.
    """
    trainer = loop.trainer
    identity = {"version": VERSION, "settings": trainer.settings(), "fingerprint": fingerprint(trainer.device)}
    return {name: _plain(value) for name, value in {**identity, **moment(loop)}.items()}


def moment(loop: FitLoop) -> dict[str, Any]:
    """Where a run stands between two steps.

    epoch: the epochs completed;  epochs: those that were asked for;  batch: the batches done of the next one;  trained:
    whether those were all, so that its validation comes next;  stopped: why a callback has ended the training with this
    epoch, None where none has;  seconds: the time it took so far;  lr: the learning rate of its last step;  model,
    optimizer: state_dicts;  callbacks: those of the callbacks, schedulers among them;  generator: seed and call numbers
    of everything random;  other_generators: the global ones of Python and NumPy, which data sets and callbacks may draw
    from;  loader, validation_loader: orders and positions;  step: into how many micro-batches it cuts
    batches, how often what it reads has changed, and the scale of its gradients;  meter: loss and metrics of the epoch
    so far;  history: its rows.
    """
    trainer = loop.trainer
    return {
        "epoch": loop.completed,
        "epochs": loop.epochs,
        "batch": trainer.batch,
        "trained": loop.trained,
        "stopped": trainer.stop_reason if trainer.stopped else None,
        "seconds": loop.seconds,
        "lr": loop.lr,
        "model": trainer.model.state_dict(),
        "optimizer": loop.step.update.state_dict(),
        "callbacks": trainer.callbacks.state_dict(),
        "generator": get_rng_state(),
        "other_generators": {"python": random.getstate(), "numpy": np.random.get_state()},  # noqa: NPY002
        "loader": loop.loader.state_dict(),
        "validation_loader": loop.validation_state,
        "step": {**loop.step.state_dict(), "scaler": trainer.scaler.state_dict()},
        "meter": loop.merged(loop.meter).state_dict(),
        "history": trainer.history.rows,
    }


def restore(loop: FitLoop, state: dict[str, Any]) -> list[str]:
    """Put a run where it was when `state` was captured; returns a line for what has changed since, if anything has.

    Raises as `go_back`.
    """
    trainer = loop.trainer
    _check_alike(loop.meter.state_dict(), state["meter"], "meter")
    lines = go_back(loop, state)
    if changed := differences(state["settings"], trainer.settings()):
        lines.append(f"the settings are not those of the run so far: {'; '.join(changed)}")
    if changed := differences(state["fingerprint"], fingerprint(trainer.device, state["fingerprint"])):
        lines.append(f"results may differ in their last bits from an uninterrupted run: {'; '.join(changed)}")
    return lines


def go_back(loop: FitLoop, state: dict[str, Any]) -> list[str]:
    """Put a run where it was at a `moment`; returns what callbacks have to say of it.

    Raises ValueError, KeyError or TypeError where model, optimizer, callbacks, metrics or data are not those of the
    run.
    """
    trainer = loop.trainer
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    lines = trainer.callbacks.load_state_dict(state["callbacks"])
    if isinstance(loop.step.update, ShardedStep):
        loop.step.update.forget_others()
    loop.loader.load_state_dict(state["loader"])
    if (loop.validation is None) != (state["validation_loader"] is None):
        raise ValueError("the run to resume was validated, or this one is, but not both; give the same data")
    if loop.validation is not None:
        loop.validation.load_state_dict(state["validation_loader"])
        loop.validation_state = state["validation_loader"]
    loop.step.load_state_dict(state["step"])
    trainer.scaler.load_state_dict(state["step"].get("scaler") or trainer.scaler.state_dict())
    loop.meter.load_state_dict(state["meter"])
    if not loop.ranks.is_first:  # rank 0 has what all have taken in
        loop.meter.reset()
        loop.meter.batches = state["meter"]["batches"]
    loop.completed, loop.trained, loop.seconds = state["epoch"], state["trained"], state["seconds"]
    loop.lr = state["lr"]
    trainer.batch = state["batch"]
    trainer.history.rows[:] = state["history"]
    # A run that is asked for other epochs than those after which it was stopped goes on.
    if state["stopped"] is not None and (state["epochs"] == loop.epochs or state["batch"]):
        trainer.stop(state["stopped"])
    set_rng_state(state["generator"])
    random.setstate(state["other_generators"]["python"])
    np.random.set_state(state["other_generators"]["numpy"])  # noqa: NPY002
    return lines


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The state in a checkpoint file.

    Raises FileNotFoundError, io.FileFormatError where the file is damaged or no checkpoint.
    """
    state = io.load(path)
    missing = [name for name in ENTRIES if name not in state] if isinstance(state, dict) else list(ENTRIES)
    if missing:
        raise io.FileFormatError(f"{path} is no checkpoint of a training run: it lacks {', '.join(missing)}")
    if state["version"] != VERSION:
        raise io.FileFormatError(f"{path} is a checkpoint of version {state['version']}; this gpunn reads {VERSION}")
    wrong = [name for name, good in ENTRIES.items() if not good(state[name])]
    if wrong or len(state["history"]) != state["epoch"]:
        raise io.FileFormatError(f"{path} is a damaged checkpoint: in it are no {', '.join(wrong) or 'history'}")
    return state


def _plain(value: Any) -> Any:
    """With Python's numbers in the place of NumPy's, which options and logs may have, and files have not."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _check_alike(mine: Any, theirs: Any, place: str) -> None:
    """Raise TypeError where numbers and arrays have something else in their place, KeyError where it is nothing."""
    if isinstance(mine, dict):
        for name, value in mine.items():
            _check_alike(value, theirs[name], f"{place}.{name}")
    elif _is_number(mine) and not _is_number(theirs):
        raise TypeError(f"{place} is {theirs!r}; expected a number")
    elif isinstance(mine, np.ndarray) and not (isinstance(theirs, np.ndarray) and mine.ndim == theirs.ndim):
        raise TypeError(f"{place} is {theirs!r}; expected an array of {mine.ndim} dimensions")
