"""One training step: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gpunn
from gpunn import full, nn
from gpunn.parallel import ShardedStep, sum_gradients, world
from gpunn.parts import Parts
from gpunn.plan import Arena, MemoryReport, NotPlanned, Step
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.cut import cut, free_memory, parts_that_fit
from gpunn.train.errors import NoTensor
from gpunn.train.objective import Objective
from gpunn.train.outputs import detached, joined, nothing_of
from gpunn.train.precision import Precision, scale_and_inverse, unscale


class EagerStep:
    """A training step op by op; ``step(batches)`` changes the parameters once.

    With several batches the gradient is that of all of them as one batch, within rounding: of means, the gradient of
    each counts by its share. Returned are loss and output of each batch, as they were before the update. Where the loss
    is a function of which no share is known, it is that of all outputs together, and all graphs are kept up to then.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: Any,
        clip_norm: float | None = None,
        sharded: ShardedStep | None = None,
        precision: Precision | None = None,
        augment: Any = None,
    ):
        self.model = model
        self.objective = objective
        self.augment = augment
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.update = optimizer if sharded is None else sharded
        self.precision = precision or Precision()
        self.note: Any = None
        self.alike = False  # whether the same parameters have gradients on all ranks

    def __call__(
        self, batches: Sequence[Batch], total: float | None = None, scale: float | None = None
    ) -> list[tuple[Tensor, Any]]:
        """Take one step; `batches` holds at least one.

        total: what the batches of all ranks count together, where there are several ranks: the gradient is that of all
               of them as one batch
        scale: by what losses are multiplied, and gradients divided, see `gpunn.amp.GradScaler`
        """
        return self.run(batches, self.weights(batches, total), self.scales(scale))

    def several(self, groups: Sequence[Sequence[Batch]], between: Callable[[], None]) -> list[list[tuple[Tensor, Any]]]:
        """A step for each group of batches; `between` is called behind each."""
        return list(_one_by_one(self, groups, between))

    def scales(self, scale: float | None) -> list[Tensor]:
        """The scale of the gradients and one over it; none where they are not scaled."""
        return scale_and_inverse(scale, self._like())

    def _like(self) -> Tensor:
        """A parameter whose type and device numbers of the step have."""
        return next(p for p in self.model.parameters() if p.dtype.is_floating_point)

    def weights(self, batches: Sequence[Batch], total: float | None = None) -> list[Tensor | None]:
        """By what the gradient of each batch is multiplied: a tensor without dimensions, or None for 1."""
        if not self.weighted(batches):
            return [None] * len(batches)
        if total is None:
            total = sum(batch.share for batch in batches)
        first = self._like()
        return [
            full((), batch.share / total if total else 0.0, dtype=first.dtype, device=first.device) for batch in batches
        ]

    def weighted(self, batches: Sequence[Batch]) -> bool:
        """Whether each batch has a weight of its own."""
        return (len(batches) > 1 or world().size > 1) and self.objective.separable and self.objective.reduction != "sum"

    def run(
        self,
        batches: Sequence[Batch],
        weights: Sequence[Tensor | None],
        scales: Sequence[Tensor] = (),
        contexts: Sequence[AbstractContextManager[None]] | None = None,
    ) -> list[tuple[Tensor, Any]]:
        """The step, with the weights of the batches, each in its context if it has one."""
        results = self.gradients(batches, weights, scales, contexts)
        self.update.step()
        return results

    def gradients(
        self,
        batches: Sequence[Batch],
        weights: Sequence[Tensor | None],
        scales: Sequence[Tensor] = (),
        contexts: Sequence[AbstractContextManager[None]] | None = None,
    ) -> list[tuple[Tensor, Any]]:
        """The step up to the update: each parameter's ``grad`` is what the optimizer uses, with penalty and clipped."""
        with self.precision.products():
            return self._gradients(batches, weights, scales, contexts or [_context(batch) for batch in batches])

    def _gradients(
        self,
        batches: Sequence[Batch],
        weights: Sequence[Tensor | None],
        scales: Sequence[Tensor],
        contexts: Sequence[AbstractContextManager[None]],
    ) -> list[tuple[Tensor, Any]]:
        self.optimizer.zero_grad()
        if len(batches) > 1 and not self.objective.separable:
            results = self._as_one(batches, contexts, *scales[:1])
        else:
            weights = [_product(weight, *scales[:1]) for weight in weights]
            results = [self._alone(*each) for each in zip(batches, weights, contexts)]
        if scales:
            unscale(trained_parameters(self.optimizer), scales[1])
        sum_gradients(trained_parameters(self.optimizer), self.alike)
        self.objective.add_penalty_gradient()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(trained_parameters(self.optimizer), self.clip_norm)
        return results

    def _alone(self, batch: Batch, weight: Tensor | None, context: AbstractContextManager[None]) -> tuple[Tensor, Any]:
        """Loss and output of a batch, whose weighted gradient is added to what is there."""
        with context, self.precision.forward():
            inputs, target = self._augmented(batch)
            output = self.model(*inputs)
            loss = self.objective.loss(output, target)
        if batch.share:  # else no target counts: the loss is a mean of nothing, and has no gradient
            loss.backward(None if weight is None else weight.to(loss.dtype).reshape(loss.shape))
        elif world().size > 1:  # but all ranks have to do the same
            nothing_of(output).backward()
        return loss.detach(), detached(self.objective.prediction(output))

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed before the model."""
        return bool(getattr(self.augment, "mixes_samples", False))

    def _augmented(self, batch: Batch) -> tuple[Sequence[Tensor], Tensor]:
        """Inputs and target, augmented where that is asked for."""
        if self.augment is None:
            return batch.inputs, batch.target
        found = self.augment(*batch.inputs, batch.target)
        if not isinstance(found, (tuple, list)) or len(found) != len(batch.inputs) + 1:
            raise TypeError(
                f"augment gave a {type(found).__name__}; expected {len(batch.inputs) + 1}: inputs and target"
            )
        return found[:-1], found[-1]

    def _as_one(
        self, batches: Sequence[Batch], contexts: Sequence[AbstractContextManager[None]], scale: Tensor | None = None
    ) -> list[tuple[Tensor, Any]]:
        """The loss of all batches together and the output of each; the gradient is added to what is there."""
        outputs, targets = [], []
        for batch, context in zip(batches, contexts):
            with context, self.precision.forward():
                inputs, target = self._augmented(batch)
                outputs.append(self.model(*inputs))
                targets.append(target)
        with self.precision.forward():
            loss = self.objective.loss(joined(outputs), gpunn.cat(targets))
        loss.backward(None if scale is None else scale.to(loss.dtype).reshape(loss.shape))
        return [(loss.detach(), detached(self.objective.prediction(output))) for output in outputs]

    def check(self) -> None:
        """Look whether a step up to now has met a label that is none: here that is known at once; see `Step.check`."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know: nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""


class PlannedStep(Step):
    """The same step through a plan: traced once for each shape of the batches, and replayed; see `gpunn.TrainStep`.

    A batch for which a step would not fit into memory is cut into micro-batches, where the model treats samples one by
    one; losses, gradients and outputs are those of the whole batch, within rounding. Steps that a plan can't express
    are done op by op: those where no target of a batch counts, and models whose output is no tensor.

    memory_limit: the bytes that a step may need, parameters and optimizer included; all that is free if not given
    arena:        the memory of its plans, see `gpunn.TrainStep`
    """

    def __init__(self, eager: EagerStep, memory_limit: int | None = None, arena: Arena | None = None):
        super().__init__(eager.model, eager.optimizer, arena=arena)
        self.eager = eager
        eager.alike = True  # what a plan does is the same on all, and one may have no samples and go op by op
        self.memory_limit = memory_limit
        self._batches: Sequence[Batch] = ()
        self._cut = False
        self._parts: dict[Any, int] = {}
        self._parts_before: dict[str, int] = {}
        self._expressible = True

    def __call__(
        self, batches: Sequence[Batch], total: float | None = None, scale: float | None = None
    ) -> list[tuple[Tensor, Any]]:
        """Take one step; see `EagerStep`.

        Raises TrainingError where a batch fits neither as a whole nor in parts; the message says what would.
        """
        weights, scales = self._take(batches, total), self.eager.scales(scale)
        if not self._expressible or not all(batch.share for batch in self._batches):
            return self._together(self.eager.run(self._batches, weights, scales, self._contexts()))
        try:
            found = super().__call__(*_flat(self._batches, weights), *scales)
        except NoTensor:
            self._expressible = False
            return self.eager(batches, total, scale)
        return self._together(list(zip(found[::2], found[1::2])))

    def _do(self, batch: tuple[Any, ...]) -> Any:
        with self.eager.precision.products():
            return super()._do(batch)

    def _at_once(self, batches: tuple[Any, ...], count: int, between: Callable[[], Any]) -> Any:
        with self.eager.precision.products():
            return super()._at_once(batches, count, between)

    def several(self, groups: Sequence[Sequence[Batch]], between: Callable[[], None]) -> list[list[tuple[Tensor, Any]]]:
        """A step for each group of batches, all of them one launch where that can be; see `gpunn.TrainStep.steps`."""
        first, found = groups[0], None
        alike = all(len(group) == 1 and group[0].share and _shapes(group) == _shapes(first) for group in groups)
        if alike and self._expressible and world().size == 1:
            weights = self._take(first)
            if not self._cut:
                with gpunn.no_grad():
                    flat = [gpunn.stack(each) for each in zip(*(_flat(group, weights) for group in groups))]
                with self.arena.lock:
                    found = self._at_once(tuple(flat), len(groups), between)
        if found is None:
            return list(_one_by_one(self, groups, between))
        return [[(loss, output)] for loss, output in zip(*found)]

    def _take(self, batches: Sequence[Batch], total: float | None = None) -> list[Tensor | None]:
        """Let the batches be those of the step, cut where they do not fit; returns their weights."""
        parts = self._parts_of(batches[0]) if len(batches) == 1 and self._expressible else 1
        self._cut = parts > 1
        self._batches = cut(batches[0], parts, self.eager.objective) if self._cut else batches
        self.variant = tuple([batch.first for batch in self._batches])
        return self.eager.weights(self._batches, total)

    def body(self, *flat: Any) -> Any:
        """The step on all the tensors of all batches, one after the other, each with its weight if it has one."""
        results = tuple(t for result in self.eager.run(*self._of(flat), self._contexts()) for t in result)
        if not all(isinstance(t, Tensor) for t in results):
            raise NoTensor
        return results

    def _of(self, flat: Sequence[Tensor]) -> tuple[list[Batch], list[Tensor | None], list[Tensor]]:
        """The batches of the step, their weights and the scales of the gradients, made of such tensors."""
        tensors = iter(flat)
        batches: list[Batch] = []
        weights: list[Tensor | None] = []
        for batch in self._batches:
            batches.append(batch.of(tensors))
            weights.append(next(tensors) if self.eager.weighted(self._batches) else None)
        return batches, weights, list(tensors)

    @property
    def largest(self) -> MemoryReport | None:
        """What the plan that needs most memory needs; None where there is none."""
        reports = [program.memory() for program in self._plans.values() if not program.forgotten]
        return max(reports, key=lambda report: report.total, default=None)

    @property
    def update(self) -> Any:
        """What updates the parameters: the optimizer, or each rank's part of it."""
        return self.eager.update

    def memory(self, batches: Sequence[Batch]) -> MemoryReport:
        """What a step on such batches needs; it looks at their shapes alone."""
        self._batches, self._cut = batches, len(batches) > 1
        self.variant = None
        with self.eager.precision.products():
            return self.forecast(
                *_flat(batches, self.eager.weights(batches)),
                *self.eager.scales(1.0 if self.eager.precision.scaled else None),
            )

    def _parts_of(self, batch: Batch) -> int:
        """Into how many micro-batches a batch is cut; found out once for each shape."""
        key = tuple([(t.shape, t.dtype) for t in batch.tensors()])
        parts = self._parts.get(key)
        if parts is None:
            limit, mixed = self._limit(batch), self.eager.mixes
            try:
                parts = (
                    1
                    if limit is None
                    else parts_that_fit(batch, self.model, self.eager.objective, self.memory, limit, mixed)
                )
            except (NoTensor, NotPlanned):
                return 1  # op by op; what has no place in a plan may have one later
            # A run that goes on where more is free has the bits that it had.
            parts = self._parts[key] = max(parts, min(self._parts_before.get(str(key), 1), batch.samples))
            if parts > 1 and self.note is not None:
                self.note(f"a batch of {batch.samples} does not fit into memory: it is cut into {parts} micro-batches")
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Into how many micro-batches batches are cut, by their shapes and types; and `gpunn.plan.Step.changes`."""
        parts = self._parts_before | {str(key): parts for key, parts in self._parts.items()}
        return {"parts": parts, "changes": self.changes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut batches into no fewer parts, and go on counting."""
        self._parts_before = {key: int(parts) for key, parts in state["parts"].items()}
        self.changes = int(state["changes"])

    def _limit(self, batch: Batch) -> int | None:
        if self.memory_limit is not None:
            return self.memory_limit
        free = free_memory(batch.tensors()[0].device)
        there = sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers()))
        there = max([there, *(p.memory().total for p in self._plans.values() if not p.forgotten)])
        return None if free is None else free + there

    def _contexts(self) -> list[AbstractContextManager[None]] | None:
        """Micro-batches draw the random numbers of the whole batch."""
        if not self._cut:
            return None
        parts = Parts()
        return [parts.from_sample(batch.first, batch.samples) for batch in self._batches]

    def _together(self, results: list[tuple[Tensor, Any]]) -> list[tuple[Tensor, Any]]:
        """Of micro-batches, the loss and the output of the whole batch."""
        if not self._cut:
            return results
        if not any(batch.share for batch in self._batches):
            return [(results[0][0], gpunn.cat([output for _, output in results]))]
        total = sum(batch.share for batch in self._batches) if self.eager.weighted(self._batches) else 1.0
        losses = [loss * (batch.share / total) for (loss, _), batch in zip(results, self._batches) if batch.share]
        return [(gpunn.stack(losses).sum(), gpunn.cat([output for _, output in results]))]


def _one_by_one(
    step: EagerStep | PlannedStep, groups: Sequence[Sequence[Batch]], between: Callable[[], None]
) -> Iterator[list[tuple[Tensor, Any]]]:
    for group in groups:
        yield step(group)
        between()


def _shapes(group: Sequence[Batch]) -> list[Any]:
    return [(t.shape, t.dtype, batch.first) for batch in group for t in batch.tensors()]


def _product(a: Tensor | None, b: Tensor | None = None) -> Tensor | None:
    """a b, where None is 1."""
    return a if b is None else b if a is None else a * b


def trained_parameters(optimizer: Any) -> list[Tensor]:
    """The parameters that an optimizer changes."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _context(batch: Batch) -> AbstractContextManager[None]:
    """In which the random numbers of a rank's part of a batch are those of the whole."""
    if batch.counts and not batch.first:
        return nullcontext()
    return Parts().from_sample(batch.first, batch.samples, batch.counts)


def _flat(batches: Sequence[Batch], weights: Sequence[Tensor | None]) -> list[Tensor]:
    return [t for batch, w in zip(batches, weights) for t in (*batch.tensors(), w) if t is not None]
