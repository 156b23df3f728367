"""What a model gives in evaluation mode, and its loss: through plans, or op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from gpunn import nn, no_grad
from gpunn.autograd.mode import is_tracing
from gpunn.backend.device import device as Device
from gpunn.plan import Arena, Step
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.copies import copies_to
from gpunn.train.errors import NoTensor
from gpunn.train.objective import Objective
from gpunn.train.precision import Precision

Function = Callable[..., tuple[Any, ...]]


class Evaluator:
    """Losses and outputs of a model in evaluation mode, without gradients; call it inside its `mode`.

    They come through plans, as training steps do: traced once for each shape of a batch, and replayed. Models with
    hooks and models whose output is no tensor are called op by op, and with `eager` all are.

    arena: the memory that these plans take turns in, also with those of a training step that is given it
    steps: one for losses and one for predictions, none with `eager`
    """

    def __init__(self, model: nn.Module, objective: Objective, eager: bool = False, precision: Precision | None = None):
        self.model = model
        self.precision = precision or Precision()
        self.arena = Arena()
        functions: list[Function] = [partial(_loss_and_output, model, objective), partial(_output, model, objective)]
        self.steps = [] if eager else [EvaluationStep(model, function, self.arena) for function in functions]
        calls: Sequence[Function] = self.steps or functions
        self._measure, self._predict = calls

    @contextmanager
    def mode(self) -> Iterator[None]:
        """Evaluation mode, without gradients; the modes of all modules are put back behind it."""
        training, before = self.model.training, [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with no_grad(), self.precision.forward():
                yield
        finally:
            self.model.train(training)
            for module, mode in before:  # some may have another one than the whole
                module.training = mode

    def measure(self, batch: Batch) -> tuple[Tensor, Any]:
        """The loss L of a batch, and what the model predicts.

        Raises TraceError where the model reads elements of tensors in Python, unless all is done op by op.
        """
        loss, output = self._measure(*batch.inputs, batch.target)
        return loss, output

    def predict(self, *inputs: Tensor) -> Tensor:
        """What the model predicts: its output, see `Objective`.

        Raises TypeError where that is no tensor, TraceError as `measure` does.
        """
        (output,) = self._predict(*inputs)
        if not isinstance(output, Tensor):
            raise TypeError(f"predict: the model gives {type(output).__name__}, not one tensor; call the model itself")
        return output.detach()

    def predict_each(self, batches: Iterable[Sequence[Tensor]], device: Device) -> list[Tensor]:
        """What the model predicts for each batch of inputs, which are brought to the device; enters `mode` itself."""
        copies = copies_to(device)
        with self.mode():
            outputs = [self.predict(*copies(inputs)) for inputs in batches]
            self.check()
        return outputs

    def check(self) -> None:
        """Raise what is wrong with labels and indices up to now, if that is not known yet; see `Step.check`."""
        for step in self.steps:
            step.check()


class EvaluationStep(Step):
    """A function of tensors that calls a model, through a plan; op by op where it gives something else than tensors."""

    def __init__(self, model: nn.Module, function: Function, arena: Arena):
        super().__init__(model, arena=arena)
        self.note = lambda line: None  # the training step says it
        self.function = function
        self._expressible = True

    def __call__(self, *tensors: Any) -> Any:
        """What the function gives."""
        if self._expressible:
            try:
                return super().__call__(*tensors)
            except NoTensor:
                self._expressible = False
        return self.function(*tensors)

    def body(self, *tensors: Any) -> Any:
        """The function."""
        results = self.function(*tensors)
        if is_tracing() and not all(isinstance(t, Tensor) for t in results):
            raise NoTensor
        return results


def _loss_and_output(model: nn.Module, objective: Objective, *tensors: Tensor) -> tuple[Any, ...]:
    output = model(*tensors[:-1])
    return objective.loss(output, tensors[-1]), objective.prediction(output)


def _output(model: nn.Module, objective: Objective, *inputs: Tensor) -> tuple[Any, ...]:
    return (objective.prediction(model(*inputs)),)
