"""Losses: one number that says how far a prediction is from the target.

The argument `reduction` is "mean" (the default), "sum", or "none" for the loss of each element.
"""

from __future__ import annotations

from typing import Any

from gpunn.ops.cross_entropy import check_reduction
from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str = "mean"):
        super().__init__()
        check_reduction(reduction)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(self, weight: Tensor | None, reduction: str):
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """-ln of the probability that softmax gives to the right class; for scores that are no probabilities yet.

    l = -w_y ln(e^x_y / sum_c e^x_c) for a class y; -sum_c w_c y_c ln(softmax(x)_c) for probabilities y. The mean over
    classes is weighted: sum l_n / sum w_y_n.

    Shapes:
        input (N, C), (C,) or (N, C, d_1, ...); target of classes (N,), () or (N, d_1, ...), or of probabilities in the
        shape of the input.

    Args:
        weight: w (C,); 1 for every class if None.
        ignore_index: samples of this class do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: e in [0, 1]: the target is mixed with the uniform distribution, (1 - e) y + e / C
            (Szegedy et al. 2016).
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """-w_y x_y, where x are log-probabilities, such as from `LogSoftmax`. Shapes and mean as in `CrossEntropyLoss`.

    Args:
        weight: w (C,); 1 for every class if None.
        ignore_index: samples of this class do not count.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """The squared error (x - y)^2.

    Args:
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, *, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The absolute error |x - y|.

    Args:
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, *, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2   (Girshick 2015).

    Args:
        reduction: "mean", "sum" or "none".
        beta: where the parabola ends; 0 for the absolute error.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """(x - y)^2 / 2 where |x - y| <= delta, else delta (|x - y| - delta / 2)   (Huber 1964).

    Args:
        reduction: "mean", "sum" or "none".
        delta: where the parabola ends.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_WeightedLoss):
    """-w (y ln x + (1 - y) ln(1 - x)) for probabilities x, with logarithms not below -100.

    Args:
        weight: w, of a shape that broadcasts to the input's; 1 if None.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean"):
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """`BCELoss` of sigmoid(x), without the loss of digits: -w (p y ln sigmoid(x) + (1 - y) ln(1 - sigmoid(x))).

    Args:
        weight: w, of a shape that broadcasts to the input's; 1 if None.
        reduction: "mean", "sum" or "none".
        pos_weight: p, the weight of positive targets; 1 if None.
    """

    pos_weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None):
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """The divergence y (ln y - x) of a distribution y from one whose logarithm is x   (Kullback, Leibler 1951).

    Args:
        reduction: "mean" over all elements, "batchmean" (the sum divided by the batch size: the divergence itself),
            "sum" or "none".
        log_target: whether the target is a logarithm too.
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False):
        super().__init__("sum" if reduction == "batchmean" else reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineSimilarity(Module):
    """<x1, x2> / (max(|x1|, eps) max(|x2|, eps)) along one dimension.

    Args:
        dim: the dimension of the vectors.
        eps: the least length, against division by 0.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dimension.

    Args:
        p: of the norm.
        eps: added to each difference.
        keepdim: whether the last dimension stays, with size 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineEmbeddingLoss(_Loss):
    """1 - cos(x1, x2) for pairs that belong together (y = 1), else max(0, cos(x1, x2) - margin) (y = -1).

    Args:
        margin: what pairs that do not belong together may have in common.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class NLLLoss2d(NLLLoss):
    """`NLLLoss` under the name that it had for images (N, C, H, W)."""


class CTCLoss(_Loss):
    """-ln p of a sequence of labels, whatever their places in time (Graves et al. 2006).

    ``forward(log_probs, targets, input_lengths, target_lengths)``, arguments as of `gpunn.nn.functional.ctc_loss`.

    Shapes:
        log_probs (T, N, C) or (T, C); targets (N, S) or (sum of target_lengths,); lengths (N,) or ()

    Args:
        blank: the class that stands for no label.
        reduction: "mean" over the samples of the losses per label, "sum" or "none".
        zero_infinity: whether a target that is longer than its input has the loss 0, not infinity.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
