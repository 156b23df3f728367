"""`gpunn.inspect.explain`: the derivation of a model's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn
from gpunn.tensor import Tensor

from .derivation import Derivation, NotExplained


def explain(
    model: nn.Module,
    x: Any,
    y: Any,
    loss: str | Callable[..., Any] = "cross_entropy",
    *,
    optimizer: Any = None,
    l2: float = 0.0,
    fused: bool = False,
    title: str = "",
    numbers: bool = True,
) -> Derivation:
    """Derive the gradient of ``J = loss(model(x), y) + l2/2 sum ||W||^2`` with respect to the parameters, step by step.

    Nothing is trained, and nothing is changed: parameters, gradients, running statistics and random numbers are
    afterwards what they were. The numbers are those of one step on this batch, in the types of the model.

    Args:
        model: in the mode that it is in; on the device ``meta`` there are shapes, and no numbers.
        x: its input, a tensor or an array with the batch; a tuple for a model of several inputs.
        y: the target.
        loss: a function of (output, target), or a name such as "cross_entropy" or "mse"; see `gpunn.Trainer`.
        optimizer: with one, or the name of one, its update is the last step.
        l2: lambda of the penalty on weights.
        fused: derive what fusion makes of the step, and not the step as it is written.
        title: what it is called.
        numbers: whether elements are computed; without them there are shapes, as on the device ``meta``.

    Raises:
        NotExplained: the step has no place in a graph, or there is no gradient; the message says why.
        ValueError: the loss is not one number.
    """
    from gpunn.train.objective import Objective
    from gpunn.train.optimizers import as_optimizer

    from .build import Builder
    from .draft import formula
    from .evaluate import Evaluated, evaluate
    from .findings import findings, flow, note_activations
    from .fused import fuse
    from .numeric import CentralDifference
    from .steps import activations, affine, number_steps
    from .tracing import ExplainedStep

    if not isinstance(model, nn.Module):
        raise TypeError(f"explain: the model is a gpunn.nn.Module, got {type(model).__name__}")
    if not any(p.requires_grad for p in model.parameters()):
        raise NotExplained(f"no derivation: no parameter of {type(model).__name__} requires a gradient")
    objective = Objective(loss, model, l2)
    if optimizer is not None:
        optimizer = as_optimizer(optimizer, model)
    batch = [*_tensors(model, x if isinstance(x, tuple) else (x,)), *_tensors(model, (y,))]
    difference = CentralDifference(model, objective, batch)
    traced = ExplainedStep(model, objective, optimizer).traced(batch)
    evaluated = evaluate(traced.graph, [t._data for t in batch]) if numbers else Evaluated()
    builder = Builder(traced, evaluated, l2)
    builder.build()
    lines = fuse(builder, [t._data for t in batch]) if fused else []
    steps = number_steps(builder)
    note_activations(steps, builder.variables, activations(builder))
    layers = flow(steps, builder.variables, affine(builder))
    traced.graph.let_go()
    return Derivation(
        title=title or f"{type(model).__name__}, a batch of {batch[0].shape[0] if batch[0].ndim else 1}",
        variables=builder.variables,
        steps=steps,
        objective=[formula(item) for item in builder.penalty_items],
        flow=layers,
        findings=findings(steps, builder.variables, layers),
        fused=lines,
        parameters=sum(p.nbytes for p in model.parameters()),
        batch=sum(t.nbytes for t in batch),
        objective_at=difference if evaluated.elements else None,
    )


def _tensors(model: nn.Module, given: Any) -> list[Tensor]:
    """Arrays as tensors where the model is, floats in its type."""
    first = next((p for p in model.parameters() if p.dtype.is_floating_point), None)
    found = []
    for a in given:
        t = a.detach() if isinstance(a, Tensor) else gpunn.tensor(a)
        if first is not None:
            t = t.to(first.device)
            t = t.to(first.dtype) if t.dtype.is_floating_point else t
        found.append(t)
    return found
