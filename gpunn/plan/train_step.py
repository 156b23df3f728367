"""TrainStep and EvalStep: the steps that users make themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import TensorBase
from gpunn.nn import Module
from gpunn.ops.join import stack

from .arena import Arena
from .step import Step


class TrainStep(Step):
    """A training step: forward, loss, backward and update, traced once for each shape of the batch and replayed.

    ::

        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        for x, y in loader:
            loss = step(x, y)

    The first call of each shape runs the step twice on tensors without elements, which finds out what it does; then
    all its memory is laid out in one arena, in which the plans of all shapes lie, and each call does just what is
    written down. On a GPU the kernels that it launches are compiled before, on all cores, and kept for other runs. It
    does what ::

        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

    does, to the same bits on the CPU. What Python decides on the way (an ``if``, a loop) is decided when it is traced;
    changes of what it reads there are seen, and lead to new plans; `gpunn.plan.FROZEN` says what is not seen. Training
    and evaluation mode have plans of their own. The optimizer's options, such as the learning rate, are read at each
    step. What has no place in a plan is done op by op, with a warning that says why: hooks, a step that changes
    something in Python, a `gpunn.autograd.Function` that computes with NumPy, an argument that requires grad.

    Args:
        model: called with all but the last of the batch.
        loss_fn: called with the model's result and the last of the batch; returns the loss, one number, or a tuple
            (loss, aux, ...) of it and of tensors to look at, such as predictions for metrics.
        optimizer: of the model's parameters.
        fuse: whether ops are fused, or the names of the rules to apply, see `gpunn.plan.fuse`. Without fusion the bits
            are those of eager work; with it results may differ by rounding.
        keep_grads: whether each parameter's ``grad`` is its gradient after a step; else no gradient is kept.
        capture: whether, on a device with kernels, a step is captured into a CUDA graph, see `gpunn.plan.capture`; else
            its primitives are called one after the other, and errors are raised where they happen.
        arena: the memory that its plans take turns in, one of its own if not given. Steps that are given the same one
            need no more than the largest of them; they are called one after the other, never at the same time.
        before_update: called between backward and update, such as to clip gradients, or to sum them over all ranks
            (`gpunn.parallel.sum_gradients`).
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Callable[..., Any],
        optimizer: Any,
        *,
        fuse: bool | Iterable[str] = True,
        keep_grads: bool = False,
        capture: bool = True,
        arena: Arena | None = None,
        before_update: Callable[[], Any] | None = None,
    ):
        super().__init__(model, optimizer, fuse, keep_grads, capture, arena)
        self.loss_fn = loss_fn
        self.before_update = before_update

    def body(self, *batch: Any) -> Any:
        """Forward, loss, backward and update."""
        self.optimizer.zero_grad()
        result = self.loss_fn(self.model(*batch[:-1]), batch[-1])
        loss = result[0] if isinstance(result, tuple) else result
        loss.backward()
        if self.before_update is not None:
            self.before_update()
        self.optimizer.step()
        return tuple([t.detach() for t in result]) if isinstance(result, tuple) else loss.detach()

    def steps(self, *batches: Any, between: Callable[[], Any] | None = None) -> Any:
        """Several steps, one behind the other: ``losses = step.steps(x, y)`` for x (k, batch, ...), y (k, batch, ...).

        It does what ``[step(x[i], y[i]) for i in range(k)]`` does, to the same bits. On a device with kernels all k
        steps are one launch of the host, from the second call with this k on (the first one is done step by step), so
        that small steps do not wait for it. That needs memory for another copy of the k batches, and graphs are larger:
        8 to 64 steps are enough. What can't be one CUDA graph is done step by step.

        Args:
            batches: as for a call, all with one more axis in front: the number of steps.
            between: called behind each step, before the next one, such as ``scheduler.step``. It may change what the
                optimizer reads at each step, such as learning rates, and nothing else; it does not see results, since
                the steps may not be done yet.

        Returns:
            As a call does, all with one more axis in front.

        Raises:
            ValueError: there is no step, or the batches are not of the same number.
            And as a call does.
        """
        counts = {x.shape[0] if x.ndim else None for x in batches if isinstance(x, TensorBase)}
        count = counts.pop() if len(counts) == 1 else None
        if not count:
            shapes = ", ".join(str(tuple(x.shape)) if isinstance(x, TensorBase) else type(x).__name__ for x in batches)
            raise ValueError(
                f"TrainStep.steps: expected tensors (steps, batch, ...), all of the same number of steps, got {shapes}"
            )
        return self._several(batches, count, between or _nothing)

    def _several(self, batches: tuple[Any, ...], count: int, between: Callable[[], Any]) -> Any:
        """So many steps on batches (count, ...), at once where a plan can do that."""
        with self.arena.lock:
            results = self._at_once(batches, count, between)
            if results is not None:
                return results
            found = []
            for i in range(count):
                found.append(self._do(tuple([x[i] for x in batches])))
                between()
        return tuple(map(stack, zip(*found))) if isinstance(found[0], tuple) else stack(found)


def _nothing() -> None:
    """Between steps."""


class EvalStep(Step):
    """A model without gradients, traced once for each shape of its input and replayed: ``EvalStep(model)(x)``.

    The model is used in the mode it is in; call ``model.eval()`` before.

    Args:
        model: called with the batch.
        fuse: as for `TrainStep`.
        capture: likewise.
        arena: likewise.
    """

    def __init__(
        self,
        model: Module,
        *,
        fuse: bool | Iterable[str] = True,
        capture: bool = True,
        arena: Arena | None = None,
    ):
        super().__init__(model, None, fuse, capture=capture, arena=arena)

    def body(self, *batch: Any) -> Any:
        """The model's forward."""
        with no_grad():
            result = self.model(*batch)
        return tuple(result) if isinstance(result, list) else result
