"""What is said of a step: why shapes fit, what is kept for which gradient, where gradients add up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.plan.graph import Compute, Value
from gpunn.printing import bytes_text

from .derivation import Step, Variable
from .formula.of_op import formulas_of
from .formula.render import unicode_name

if TYPE_CHECKING:
    from .build import Builder
    from .draft import Draft

TITLES = {
    **{
        "LinearActivation": "affine map",
        "Conv2d": "convolution",
        "MatMul": "matrix product",
        "BatchNorm": "batch norm",
    },
    **{"MaxPool2d": "max pooling", "AvgPool2d": "average pooling", "AdaptiveAvgPool2d": "average pooling"},
    **{"SoftmaxCrossEntropy": "softmax and cross entropy", "NLLLoss": "negative log likelihood", "Add": "sum"},
    **{
        "MoveStatistics": "running statistics",
        "Im2Col": "unfold",
        "Col2Im": "fold",
        "Mul": "product",
        "Sub": "difference",
        "Div": "quotient",
    },
    **{"BinaryCrossEntropyWithLogits": "sigmoid and cross entropy", "BinaryCrossEntropy": "binary cross entropy"},
}
"""What ops are called, where their name says it less well."""


def title(draft: Draft) -> str:
    """What a step does, in a few words."""
    if draft.kind == "seed":
        return "start of the way back"
    if draft.kind == "penalty":
        return "objective"
    if draft.kind in ("decay", "decayed"):
        return "gradient of the penalty"
    if draft.kind == "add":
        return "gradients add up"
    if draft.kind == "copy":
        return "gradient of its own"
    if draft.phase == "update":
        return f"update by {draft.op}"
    node = draft.gradient.of if draft.gradient is not None else draft.nodes[0]
    name = _op_title(node.op) if isinstance(node, Compute) else draft.op
    return f"gradient of {name}" if draft.phase == "backward" and draft.gradient is not None else name


def _op_title(op: Any) -> str:
    kind = getattr(op, "activation", getattr(op, "kind", "none"))
    base = TITLES.get(op.name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", op.name).lower()
    if op.name == "Activation":
        return str(kind)
    return base if kind == "none" or not isinstance(kind, str) else f"{base} and {kind}"


class Sentences:
    """Says what there is to say of the steps of a builder.

    Args:
        builder: whose steps have their numbers.
        steps: the steps.
    """

    def __init__(self, builder: Builder, steps: Sequence[Step]):
        self._b = builder
        self._variables = builder.variables
        self._steps = steps
        self._freed: dict[int, list[Variable]] = {}
        for v in builder.variables:
            if v.freed_after is not None and v.role in ("activation", "gradient"):
                self._freed.setdefault(v.freed_after, []).append(v)

    def of(self, draft: Draft, step: Step) -> list[str]:
        """The sentences of one step."""
        found = list(self._shapes(draft, step))
        found += self._memory(draft, step)
        if draft.phase == "forward":
            found += self._kept(step)
        if draft.phase == "backward":
            found += self._backward(draft, step)
            found += self._source(draft)
        return found

    def _source(self, draft: Draft) -> Iterator[str]:
        """Where the gradient of an op is to be found in books."""
        of = draft.gradient.of if draft.gradient is not None else None
        if isinstance(of, Compute) and of.name != "Activation" and (source := formulas_of(type(of.op)).source):
            yield f"Source: {source}."

    # Words ------------------------------------------------------------------------------------------------------------

    def _name(self, v: int | Variable) -> str:
        return unicode_name((self._variables[v] if isinstance(v, int) else v).name)

    def _with_shape(self, v: int) -> str:
        return f"{self._name(v)} {shape_text(self._variables[v].shape)}"

    def _of(self, value: Any) -> int | None:
        return self._b.of_value.get(id(value)) if isinstance(value, Value) else None

    # Shapes -----------------------------------------------------------------------------------------------------------

    def _shapes(self, draft: Draft, step: Step) -> Iterator[str]:
        if draft.kind == "seed":
            yield "Every gradient is that of one number, the loss; with respect to itself that is 1."
        elif draft.kind == "penalty":
            yield (
                f"λ = {self._b.l2:g}, and s is over the weights of two or more dimensions, not over biases "
                "(Goodfellow et al. 2016, 7.1). The gradient of s is λ W."
            )
        elif draft.kind == "decayed":
            yield "J = L + s, so the gradient is that of the loss and that of the penalty: each weight is drawn to 0."
        elif draft.kind == "copy":
            yield "What was passed back shows memory of something else; a parameter's gradient gets memory of its own."
        elif draft.phase == "forward" and isinstance(draft.nodes[0], Compute):
            yield from self._forward_shapes(draft.nodes[0])
        elif draft.gradient is not None and isinstance(draft.gradient.of, Compute):
            yield from self._backward_shapes(draft.gradient.of, draft, step)

    def _forward_shapes(self, node: Compute) -> Iterator[str]:
        op, specs = node.op, [x.spec if isinstance(x, Value) else x for x in node.inputs]
        ids = [self._of(x) for x in node.inputs]
        y = self._of(node.outputs[0])
        assert y is not None
        if op.name in ("LinearActivation", "MatMul") and None not in ids[:2]:
            x, w = ids[0], ids[1]
            assert x is not None and w is not None
            a, b = specs[0].shape, specs[1].shape
            if op.name == "LinearActivation":
                rows = "" if len(a) == 2 else f", seen as {shape_text((prod(a[:-1]), a[-1]))},"
                yield (
                    f"{self._with_shape(x)}{rows} has a sample in each row. {self._with_shape(w)} is stored as (out, "
                    "in), "
                    f"so its transpose {shape_text(b[::-1])} fits: {product_text((prod(a[:-1]), a[-1]), b[::-1])}."
                )
                if len(ids) > 2 and ids[2] is not None:
                    yield f"{self._with_shape(ids[2])} is added to every row."
            elif len(a) > 1 and len(b) > 1:
                yield f"The inner sizes {a[-1]} meet: {product_text(a[-2:], b[-2:])}."
        elif op.name == "Conv2d":
            yield from self._convolution(op, specs, y)
        elif op.name == "MaxPool2d":
            yield (
                f"Of each window of {_by(op.kernel)} the largest element; {self._name(node_id(self._b, node, 1))} says "
                "where it stood, which is all that the gradient needs."
            )
        elif op.name == "BatchNorm":
            shape = specs[0].shape
            n = prod(shape) // shape[1]
            yield (
                f"Mean and variance of each of the {shape[1]} channels are over {n} elements: all samples of the "
                "batch, "
                "so a sample's result depends on the others."
            )
        elif op.name == "MoveStatistics":
            yield "Evaluation uses these running means; they are state, and have no gradient."
        elif op.name == "SoftmaxCrossEntropy":
            yield (
                f"S has the shape of {self._with_shape(ids[0] or 0)}; the S of a sample are positive and add up to 1, "
                "and the label's is what the loss looks at."
            )
        elif op.name not in ("Reshape", "Permute"):
            shapes = {s.shape for s in specs if hasattr(s, "shape")}
            if len(shapes) > 1 and all(not i or self._variables[i].dtype != "bool" for i in ids):
                small = [i for i in ids if i is not None and self._variables[i].shape != self._variables[y].shape]
                if small and op.name in ("Add", "Sub", "Mul", "Div"):
                    yield f"{self._with_shape(small[0])} is broadcast to {shape_text(self._variables[y].shape)}."

    def _convolution(self, op: Any, specs: Sequence[Any], y: int) -> Iterator[str]:
        n = specs[0].shape[0]
        o, per_group, kh, kw = specs[1].shape
        oh, ow = self._variables[y].shape[2:]
        k = per_group * kh * kw
        told = f"stride {_by(op.stride)}, padding {_by(tuple(p[0] for p in op.padding))}"
        groups = "" if op.groups == 1 else f", in each of {op.groups} groups"
        yield (
            f"With the patches of each image unfolded into columns, ({k:,}, {oh * ow:,}), it is a matrix "
            f"product{groups}: "
            f"{product_text((o // op.groups, k), (k, oh * ow))}, for each of {n} samples; {told}."
        )

    def _backward_shapes(self, of: Compute, draft: Draft, step: Step) -> Iterator[str]:
        gives = {place: v for (place, _), v in zip(draft.gradient.gives, draft.outputs)}  # type: ignore[union-attr]
        ids = [self._of(x) for x in of.inputs]
        dy = draft.inputs[0] if draft.inputs else None
        op = of.op
        if dy is None:
            return
        d, g = self._name(dy), self._variables[dy].shape
        if op.name == "LinearActivation":
            rows = (prod(g[:-1]), g[-1])
            if 0 in gives and ids[1] is not None:
                w = self._variables[ids[1]].shape
                yield (
                    f"{self._name(gives[0])} has the shape of {self._with_shape(ids[0] or 0)}: "
                    f"{product_text(rows, w)}, without a transpose, since {self._name(ids[1])} is stored as (out, in)."
                )
            if 1 in gives and ids[0] is not None:
                x = self._variables[ids[0]].shape
                inner = (prod(x[:-1]), x[-1])
                summed = "samples" if len(g) < 3 else "rows of all samples"
                yield (
                    f"{self._name(gives[1])} has the shape of {self._with_shape(ids[1] or 0)}: {d}ᵀ "
                    f"{product_text(rows[::-1], inner)}. The inner {rows[0]:,} are the {summed}; they add up."
                )
        elif op.name == "MatMul" and len(g) > 1:
            a, b = (self._variables[i].shape if i is not None else () for i in ids[:2])
            if 0 in gives and len(b) > 1:
                product = product_text(g[-2:], b[-2:][::-1])
                yield f"{self._name(gives[0])}: {product}, the shape of {self._name(ids[0] or 0)}."
            if 1 in gives and len(a) > 1:
                product = product_text(a[-2:][::-1], g[-2:])
                yield f"{self._name(gives[1])}: {product}, the shape of {self._name(ids[1] or 0)}."
        elif op.name == "Conv2d" and 1 in gives and ids[1] is not None:
            o, per_group, kh, kw = self._variables[ids[1]].shape
            n, positions, k = g[0], prod(g[2:]), per_group * kh * kw
            yield (
                f"{self._name(gives[1])}: {product_text((o // op.groups, positions), (positions, k))} for each of {n} "
                f"samples, added up: a weight is used at {positions:,} positions, and gets a gradient from each."
            )
            if 0 in gives:
                dx = self._name(gives[0])
                yield f"{dx}: each column of Wᵀ {d} goes back to its patch, and where patches overlap they add up."
        elif op.name == "MaxPool2d":
            yield "The gradient goes to the element that was the largest; the others of a window get 0."
        elif op.name == "Activation" and op.kind == "relu":
            yield "Where the ReLU was 0 nothing passes; elsewhere the gradient passes as it is."
        elif op.name in ("Sigmoid", "Tanh"):
            most = {"Sigmoid": "1/4", "Tanh": "1"}[op.name]
            yield f"The slope is at most {most}, and near 0 where the function is saturated."
        elif op.name == "SoftmaxCrossEntropy":
            simple = ids[2] is None and not op.label_smoothing
            labels = "the one-hot labels" if simple else "the labels as they are smoothed and weighted"
            yield f"Softmax and logarithm cancel: what is left is the probabilities less {labels}."
        elif op.name == "BatchNorm":
            yield "The two means are the ways through mean and variance, on which all samples have an influence."
        elif not draft.nodes and op.name in ("Add", "Sub"):
            yield "A sum passes its gradient on to each of its terms as it is."

    # Memory and time --------------------------------------------------------------------------------------------------

    def _memory(self, draft: Draft, step: Step) -> Iterator[str]:
        for node in draft.nodes:
            if not isinstance(node, Compute):
                continue
            for y in node.outputs:
                owner, mine = self._b.lives.owner(y), self._of(y)
                theirs = self._of(owner)
                if owner is None or mine is None or theirs is None or mine not in draft.outputs:
                    continue
                if id(node) in self._b.lives.views:
                    yield f"{self._name(mine)} shows the memory of {self._name(theirs)}; nothing is copied."
                elif owner.state is None:
                    yield f"{self._name(mine)} is written where {self._name(theirs)} was, which nobody reads any more."

    def _kept(self, step: Step) -> Iterator[str]:
        for i in step.outputs:
            v = self._variables[i]
            later = [n for n in v.read_by if self._steps[n - 1].phase == "backward"]
            if later:
                until = f"; its memory is free after step {v.freed_after}" if v.freed_after is not None else ""
                size = bytes_text(v.nbytes)
                yield f"{self._name(v)} is kept ({size}) for the gradient in {_steps(later)}{until}."
            elif v.gradient is not None and v.role == "activation" and self._is_freed_by_its_reader(v):
                yield f"No gradient needs {self._name(v)}: its memory is free after step {v.freed_after}."
            forward = [n for n in v.read_by if self._steps[n - 1].phase == "forward"]
            if v.gradient is not None and len(forward) > 1 and v.role == "activation":
                yield f"{self._name(v)} is read by {_steps(forward)}: its gradient is the sum of what they give back."

    @staticmethod
    def _is_freed_by_its_reader(v: Variable) -> bool:
        return v.freed_after is not None and bool(v.read_by) and v.freed_after <= max(v.read_by)

    def _backward(self, draft: Draft, step: Step) -> Iterator[str]:
        if draft.kind == "add":
            x = self._variables[self._variables[step.outputs[0]].of or 0]
            readers = [n for n in x.read_by if self._steps[n - 1].phase == "forward"]
            shared = "is a weight that is used" if x.role == "parameter" else "is read"
            where = f" by {_steps(readers)}" if readers else " several times"
            yield (
                f"{self._name(x)} {shared}{where}: the loss depends on it in several ways, and the gradients of all of "
                "them "
                "add up (chain rule of several variables; Goodfellow et al. 2016, 6.5.2)."
            )
        again = [node for node in draft.nodes if isinstance(node, Compute) and node.again]
        if again:
            layers = ", ".join(dict.fromkeys(node.layer or node.name for node in again))
            yield (
                f"A checkpoint kept nothing of the forward of {layers}: it is done again here, which takes time and "
                "saves "
                "memory (Chen et al. 2016, Training deep nets with sublinear memory cost)."
            )
        if draft.gradient is not None and isinstance(draft.gradient.of, Compute) and draft.nodes:
            yield from self._product(draft)
            waiting = [
                self._name(i)
                for x in draft.gradient.of.inputs
                if (i := self._of(x)) is not None and self._variables[i].role == "input"
            ]
            if waiting and draft.outputs:
                yield f"{waiting[0]} is data: nobody needs its gradient, and it is not computed."
        memories = {v.memory: v for v in self._freed.get(step.number, ())}  # of several in one memory the last
        if memories:
            names = [self._name(v) for v in memories.values()]
            told = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            size = bytes_text(sum(v.nbytes for v in memories.values()))
            yield f"Behind this step the memory of {told} is free ({size})."

    def _product(self, draft: Draft) -> Iterator[str]:
        """The size of the Jacobian that is not made."""
        dy = self._variables[draft.inputs[0]] if draft.inputs else None
        out = [self._variables[v] for v in draft.outputs]
        if dy is None or not out or dy.of is None or not prod(dy.shape):
            return
        n = prod(dy.shape)
        largest = max(out, key=lambda v: prod(v.shape))
        m, size = prod(largest.shape), n * prod(largest.shape) * (largest.nbytes // max(1, prod(largest.shape)))
        if largest.of is None or n * m < 2:
            return
        y, x = self._name(dy.of), self._name(largest.of)
        yield (
            f"It is a product of a vector with a Jacobian: ∂{y}/∂{x} would be a matrix of {n:,} x {m:,} "
            f"({bytes_text(size)}), which the gradient never makes."
        )


def node_id(builder: Builder, node: Compute, place: int) -> int:
    """The variable of one of a node's results."""
    return builder.of_value[id(node.outputs[place])]


def shape_text(shape: Sequence[int]) -> str:
    """(5, 8), and (8,) and () as Python writes them."""
    return str(tuple(shape))


def product_text(a: Sequence[int], b: Sequence[int]) -> str:
    """(5, 4) (4, 8) -> (5, 8)."""
    return f"{shape_text(a)} {shape_text(b)} → {shape_text((a[0], b[1]))}"


def _by(sizes: Any) -> str:
    sizes = sizes if isinstance(sizes, tuple) else (sizes,)
    return (
        " x ".join(map(str, sizes))
        if len(set(sizes)) > 1 or len(sizes) == 1
        else f"{sizes[0]}"
        if len(sizes) != 2
        else f"{sizes[0]} x {sizes[1]}"
    )


def _steps(numbers: Sequence[int]) -> str:
    numbers = list(dict.fromkeys(numbers))
    if len(numbers) == 1:
        return f"step {numbers[0]}"
    return f"steps {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
