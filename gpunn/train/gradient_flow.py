"""How gradients flow through the layers while a network trains, and what is said where they do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn import nn
from gpunn.parallel import world
from gpunn.printing import printable
from gpunn.tensor import Tensor
from gpunn.train.callbacks import Callback
from gpunn.train.errors import TrainingError
from gpunn.train.gradient_findings import Findings, Measured
from gpunn.train.gradient_step import GradientStep, squares, sums_of_squares
from gpunn.train.step import trained_parameters

if TYPE_CHECKING:
    from gpunn.train.batch import Batch
    from gpunn.train.trainer import Trainer

UNITS = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""The layers whose first dimension of the weight counts units that an activation may silence."""
REST = 10
"""A unit is called dead that got no gradient in so many watched steps, one behind the other."""


@dataclass
class Layer:
    """A layer's own parameters, as far as they are trained.

    name:       its path in the model; "" for the model itself
    kind:       its class
    parameters: in the order of the layer
    units:      which of them tells by a gradient of 0 that a unit is silent; None where none does
    """

    name: str
    kind: str
    parameters: list[Tensor]
    units: int | None


class GradientFlow(Callback):
    """Record the norms of weights, gradients and updates of each layer, at every so many training steps.

    With W all parameters of a layer, g the gradient of J that the optimizer uses (penalty included, and clipped) and
    W' the parameters behind the update, a row has

        weight   ||W||          gradient  ||g||
        update   ||W' - W||     ratio     ||W' - W|| / ||W||, of the order of 1e-3 where learning goes well

    in the Euclidean norm, computed in float64. For linear and convolutional layers `silent` is the share of units that
    get no gradient at all in this step, as a ReLU gives none where it is 0 for the whole batch, and `dead` the share of
    those that got none in the last 10 watched steps. Where the L2 penalty reaches every weight it is the bias that
    tells, and without a bias nothing does.

    A line says once where gradients vanish or explode from layer to layer, or most units of a layer are dead.

    Rows are in `rows`, and in ``gradients.jsonl`` of the run folder, where a resumed run goes on with them. Weights
    have the same bits with this callback and without it. A watched step takes about the time of two, others the time
    that they took, since a planned step keeps no gradients: they are computed by a plan of their own before it.

    every: watch the first step and each `every`-th behind it

    Raises ValueError for an interval below 1.
    """

    def __init__(self, every: int = 10):
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"GradientFlow: every is {every!r}; expected a number of steps, at least 1")
        self.every = every
        self.rows: list[dict[str, Any]] = []
        """``{"epoch": 1, "batch": 1, "step": 1, "layer": "0", "kind": "Linear", "weight": ..., ...}``."""
        self._resumed = False
        self._forget()

    def _forget(self) -> None:
        self._steps = 0
        self._rest: dict[str, Any] = {}
        self._findings = Findings()
        self._before: list[Tensor] | None = None
        self._squares: list[Tensor] | None = None

    @property
    def warnings(self) -> list[str]:
        """The lines that were said."""
        return self._findings.lines

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Look at the model; a new training begins with no rows."""
        if not self._resumed:
            self._forget()
        folder, goes_on = trainer.run_folder, bool(trainer.history.epochs or trainer.batch)
        self.rows = folder.read_gradients() if folder is not None and goes_on else []
        if self.rows and not self._resumed:  # they were watched in the run before, but not when it was left
            self._steps = self.rows[-1]["step"]
        self._resumed = False
        self._layers = layers(trainer)
        self._probe: GradientStep | None = trainer.make_gradient_step()
        self._ended = not self._layers

    def on_step_begin(self, trainer: Trainer, batches: Sequence[Batch]) -> None:
        """Before a step that is watched: its gradients, where it is going to be done through a plan."""
        self._before, watched = None, self._steps % self.every == 0
        self._steps += 1
        if not watched or self._ended:
            return
        try:
            self._squares = None if self._probe is None else self._probe(batches, trainer.scale)
        except TrainingError as error:
            self._ended = True
            trainer.note(f"gradients are not watched, for lack of memory: {error}")
            return
        except IndexError:  # a label that is none: the step is going to say so
            return
        for p in self._parameters():
            p.grad = None  # of a step long ago
        self._before = [p.detach().clone() for p in self._parameters()]

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        """Behind it: norms, and what they say."""
        if self._before is None:
            return
        found, trained = self._squares, trained_parameters(trainer.optimizer)
        if found is None:  # the step was done op by op, and left its gradients
            found = [squares(p) for p in trained]
        place = {id(p): i for i, p in enumerate(trained)}
        gradients = [found[place[id(p)]].cpu().numpy() for p in self._parameters()]
        before, self._before, self._squares = self._before, None, None
        weights = [float(sums_of_squares(p).sum().item()) for p in before]
        updates = [
            float(sums_of_squares(p.double() - b.double()).sum().item()) for p, b in zip(self._parameters(), before)
        ]
        rows, measured, start = [], [], 0
        for layer in self._layers:
            mine = slice(start, start := start + len(layer.parameters))
            row, seen = self._measure(layer, weights[mine], gradients[mine], updates[mine])
            rows.append({"epoch": trainer.epoch, "batch": batch, "step": self._steps, **row})
            measured.append(seen)
        self.rows += rows
        if trainer.run_folder is not None and world().is_first:
            trainer.run_folder.add_gradients(rows)
        for line in self._findings.of(measured, f"epoch {trainer.epoch}, batch {batch}"):
            trainer.note(printable(line))

    def _measure(
        self, layer: Layer, weights: list[float], gradients: list[Any], updates: list[float]
    ) -> tuple[dict[str, Any], Measured]:
        """The row of a layer, and what is looked at to find out what is wrong."""
        there = [g for g in gradients if not (g < 0).any()]
        weight, update = math.sqrt(sum(weights)), math.sqrt(sum(updates))
        row: dict[str, Any] = {
            "layer": layer.name,
            "kind": layer.kind,
            "weight": weight,
            "gradient": math.sqrt(sum(g.sum() for g in there)) if there else None,
            "update": update,
            "ratio": update / weight if weight else None,
        }
        dead, units = None, 0
        if layer.units is not None and not (gradients[layer.units] < 0).any():
            silent = gradients[layer.units] == 0
            rest = self._rest.get(layer.name)
            self._rest[layer.name] = np.where(silent, 1 if rest is None else rest + 1, 0)
            dead, units = float((self._rest[layer.name] >= REST).mean()), len(silent)
            row |= {"silent": float(silent.mean()), "dead": dead}
        wide = [i for i, p in enumerate(layer.parameters) if p.ndim > 1]
        elements = [(gradients[i], layer.parameters[i].numel()) for i in wide if not (gradients[i] < 0).any()]
        reached = sum(int((g != 0).sum()) * size // len(g) for g, size in elements)
        rms = math.sqrt(sum(g.sum() for g, _ in elements) / max(reached, 1)) if elements else None
        weight, update = (sum(squared[i] for i in wide) for squared in (weights, updates))
        ratio = math.sqrt(update / weight) if weight else None
        return row, Measured(layer.name, layer.kind, row["gradient"], rms, ratio, dead, units)

    def _parameters(self) -> list[Tensor]:
        return [p for layer in self._layers for p in layer.parameters]

    def state_dict(self) -> dict[str, Any]:
        """How many steps were made, how long each unit has rested, and what was said."""
        return {"steps": self._steps, "rest": dict(self._rest), "findings": self._findings.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self._forget()
        self._steps, self._rest = state["steps"], dict(state["rest"])
        self._findings.load_state_dict(state["findings"])
        self._resumed = True


def layers(trainer: Trainer) -> list[Layer]:
    """The layers with parameters that the optimizer trains, from the input to the output as the model has them."""
    left = {id(p) for p in trained_parameters(trainer.optimizer)}
    found = []
    for name, module in trainer.model.named_modules():
        named = {n: p for n, p in module.named_parameters(recurse=False) if id(p) in left}
        left -= {id(p) for p in named.values()}
        if named:
            units = None
            if isinstance(module, UNITS):
                units = _place(named, "bias" if trainer.objective.l2 else "weight")
            found.append(Layer(name, type(module).__name__, list(named.values()), units))
    return found


def _place(named: Iterable[str], name: str) -> int | None:
    names = list(named)
    return names.index(name) if name in names else None
