"""Losses on classes with layers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from gpunn.ops import argmax, cat, ge, logical_and, lt, where
from gpunn.ops.base import shape_error
from gpunn.tensor import Tensor

from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .loss import _WeightedLoss
from .module import Module


class AdaptiveLoss(NamedTuple):
    """The result of `AdaptiveLogSoftmaxWithLoss`."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over many classes, of which rare ones stand in clusters with smaller layers.

    ln p(c) = ln p(c) of the head for frequent classes, else ln p(cluster) of the head + ln p(c) within the cluster
    (Grave et al. 2017, "Efficient softmax approximation for GPUs"). All clusters are computed for all samples, which
    needs no look at the targets.

    Shapes:
        input (N, in_features) or (in_features,), target (N,) or (); output of the target's shape, loss ()

    Args:
        in_features: size of the input.
        n_classes: how many classes, sorted by frequency.
        cutoffs: where clusters begin, in order: classes below the first are in the head.
        div_value: cluster i has in_features / div_value^(i + 1) features.
        head_bias: whether the head has a bias.

    Attributes:
        head: `Linear` to the frequent classes and the clusters.
        tail: for each cluster two `Linear` without bias.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        cuts = list(cutoffs)
        if (
            not cuts
            or cuts != sorted({*cuts})
            or cuts[0] < 1
            or cuts[-1] >= n_classes
            or any(int(c) != c for c in cuts)
        ):
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of unique, positive integers sorted in an "
                f"increasing order, where each value is between 1 and n_classes-1={n_classes - 1}, got {cuts}"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = cuts[0]
        self.n_clusters = len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        made = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, head_bias, **made)
        self.tail = ModuleList()
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            size = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(Linear(in_features, size, False, **made), Linear(size, last - first, False, **made))
            )

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        for layer in (self.head, *(linear for cluster in self.tail for linear in cluster)):
            layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> AdaptiveLoss:
        """ln p of each target, and the mean of -ln p."""
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1 or input_.shape[:-1] != target_.shape:
            raise shape_error(
                "AdaptiveLogSoftmaxWithLoss",
                f"takes (N, {self.in_features}) and targets (N,), or no N; got {input_._spec!r} and {target_._spec!r}",
            )
        x, target = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        head = F.log_softmax(self.head(x), 1)
        # In the head: the class itself, or the place of its cluster; a class that there is not is no place either.
        place, output = target, x.new_zeros(target.shape)
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            inside = logical_and(ge(target, first), lt(target, last))
            place = where(inside, self.shortlist_size + i, place)
            within = F.log_softmax(self.tail[i](x), 1).gather(1, where(inside, target - first, 0).unsqueeze(1))
            output = output + where(inside, within.squeeze(1), 0.0)
        place = where(ge(target, self.n_classes), self.head_size, place)
        output = output + head.gather(1, place.unsqueeze(1)).squeeze(1)
        return AdaptiveLoss(output if target_.ndim else output.squeeze(0), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """ln p of all classes: (N, in_features) -> (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            of_cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(self.tail[i](input), 1) + of_cluster)
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each sample, (N,)."""
        return argmax(self.log_prob(input), 1)


class LinearCrossEntropyLoss(_WeightedLoss):
    """`CrossEntropyLoss` of the scores that a linear layer makes of the input.

    Args:
        in_features: size of the input (N, in_features) or (in_features,).
        num_classes: C.
        out_features: (d_1, ...) for scores (N, C, d_1, ...).
        bias: whether the linear layer has one.
        reduction: as in `CrossEntropyLoss`, and so are `weight`, `ignore_index` (None: -100) and `label_smoothing`.
        weight: see there.
        ignore_index: see there.
        label_smoothing: see there.
        options: None; see `gpunn.nn.functional.linear_cross_entropy`.

    Attributes:
        linear: `Linear` with C d_1 ... outputs.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: None = None,
    ):
        super().__init__(weight, reduction)
        self.num_classes, self.out_features = num_classes, out_features
        self.ignore_index, self.label_smoothing, self.options = ignore_index, label_smoothing, options
        self.linear = Linear(in_features, num_classes * prod(out_features), bias, device, dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, -1),
            target,
            linear_bias=None if self.linear.bias is None else self.linear.bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, reduction={self.reduction}, "
            f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}, options={self.options}"
        )
