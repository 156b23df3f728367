"""The picture of a model's layers: a box for each call of a layer, with what comes out of it."""

from __future__ import annotations

from gpunn.inspect.explain.derivation import Derivation
from gpunn.nn import Module

from .picture import Arrow, Box, Picture, without
from .steps import label_of, shape_text, steps_to_the_loss


def layers_of(derivation: Derivation, model: Module) -> Picture:
    """The layers of a model as they hand tensors to one another, from the input to the loss.

    What a model does between its layers, such as the sum of a residual block, and the loss stay operators.
    """
    modules = dict(model.named_modules())
    variables = derivation.variables
    steps = steps_to_the_loss(derivation)
    boxes = {
        f"v{v.id}": Box(f"v{v.id}", v.name, "variable", "given", shape_text(v.shape))
        for v in variables
        if v.role == "input"
    }
    home = {v.id: f"v{v.id}" for v in variables if v.role == "input"}
    arrows: list[Arrow] = []
    call: dict[str, str] = {}
    for step in steps:
        before = list(dict.fromkeys(home[i] for i in step.inputs if i in home))
        module = modules.get(step.layer) if step.layer else None
        if module is None or module._modules:
            name = f"s{step.number}"
            boxes[name] = Box(name, label_of(step), "operator", "forward", tip=step.title)
        else:
            same = len(before) == 1 and call.get(before[0]) == step.layer  # more of the same call
            name = before[0] if same else f"s{step.number}"
            call[name] = step.layer
            boxes[name] = _layer(name, step.layer, module, shape_text(variables[step.outputs[0]].shape))
        arrows += [Arrow(u, name, "forward") for u in before if u != name]
        home.update((i, name) for i in step.outputs)
    read = {i for s in steps for i in s.inputs}
    for v in variables:
        if v.role == "loss" and v.id in home and v.id not in read:
            boxes[f"v{v.id}"] = Box(f"v{v.id}", v.name, "variable", "forward", shape_text(v.shape))
            arrows.append(Arrow(home[v.id], f"v{v.id}", "forward"))
    found = list(boxes.values())
    return Picture(f"{derivation.title}: layers", found, without(found, arrows))


def _layer(name: str, path: str, module: Module, shape: str) -> Box:
    """A layer with the number of its parameters and the shape of what comes out of it."""
    count = sum(p.numel() for p in module.parameters())
    note = f"{count:,} parameters → {shape}" if count else f"→ {shape}"
    return Box(name, f"{path}  {type(module).__name__}", "layer", "forward", note, tip=f"{path}: {module!r}")
