"""What a derivation is made of: variables, steps and findings, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

ROLES = ("input", "target", "parameter", "buffer", "constant", "activation", "loss", "gradient", "state")
PHASES = ("forward", "backward", "update")


class NotExplained(ValueError):
    """The model, or its loss, has no place in a graph; the message says why."""


@dataclass(frozen=True)
class Statistics:
    """What there is to say of a tensor that is too large to be looked at; NaN and infinities are left out.

    Attributes:
        norm: the root of the sum of squares.
        zeros: the share of elements that are 0.
        not_finite: how many elements are NaN or infinite.
        dead: of the result of a ReLU, the share of its units (features, or channels) that are 0 for the whole batch.
        saturated: of the result of a sigmoid or tanh, the share of elements where the slope is less than a fifth of the
            largest.
    """

    mean: float
    std: float
    min: float
    max: float
    norm: float
    zeros: float
    not_finite: int
    dead: float | None = None
    saturated: float | None = None


@dataclass
class Variable:
    """A tensor of the derivation.

    Attributes:
        id: its place in `Derivation.variables`.
        name: as in textbooks: X, W1, b1, Z1, A1, dZ1, dW1, L, J; letters, digits and, for the second of several with
            one name, its number in brackets: Z1(2). Gradients that are added up have the part in braces: dA1{1},
            dA1{2}; dW1{L} and dW1{s} are those of L and of the penalty s. A state's new value has a prime: W1'.
        role: one of `ROLES`.
        layer: the path of the module that makes it, or whose parameter it is; empty for none.
        path: of a parameter or a buffer, its name in the model, such as "0.weight"; else empty.
        shape: its shape.
        dtype: the name of its type.
        value: its elements, where they were asked for; else None.
        statistics: of its elements; None for no elements, booleans and what was not computed.
        written_by: the number of the step that makes it; None for what was there before.
        read_by: the numbers of the steps that read it.
        freed_after: the number of the step after which its memory is free; None for what stays.
        nbytes: the bytes of its elements.
        memory: where it lies: variables that have the same number share memory (views, results made in place); None
            for what was there before.
        of: of a gradient, the id of the variable that it is the gradient of; else None.
        gradient: the id of the variable's gradient; None if it has none.
    """

    id: int
    name: str
    role: str
    layer: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    value: np.ndarray | None = None
    statistics: Statistics | None = None
    written_by: int | None = None
    read_by: list[int] = field(default_factory=list)
    freed_after: int | None = None
    memory: int | None = None
    of: int | None = None
    gradient: int | None = None


@dataclass(frozen=True)
class Formula:
    """An equation with the names of the variables.

    Attributes:
        text: in Unicode, for a terminal.
        latex: without dollar signs.
        mathml: one ``<math>`` element; variables in it have the attribute ``data-variable`` with their id.
    """

    text: str
    latex: str
    mathml: str


@dataclass(frozen=True)
class Jacobian:
    """All partial derivatives of one variable by another, of a step of the forward.

    Attributes:
        output: the id of the variable that is differentiated.
        input: the id of the variable by which.
        value: a row for each element of the output, a column for each of the input, both in row-major order; float64.
    """

    output: int
    input: int
    value: np.ndarray


@dataclass
class Step:
    """One step of the derivation.

    Attributes:
        number: from 1 on; its place in `Derivation.steps` is one less.
        phase: one of `PHASES`.
        op: the name of the op, such as "LinearActivation"; of a gradient, that of the op whose gradient it is, unless
            gradients are added up ("Add").
        layer: the path of the module that it belongs to; empty for the loss and the like.
        title: what it does, in a few words.
        formulas: what it computes, an equation for each output.
        inputs: the ids of the variables that it reads.
        outputs: the ids of those that it makes.
        sentences: why shapes fit, what is kept for which later step, where gradients add up.
        gradient_of: of a backward step, the number of the forward step whose gradient it is; else None.
        primitives: the backend's primitives that it calls, in order.
        kernels: the names of the kernel texts that those are made of on a GPU.
        live_bytes: the memory that the plan has in use at this step, without parameters and batch.
        jacobians: of a forward step, where they are small.
    """

    number: int
    phase: str
    op: str
    layer: str
    title: str
    formulas: list[Formula]
    inputs: list[int]
    outputs: list[int]
    sentences: list[str]
    gradient_of: int | None
    primitives: list[str]
    kernels: list[str]
    live_bytes: int
    jacobians: list[Jacobian] = field(default_factory=list)


@dataclass(frozen=True)
class Flow:
    """How large gradients are at one layer.

    Attributes:
        layer: the path of the layer.
        variable: the id of its result, such as Z1.
        activation: the root mean square of the result's elements.
        gradient: the root mean square of the elements of its gradient.
        ratio: `gradient` over that of the next layer, nearer to the loss; None for the last.
        weight: the id of its weight, or None.
        update: the norm of the weight's gradient over the norm of the weight; None where there is none.
    """

    layer: str
    variable: int
    activation: float
    gradient: float
    ratio: float | None
    weight: int | None
    update: float | None


@dataclass(frozen=True)
class Path:
    """How the loss depends on one element of a weight.

    Attributes:
        variable: the id of the weight.
        index: which element.
        value: what it is.
        forward: the numbers of the steps through which the loss depends on it, in order.
        backward: the numbers of the steps that lead back to its gradient, in order.
        gradient: the derivative of J by it, of this derivation.
        difference: (J(w + h) - J(w - h)) / 2h, computed anew, in float64 if the model can be.
        h: the h of it.
        dtype: the type in which it was computed.
    """

    variable: int
    index: tuple[int, ...]
    value: float
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    gradient: float
    difference: float
    h: float
    dtype: str


@dataclass(frozen=True)
class Finding:
    """What the numbers say of the network as a whole.

    Attributes:
        kind: "vanishing", "exploding", "dead", "saturated" or "not finite".
        layer: where it begins.
        sentence: what it is, with numbers, and what usually helps, with the source.
        steps: the numbers of the steps that show it.
    """

    kind: str
    layer: str
    sentence: str
    steps: tuple[int, ...] = ()


@dataclass
class Derivation:
    """The gradient of a model, step by step: forward, backward and, with an optimizer, the update.

    Attributes:
        title: what was derived.
        introduction: paragraphs before the first step; of a lesson.
        remarks: by the number of a step, what a lesson says behind it.
        variables: all tensors, by their ids.
        steps: in their order.
        objective: the equations of the objective: what L is made of, and J = L + s where there is a penalty.
        flow: how large gradients are from layer to layer, from the first to the last.
        findings: vanishing and exploding gradients, dead and saturated units.
        fused: what fusion made of the step, a line for each kind of place; empty for an unfused derivation.
        parameters: bytes of the parameters.
        batch: bytes of the batch.
    """

    title: str
    variables: list[Variable]
    steps: list[Step]
    objective: list[Formula] = field(default_factory=list)
    flow: list[Flow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    parameters: int = 0
    batch: int = 0
    introduction: list[str] = field(default_factory=list)
    remarks: dict[int, str] = field(default_factory=dict)
    objective_at: Callable[[str, tuple[int, ...]], tuple[float, float, str]] | None = field(
        default=None, repr=False, compare=False
    )
    """The central difference of J by an element of a parameter: (difference, h, type); set by `explain`."""

    @property
    def memory(self) -> list[int]:
        """The memory in use at each step, in bytes, without parameters and batch."""
        return [step.live_bytes for step in self.steps]

    def __getitem__(self, name: str) -> Variable:
        """The variable of that name, such as ``derivation["dW1"]``, or with that path in the model.

        Raises:
            KeyError: there is none; the message lists the names.
        """
        for v in self.variables:
            if name in (v.name, v.path):
                return v
        names = ", ".join(v.name for v in self.variables)
        raise KeyError(f"there is no variable {name!r} in the derivation; there are {names}")

    def path(self, weight: str, index: int | tuple[int, ...]) -> Path:
        """How J depends on one element of a weight, and its gradient beside the central difference.

        Args:
            weight: its name in the derivation, such as "W1", or in the model, such as "0.weight".
            index: which element.

        Raises:
            KeyError: there is no such variable.
            IndexError: there is no such element.
            ValueError: it is no parameter with a gradient, or the derivation has no numbers.
        """
        v = self[weight]
        where = index if isinstance(index, tuple) else (index,)
        if v.role != "parameter" or v.gradient is None:
            raise ValueError(f"{v.name} is no parameter with a gradient; it is: {v.role}")
        if v.value is None or self.objective_at is None:
            raise ValueError("the derivation has no numbers: the model is on the device meta, or fused")
        if len(where) != len(v.shape) or not all(-n <= i < n for i, n in zip(where, v.shape)):
            raise IndexError(f"{v.name} has the shape {v.shape}; there is no element {where}")
        where = tuple(i % n for i, n in zip(where, v.shape))
        gradient = self.variables[v.gradient].value
        assert gradient is not None
        difference, h, dtype = self.objective_at(v.path, where)
        forward, backward = self.ways(v)
        return Path(v.id, where, float(v.value[where]), forward, backward, float(gradient[where]), difference, h, dtype)

    def ways(self, v: Variable) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The steps by which the loss depends on a variable, and those that lead back to its gradient, by number."""
        after, forward = {v.id}, []
        losses = {x.id for x in self.variables if x.role == "loss"}
        for step in self.steps:
            if step.phase == "forward" and after.intersection(step.inputs):
                after.update(step.outputs)
                forward.append(step)
        needed, kept = set(losses), []
        for step in reversed(forward):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
                kept.append(step.number)
        way = {i for n in kept for i in self.steps[n - 1].outputs} | {v.id}
        back = [
            step.number
            for step in self.steps
            if step.phase == "backward" and any(self.variables[i].of in way for i in step.outputs)
        ]
        return tuple(reversed(kept)), tuple(back)

    def to_dict(self, most: int | None = 1024) -> dict[str, Any]:
        """All of it as dictionaries, lists, strings and numbers.

        Args:
            most: elements of variables with more than so many are left out; None for all.
        """
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "objective_at"}
        told: dict[str, Any] = {name: _plain(value, most) for name, value in found.items()}
        return {**told, "memory": self.memory}


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers under a head."""

    head: tuple[str, ...]
    rows: list[list[str]]


@dataclass(frozen=True)
class Lesson:
    """What there is to learn, with the networks that show it.

    Attributes:
        name: of `gpunn explain --lesson`.
        title: in a few words.
        parts: paragraphs, formulas, tables and derivations, in order.
    """

    name: str
    title: str
    parts: list[str | Formula | Table | Derivation]

    @property
    def derivation(self) -> Derivation:
        """The first one."""
        return next(part for part in self.parts if isinstance(part, Derivation))

    def to_dict(self, most: int | None = 1024) -> dict[str, Any]:
        """All of it as dictionaries, lists and strings; derivations as `Derivation.to_dict` gives them."""
        parts = [p.to_dict(most) if isinstance(p, Derivation) else _plain(p, most) for p in self.parts]
        return {"name": self.name, "title": self.title, "parts": parts}


def _plain(value: Any, most: int | None) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist() if most is None or value.size <= most else None
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), most) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(x, most) for x in value]
    if isinstance(value, dict):
        return {str(key): _plain(x, most) for key, x in value.items()}
    return value
