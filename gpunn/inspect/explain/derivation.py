"""What a derivation is made of: variables, steps and findings, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

ROLES = ("input", "target", "parameter", "buffer", "constant", "activation", "loss", "gradient", "state")
PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Statistics:
    """What there is to say of a tensor that is too large to be looked at; NaN and infinities are left out.

    Attributes:
        norm: the root of the sum of squares.
        zeros: the share of elements that are 0.
        not_finite: how many elements are NaN or infinite.
    """

    mean: float
    std: float
    min: float
    max: float
    norm: float
    zeros: float
    not_finite: int


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
        variables: all tensors, by their ids.
        steps: in their order.
        objective: the equations of the objective: what L is made of, and J = L + s where there is a penalty.
        findings: vanishing and exploding gradients, dead and saturated units.
        fused: what fusion made of the step, a line for each kind of place; empty for an unfused derivation.
        parameters: bytes of the parameters.
        batch: bytes of the batch.
    """

    title: str
    variables: list[Variable]
    steps: list[Step]
    objective: list[Formula] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    parameters: int = 0
    batch: int = 0

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

    def to_dict(self) -> dict[str, Any]:
        """All of it as dictionaries, lists, strings and numbers; elements as nested lists."""
        found = asdict(self)
        for v in found["variables"]:
            v["value"] = None if v["value"] is None else v["value"].tolist()
        return {**found, "memory": self.memory}
