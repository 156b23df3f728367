"""A step whose numbers became infinite or NaN: done again op by op, to see where that began, and kept in a file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import gpunn
from gpunn import io, nn
from gpunn.inspect.profile.parts import What
from gpunn.inspect.profile.watch import EagerWatch, owner_of
from gpunn.optim import Optimizer
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.checkpoint import go_back
from gpunn.train.guard import Guard, copied
from gpunn.train.step import EagerStep

if TYPE_CHECKING:
    from gpunn.train.loop import FitLoop
    from gpunn.train.trainer import Trainer

_ENTRIES = {
    "epoch": int, "batch": int, "lr": float, "cause": str, "generator": dict, "model": dict, "optimizer": dict,
    "batches": list,
}  # fmt: skip


class Result(NamedTuple):
    """What one op of a step gave: how many numbers, how many of them infinite and NaN, and the range of the others.

    what: the op
    of:   in the backward, the op of the forward whose gradient it belongs to
    """

    what: What
    of: str
    elements: int
    infinite: int
    nan: int
    low: float
    high: float

    def __str__(self) -> str:
        parts = [f"{n:,} {name}" for n, name in ((self.infinite, "infinite"), (self.nan, "NaN")) if n]
        return f"{self.place} gave {' and '.join(parts) or 'no'} of {self.elements:,} numbers"

    @property
    def place(self) -> str:
        """Where the op belongs, such as "the backward of Sqrt (Div) in layer 0"."""
        phase, layer, op = self.what[:3]
        if phase == "update":
            return f"the update ({op})"
        name = f"{self.of} ({op})" if self.of else op
        return f"the {phase} of {name} in {f'layer {layer}' if layer else 'the loss'}"


class Trace(NamedTuple):
    """A step op by op: its results in order, and its loss as it was before the update."""

    results: list[Result]
    loss: float

    def first(self) -> list[Result]:
        """The first result with infinities, and the first one with NaN, as far as there are some, in order."""
        kinds = ([r for r in self.results if r.infinite], [r for r in self.results if r.nan])
        found = {id(some[0]): some[0] for some in kinds if some}
        return [r for r in self.results if id(r) in found]

    def __str__(self) -> str:
        """Where it began, in words; empty where all is finite."""
        return ", then ".join(map(str, self.first()))


class _Watch(EagerWatch):
    """Looks at what each op gives."""

    def __init__(self, device: Any, model: nn.Module):
        super().__init__(device, model)
        self.results: list[Result] = []
        self._of = ""

    def enter_gradient(self, node: Any, dys: Sequence[Any]) -> None:
        """The gradient of what a node of the tape did comes next."""
        super().enter_gradient(node, dys)
        self._of = node.name

    def enter_update(self, *_: Any) -> None:
        """The optimizer's step comes next."""
        self._phase, self.layer = "update", ""

    def call(self, what: What, name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a call, and look at its result; at what an optimizer has changed where that is one."""
        made = function(*args, **kwargs)
        in_place = isinstance(owner_of(args[0]), Optimizer)
        given = [args[3], *args[5]] if in_place else made if isinstance(made, tuple) else [made]
        arrays = [self.device.backend.to_numpy(x) if not isinstance(x, np.generic) else x for x in given]
        floats = [np.asarray(a, np.float64).ravel() for a in arrays if np.asarray(a).dtype.kind not in "biu"]
        if floats:
            of = self._of if what.phase == "backward" else ""
            self.results.append(_result(what, of, np.concatenate(floats)))
        return made


def _result(what: What, of: str, x: Any) -> Result:
    infinite, nan = int(np.isinf(x).sum()), int(np.isnan(x).sum())
    finite = x[np.isfinite(x)] if infinite or nan else x
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    return Result(what, of, x.size, infinite, nan, low, high)


def find(loop: FitLoop) -> str:
    """Go back to the anchor of a training, and do its steps again up to the first one that leaves infinities or NaN.

    Everything is left as it was before that step, which is written down in the run folder.

    Returns a sentence that says where it began; empty where that was not found.
    """
    trainer, guard = loop.trainer, loop.guard
    if loop.anchor is None or guard is None:
        return ""
    go_back(loop, loop.anchor)
    loop.progress.note(
        f"looking for where that began: the steps of epoch {trainer.epoch} behind batch {trainer.batch} are done again"
    )
    trainer.model.train()
    for group in loop.groups():
        where = f"epoch {trainer.epoch}, batch {trainer.batch + 1}"
        _, outcome = loop.attempt(group)
        if loop.interrupted:
            return ""
        if outcome != "not finite":
            trainer.batch += len(group)
            trainer.callbacks.call("on_batch_end", trainer, trainer.batch)
            if name := guard.not_finite():
                return f"{name} was finite after the step of {where}, and no longer after its callbacks"
            continue
        guard.put_back()
        found = str(replay(trainer, group, guard))
        cause = f"It began in {where}: {found}" if found else f"It began in {where}, but not op by op, without a plan"
        return cause + _kept(loop, group, cause)
    return ""


def _kept(loop: FitLoop, group: Sequence[Batch], cause: str) -> str:
    """Write a step down in the run folder, if there is one; a sentence that says so."""
    if loop.folder is None:
        return ""
    path = loop.folder.failed_step_path
    try:
        save(loop.trainer, group, cause, path)
    except OSError as error:
        return f". The step can't be written down: {error}"
    return f". To look at that step: gpunn debug {shlex.quote(str(path))}"


def evaluation(trainer: Trainer, batch: Batch) -> Trace:
    """The loss of a batch in evaluation mode, op by op, with a look at each result."""
    watch = _Watch(trainer.device, trainer.model)
    with trainer.evaluator.mode(), watch.watching():
        loss = trainer.objective.loss(trainer.model(*batch.inputs), batch.target)
    return Trace(watch.results, float(loss.item()))


def replay(trainer: Trainer, batches: Sequence[Batch], guard: Guard) -> Trace:
    """Do a step op by op and look at each result; everything is put back to what it is now."""
    watch = _Watch(trainer.device, trainer.model)
    step = EagerStep(
        trainer.model, trainer.objective, trainer.optimizer, trainer.clip_norm, None, trainer.precision, trainer.augment
    )
    training = trainer.model.training
    guard.keep()
    handle = trainer.optimizer.register_step_pre_hook(watch.enter_update)
    try:
        trainer.model.train()
        with watch.watching():
            results = step(batches, scale=trainer.scale)
    finally:
        handle.remove()
        guard.put_back()
        trainer.optimizer.zero_grad()
        trainer.model.train(training)
    weights = [batch.share for batch in batches]
    losses = [float(loss.item()) for loss, _ in results]
    counted = [(loss, w) for loss, w in zip(losses, weights) if w]
    total = sum(w for _, w in counted)
    return Trace(watch.results, sum(loss * w for loss, w in counted) / total if total else float("nan"))


def save(trainer: Trainer, batches: Sequence[Batch], cause: str, path: Path) -> None:
    """Write down a step that is about to be done: all that it needs but the network."""
    io.save(
        {
            "epoch": trainer.epoch,
            "batch": trainer.batch + 1,
            "lr": trainer.learning_rate,
            "cause": cause,
            "generator": gpunn.get_rng_state(),
            "model": copied(trainer.model.state_dict()),
            "optimizer": copied(trainer.optimizer.state_dict()),
            "scaler": trainer.scaler.state_dict(),
            "batches": [
                {"inputs": copied(list(b.inputs)), "target": copied(b.target), "share": b.share} for b in batches
            ],
        },
        path,
    )


class Failed(NamedTuple):
    """A step that was written down."""

    epoch: int
    batch: int
    lr: float
    cause: str
    trace: Trace


def debug(trainer: Trainer, path: str | Path) -> Failed:
    """Do a step that was written down again, op by op, with the same numbers.

    trainer: as that of the run: model, loss, optimizer, and what else a step depends on. It gets the weights, and all
             else, that were there before the step

    Raises FileNotFoundError, io.FileFormatError where the file is damaged or none of these, ValueError and others where
    it is of another training.
    """
    found = io.load(path)
    if not isinstance(found, dict) or not all(isinstance(found.get(k), kind) for k, kind in _ENTRIES.items()):
        raise io.FileFormatError(f"{path} is no step that failed, as a training leaves in its run folder")
    batches = []
    for entry in found["batches"]:
        good = isinstance(entry, dict) and {"inputs", "target", "share"} <= {*entry}
        if not good or not all(isinstance(t, Tensor) for t in (*entry["inputs"], entry["target"])):
            raise io.FileFormatError(f"{path} is damaged: its batches are not of tensors")
        inputs = tuple([t.to(device=trainer.device) for t in entry["inputs"]])
        batches.append(Batch(inputs, entry["target"].to(device=trainer.device), float(entry["share"])))
    trainer.model.load_state_dict(found["model"])
    trainer.optimizer.load_state_dict(found["optimizer"])
    trainer.scaler.load_state_dict(found.get("scaler") or trainer.scaler.state_dict())
    gpunn.set_rng_state(found["generator"])
    trace = replay(trainer, batches, Guard(trainer.model, trainer.optimizer))
    return Failed(found["epoch"], found["batch"], found["lr"], found["cause"], trace)
