"""Names as in textbooks: X, W1, b1, Z1, A1, dZ1, L."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from gpunn.plan.graph import Compute, Value
from gpunn.printing import printable

AFFINE = ("LinearActivation", "Conv2d", "Conv2dInputGrad", "MatMul", "Embedding")
NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "BatchNormInference")
LOSSES = ("SoftmaxCrossEntropy", "NLLLoss", "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits")
_LETTERS = {
    **{"Activation": "A", "Sigmoid": "A", "Tanh": "A", "MaxPool2d": "P", "AvgPool2d": "P", "AdaptiveAvgPool2d": "P"},
    **{"Add": "R", "Dropout": "D", "Softmax": "S", "LogSoftmax": "S", "Mean": "M", "Reshape": "F", "Im2Col": "C"},
    **dict.fromkeys(NORMS, "N"),
}
"""The letters of results; H is that of all others."""
_PARAMETERS = {"weight": "W", "bias": "b"}
_STATISTICS = {"running_mean": "mean", "running_var": "var", "num_batches_tracked": "batches"}


class Names:
    """Names of the values of a forward, each once; a second value with the same name gets its number: Z1(2).

    A layer with a weight has a number, and what comes behind it has the same: Z1 = X W1^T + b1, A1 = max(Z1, 0).

    Args:
        nodes: the forward, in order.
        loss: L.
    """

    def __init__(self, nodes: Iterable[Compute], loss: Value):
        self.of: dict[int, str] = {}
        self._taken: Counter[str] = Counter()
        self._layer = 0
        self._layers: dict[int, int] = {}
        self._losses = 0
        self._roots: dict[int, Value] = {}
        nodes = list(nodes)
        readers: dict[int, list[Compute]] = {}
        for node in nodes:
            for x in node.reads():
                readers.setdefault(id(x), []).append(node)
        for node in nodes:
            if node.op.view and isinstance(node.inputs[0], Value):
                root = self._root(node.inputs[0])
                if root.name:
                    self._roots.update((id(y), root) for y in node.outputs)
        scalars = _leading_to(nodes, loss)
        for node in nodes:
            if any(id(y) in self._roots for y in node.outputs):
                continue
            self._name_parameters(node, readers)
            for place, y in enumerate(node.outputs):
                self.of[id(y)] = self.unique("L" if y is loss else self._letter(node, place, y, scalars, readers))
        for node in nodes:
            for y in node.outputs:
                if id(y) in self._roots:
                    self.of[id(y)] = self.unique(self.of.get(id(self._roots[id(y)]), "H"))

    def unique(self, name: str) -> str:
        """The name, with a number if it is taken, in the place of one that it has."""
        name = re.sub(r"\(\d+\)$", "", name)
        self._taken[name] += 1
        count = self._taken[name]
        return name if count == 1 else f"{name}({count})"

    def state(self, value: Value) -> str:
        """The name of a parameter, a buffer or a constant that no layer reads."""
        if id(value) not in self.of:
            last = value.name.rpartition(".")[2]
            self.of[id(value)] = self.unique(_as_letter(_STATISTICS.get(last, last)) or "c")
        return self.of[id(value)]

    def _root(self, value: Value) -> Value:
        return self._roots.get(id(value), value)

    def _is_parameter(self, x: Any) -> bool:
        return isinstance(x, Value) and bool(self._root(x).name)

    def _name_parameters(self, node: Compute, readers: dict[int, list[Compute]]) -> None:
        """Number the layer, and name the parameters and buffers that it reads."""
        kind = node.op.name
        states = [self._root(x) for x in node.reads() if self._is_parameter(x)]
        if kind in LOSSES:  # the weights of classes
            states += [x for x in node.reads() if x.state is not None and not x.name]
        weights = [s for s in states if s.spec.ndim > 1 or kind in ("Mul", "MatMul")]
        if weights and kind not in (*NORMS, "MoveStatistics") and not (kind == "Mul" and _is_scale(weights[0])):
            known = self._layers.get(id(weights[0]))
            if known is None:
                self._layers[id(weights[0])] = known = max(self._layers.values(), default=0) + 1
            self._layer = known
        for s in states:
            if id(s) in self.of:
                continue
            last = s.name.rpartition(".")[2]
            if kind in LOSSES and not s.name:
                self.of[id(s)] = self.unique("w")
                continue
            if kind in NORMS:
                letters = {"weight": "gamma", "bias": "beta"} | _STATISTICS
            else:
                letters = _PARAMETERS | _STATISTICS
            base = letters.get(last)
            self.of[id(s)] = self.unique(f"{base}{self._layer}" if base else _as_letter(last) or f"W{self._layer}")

    def _letter(self, node: Compute, place: int, y: Value, losses: set[int], readers: dict[int, list[Compute]]) -> str:
        kind, op = node.op.name, node.op
        if kind == "MoveStatistics":
            names = [x for x in node.inputs if isinstance(x, Value) and x.state is not None]
            return self.state(names[place]) + "'" if place < len(names) else f"H{self._layer}"
        if place:
            further = {"MaxPool2d": ("K",), "SoftmaxCrossEntropy": ("m", "s")}.get(kind, ("mu", "v"))
            letter = "Z" if kind in ("LinearActivation", "Conv2d") else further[min(place, len(further)) - 1]
            return f"{letter}{self._layer}"
        if id(y) in losses:
            self._losses += 1
            return f"L{self._losses}"
        if kind in AFFINE and any(self._is_parameter(x) for x in node.reads()):
            letter = "E" if kind == "Embedding" else "Z" if getattr(op, "activation", "none") == "none" else "A"
            behind = readers.get(id(y), [])
            if kind == "MatMul" and len(behind) == 1 and self._adds_bias(behind[0]):
                letter = "U"
        elif self._adds_bias(node) or (kind == "Mul" and any(self._is_parameter(x) for x in node.reads())):
            letter = "Z"
        else:
            letter = _LETTERS.get(kind, "H")
        return f"{letter if y.spec.ndim else letter.lower()}{self._layer}"

    def _adds_bias(self, node: Compute) -> bool:
        return node.op.name == "Add" and any(self._is_parameter(x) for x in node.reads())


def _is_scale(value: Value) -> bool:
    """Whether a parameter scales channels, as that of a norm written by hand."""
    return value.name.rpartition(".")[2] in ("gamma", "scale", "g")


def _as_letter(name: str) -> str:
    """A name of one's own, where it is one that stands in formulas: a word with or without a number."""
    return printable(name if name.isidentifier() and "_" not in name else name.replace("_", "-").strip("-"), keep="")


def _leading_to(nodes: list[Compute], loss: Value) -> set[int]:
    """The ids of single numbers that are losses: those of loss ops and means, and what is made of them alone."""
    found: set[int] = set()
    for node in nodes:
        y = node.outputs[0]
        if y is loss or y.spec.numel() != 1 or y.spec.ndim:
            continue
        read = list(node.reads())
        if (
            node.op.name in LOSSES
            or (node.op.name in ("Mean", "Sum") and read[0].spec.ndim)
            or (read and all(id(x) in found for x in read))
        ):
            found.add(id(y))
    return found
