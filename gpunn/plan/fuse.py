"""Fusion: several ops become one that does the same in fewer passes over memory.

A rule is a function that changes a graph and says, place by place, what it did, and what it did not do and why. Rules
are small and independent of one another, a file each in `gpunn.plan.rules`, and each can be left out:
``TrainStep(..., fuse=["affine_activation"])`` applies that one alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from .graph import Graph
from .rules.activation_gradient import activation_gradient
from .rules.affine_activation import affine_activation
from .rules.convolution_statistics import convolution_statistics
from .rules.elementwise_chain import elementwise_chain
from .rules.linear_and_sum import linear_and_sum
from .rules.linear_cross_entropy import linear_cross_entropy
from .rules.loss_gradient import loss_gradient
from .rules.norm_and_sum import norm_and_sum
from .rules.note import Note as Note
from .rules.pooled_convolution import pooled_convolution, pooled_weight_gradient
from .rules.pooled_linear_gradient import pooled_linear_gradient
from .rules.pooled_norm import pooled_norm, pooled_norm_gradient
from .rules.pooled_slope import pooled_slope
from .rules.product_update import product_update
from .rules.softmax_cross_entropy import softmax_cross_entropy
from .rules.tracked_norm import tracked_norm

Rule = Callable[[Graph], Iterator[Note]]
RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        affine_activation,
        tracked_norm,
        softmax_cross_entropy,
        loss_gradient,
        linear_cross_entropy,
        pooled_slope,
        pooled_convolution,
        pooled_weight_gradient,
        activation_gradient,
        pooled_norm,
        pooled_norm_gradient,
        pooled_linear_gradient,
        norm_and_sum,
        convolution_statistics,
        linear_and_sum,
        product_update,
        elementwise_chain,
    )
}
"""The rules by their names, in the order in which they are applied: chains take what is left."""


def check_rules(names: Iterable[str]) -> None:
    """Raise a ValueError unless there are rules of these names."""
    for name in names:
        if name not in RULES:
            raise ValueError(f"there is no fusion rule {name!r}; there are: {', '.join(RULES)}")


def apply_rules(graph: Graph, names: Iterable[str]) -> list[Note]:
    """Apply the rules of these names, one after the other."""
    return [note for name in names for note in RULES[name](graph)]


def explain(notes: Sequence[Note]) -> str:
    """What was fused, and what was not and why, a line for all places that are alike."""
    lines = [
        (n.rule, f"{f'{count} x ' if count > 1 else ''}{n.where}", n.reason) for n, count in Counter(notes).items()
    ]
    rules, places = (max((len(line[k]) for line in lines), default=0) for k in (0, 1))
    said = [
        f"{rule:<{rules}}  {where:<{places}}  {f'not fused: {reason}' if reason else 'fused'}"
        for rule, where, reason in lines
    ]
    return "\n".join(said) or "nothing to fuse"
