"""Fusion: several ops become one that does the same in fewer passes over memory.

A rule is a function that changes a graph and says, place by place, what it did, and what it did not do and why. Rules
are small and independent of one another, and each can be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gpunn.ops.activation import Activation, derivative_from_output
from gpunn.ops.conv import Conv2d
from gpunn.ops.linear import LinearActivation
from gpunn.ops.math import Sigmoid, Tanh

from .graph import Compute, Graph, Value
from .simplify import Uses


@dataclass(frozen=True)
class Note:
    """What a rule did, or did not do, at one place.

    Attributes:
        rule: its name.
        where: the ops, as "LinearActivation float32[32, 512] + relu".
        reason: why it was not done; empty if it was.
    """

    rule: str
    where: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}" + (f": not fused, {self.reason}" if self.reason else "")


def affine_activation(graph: Graph) -> Iterator[Note]:
    """A linear layer or a convolution with the activation behind it: one op, one pass over the result."""
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not isinstance(node, Compute) or not isinstance(node.op, (LinearActivation, Conv2d)):
            continue
        if node.op.activation != "none":
            continue
        z = node.outputs[0]
        activation = next((n for n in uses.of(z) if isinstance(n, Compute) and _activation(n.op)), None)
        if activation is None:
            continue
        kind, parameter = _activation(activation.op)
        where = f"{node.name} {z.spec!r} + {kind}"
        if not derivative_from_output(kind, parameter):
            yield Note("affine_activation", where, f"the derivative of {kind} needs what goes into it")
        elif not uses.only_read_by(z, activation):
            others = sorted({n.name for n in uses.of(z) if n is not activation}) or ["the result of the step"]
            yield Note("affine_activation", where, f"{', '.join(others)} needs what goes into {kind}")
        else:
            _join(graph, node, activation, replace(node.op, activation=kind, parameter=parameter))
            yield Note("affine_activation", where)


Rule = Callable[[Graph], Iterator[Note]]
RULES: dict[str, Rule] = {"affine_activation": affine_activation}


def check_rules(names: Iterable[str]) -> None:
    """Raise a ValueError unless there are rules of these names."""
    for name in names:
        if name not in RULES:
            raise ValueError(f"there is no fusion rule {name!r}; there are: {', '.join(RULES)}")


def apply_rules(graph: Graph, names: Iterable[str]) -> list[Note]:
    """Apply the rules of these names, one after the other."""
    return [note for name in names for note in RULES[name](graph)]


def _activation(op: Any) -> Any:
    """Kind and parameter of an op that is an activation, else None."""
    if isinstance(op, Activation):
        return op.kind, op.parameter
    return ("sigmoid", 0.0) if isinstance(op, Sigmoid) else ("tanh", 0.0) if isinstance(op, Tanh) else None


def _join(graph: Graph, first: Compute, second: Compute, op: Any) -> None:
    """Put `op` on the inputs of `first` in its place, with the result of `second`, which goes."""
    result: Value = second.outputs[0]
    first.op, first.outputs = op, (result,)
    result.node = first
    graph.nodes.remove(second)
