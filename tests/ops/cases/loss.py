"""Cases of `gpunn.ops.cross_entropy` and `gpunn.ops.loss`."""

import itertools
import math

import numpy as np

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.cross_entropy import SoftmaxCrossEntropyGradient
from gpunn.ops.linear_cross_entropy import LinearCrossEntropy

from ..harness import add, normal
from .softmax import functional


def labels(*shape, classes, seed=0):
    return np.random.default_rng((seed, *shape)).integers(0, classes, shape)


def probabilities(*shape, dim=1, seed=0):
    p = normal(*shape, seed=seed, low=0.1)
    return p / p.sum(dim, keepdims=True)


def label_loss(x, target, weight, reduction, ignore_index, smoothing, log_probabilities):
    """By the definition, one label after the other."""
    dim = min(x.ndim - 1, 1)
    classes = x.shape[dim]
    weight = [1.0] * classes if weight is None else weight
    losses, total = np.zeros(target.shape), 0.0
    for place in np.ndindex(target.shape):
        y = target[place]
        if y == ignore_index:
            continue
        row = [float(v) for v in x[(*place[:dim], slice(None), *place[dim:])]]
        if not log_probabilities:
            row = [v - max(row) - math.log(sum(math.exp(u - max(row)) for u in row)) for v in row]
        q = [smoothing / classes + (1 - smoothing) * (c == y) for c in range(classes)]
        losses[place] = -sum(q[c] * weight[c] * row[c] for c in range(classes))
        total += weight[y]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / total if total else np.nan}[reduction]


def probability_loss(x, target, weight, reduction, smoothing):
    e = np.exp(np.moveaxis(x, 1, -1))
    q = np.moveaxis(target, 1, -1) * (1 - smoothing) + smoothing / x.shape[1]
    losses = -(np.log(e / e.sum(-1, keepdims=True)) * q * (1 if weight is None else weight)).sum(-1)
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]


def add_labels(name, x, target, reduction="mean", weight=None, ignore_index=-100, smoothing=0.0, **options):
    def gradient_free(library, like):
        if weight is None:
            return None
        return library.tensor(weight, dtype=like.dtype)

    def with_torch(x, target):
        import torch

        return torch.nn.functional.cross_entropy(
            x,
            target,
            gradient_free(torch, x),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=smoothing,
        )

    add(
        f"cross_entropy-{name}",
        lambda x, target: ops.cross_entropy(
            x,
            target,
            gradient_free(gpunn, x),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=smoothing,
        ),
        x,
        target,
        reference=lambda x, target: label_loss(x, target, weight, reduction, ignore_index, smoothing, False),
        torch=with_torch,
        **options,
    )
    if smoothing:
        return

    def nll_with_torch(x, target):
        import torch

        return torch.nn.functional.nll_loss(
            x, target, gradient_free(torch, x), ignore_index=ignore_index, reduction=reduction
        )

    add(
        f"nll_loss-{name}",
        lambda x, target: ops.nll_loss(
            x, target, gradient_free(gpunn, x), ignore_index=ignore_index, reduction=reduction
        ),
        x,
        target,
        reference=lambda x, target: label_loss(x, target, weight, reduction, ignore_index, 0.0, True),
        torch=nll_with_torch,
        **options,
    )


CLASS_WEIGHTS = (0.5, 2.0, 1.25, 0.75)
some = labels(6, classes=4)
ignored = np.array([2, -100, 0, 3, -100, 1])
for reduction, weight, smoothing, target in itertools.product(
    ("mean", "sum", "none"), (None, CLASS_WEIGHTS), (0.0, 0.2), (some, ignored)
):
    name = f"{reduction}{'-weight' if weight else ''}-smooth{smoothing}{'-ignored' if target is ignored else ''}"
    add_labels(name, normal(6, 4), target, reduction, weight, smoothing=smoothing)
for reduction, smoothing in itertools.product(("mean", "sum", "none"), (0.0, 0.1)):
    add_labels(f"one-{reduction}-smooth{smoothing}", normal(4), np.array(2), reduction, smoothing=smoothing)
    add_labels(
        f"image-{reduction}-smooth{smoothing}",
        normal(2, 4, 3, 2),
        labels(2, 3, 2, classes=4),
        reduction,
        CLASS_WEIGHTS,
        ignore_index=1,
        smoothing=smoothing,
    )
add_labels("many-classes", normal(3, 50), labels(3, classes=50), smoothing=0.1)
add_labels("one-class", normal(3, 1), np.zeros(3, int))
add_labels("ignored-class", normal(6, 4), some, ignore_index=int(some[0]))
add_labels("all-ignored", normal(2, 4), np.array([-100, -100]), "sum")
add_labels("zero-weight", normal(3, 4), np.array([0, 1, 3]), weight=(0.0, 1.0, 1.0, 2.0))
add_labels("no-samples", normal(0, 4), np.zeros(0, int), "sum")
add_labels("no-samples-none", normal(0, 4, 2), np.zeros((0, 2), int), "none")
add_labels(
    "extreme",
    np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 9999.0], [-1e4, -1e4 + 1, -1e4]]),
    np.array([0, 2, 1]),
    "none",
    gradient=False,
)
add(
    "cross_entropy-half",
    ops.cross_entropy,
    normal(6, 4),
    some,
    torch=functional("cross_entropy"),
    dtypes=("float16",),
    gradient=False,
    rtol=2e-3,
)


def loss_and_gradient(dl, x, target, weight, reduction, smoothing):
    w, p = np.array(weight), np.exp(x) / np.exp(x).sum(1, keepdims=True)
    q = ((1 - smoothing) * np.eye(4)[target] + smoothing / 4) * w
    dx = (p * q.sum(1, keepdims=True) - q) * dl / (w[target].sum() if reduction == "mean" else 1)
    return label_loss(x, target, weight, reduction, -100, smoothing, False), dx


def with_gradient(reduction, weight, smoothing):
    def call(dl, x, target):
        w = None if weight is None else gpunn.tensor(weight, dtype=x.dtype, device=x.device)
        return apply(SoftmaxCrossEntropyGradient(reduction, -100, smoothing), dl, x, target, w)

    def reference(dl, x, target):
        return loss_and_gradient(dl, x, target, weight or (1.0,) * 4, reduction, smoothing)

    name = f"cross_entropy_gradient-{reduction}{'-weight' if weight else ''}-smooth{smoothing}"
    add(name, call, normal(seed=5), normal(6, 4), some, reference=reference)


with_gradient("mean", None, 0.0)
with_gradient("sum", CLASS_WEIGHTS, 0.0)
with_gradient("mean", CLASS_WEIGHTS, 0.2)


def behind_a_layer(reduction, weight, smoothing):
    def call(dl, x, w, b, target):
        weights = None if weight is None else gpunn.tensor(weight, dtype=x.dtype, device=x.device)
        return apply(LinearCrossEntropy(reduction, -100, smoothing), dl, x, w, b, target, weights)

    def reference(dl, x, w, b, target):
        z = x @ w.T + b
        return *loss_and_gradient(dl, z, target, weight or (1.0,) * 4, reduction, smoothing), z

    name = f"linear_cross_entropy-{reduction}{'-weight' if weight else ''}-smooth{smoothing}"
    add(name, call, normal(seed=5), normal(6, 3), normal(4, 3, seed=1), normal(4, seed=2), some, reference=reference)


behind_a_layer("mean", None, 0.0)
behind_a_layer("sum", CLASS_WEIGHTS, 0.2)
for reduction, weight, smoothing in itertools.product(("mean", "sum", "none"), (None, CLASS_WEIGHTS), (0.0, 0.2)):
    options = {"reduction": reduction, "label_smoothing": smoothing}

    def with_torch(x, q, weight=weight, options=options):
        import torch

        w = None if weight is None else torch.tensor(weight, dtype=x.dtype)
        return torch.nn.functional.cross_entropy(x, q, w, **options)

    add(
        f"cross_entropy-probabilities-{reduction}{'-weight' if weight else ''}-smooth{smoothing}",
        lambda x, q, weight=weight, options=options: ops.cross_entropy(
            x, q, None if weight is None else gpunn.tensor(weight, dtype=x.dtype), **options
        ),
        normal(3, 4, 2),
        probabilities(3, 4, 2),
        reference=lambda x, q, weight=weight, reduction=reduction, smoothing=smoothing: probability_loss(
            x, q, weight, reduction, smoothing
        ),
        torch=with_torch,
    )
add(
    "cross_entropy-probabilities-1d",
    ops.cross_entropy,
    normal(4),
    probabilities(4, dim=0),
    torch=functional("cross_entropy"),
)


def reduce(losses, reduction):
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]


def huber(d, delta):
    return np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2))


def two_sided(name, losses, x, t, **kwargs):
    for reduction in ("mean", "sum", "none"):
        add(
            "-".join([name, reduction, *map(str, kwargs.values())]),
            lambda x, t, reduction=reduction: getattr(ops, name)(x, t, reduction=reduction, **kwargs),
            x,
            t,
            reference=lambda x, t, reduction=reduction: reduce(losses(x, t), reduction),
            torch=functional(name, reduction=reduction, **kwargs),
        )


x, t = normal(3, 4), normal(3, 4, seed=1)
two_sided("mse_loss", lambda x, t: (x - t) ** 2, x, t)
two_sided("l1_loss", lambda x, t: np.abs(x - t), x, t)
two_sided("smooth_l1_loss", lambda x, t: huber(x - t, 1.0), x, t)
two_sided("smooth_l1_loss", lambda x, t: huber(x - t, 0.5) / 0.5, x, t, beta=0.5)
two_sided("smooth_l1_loss", lambda x, t: np.abs(x - t), x, t, beta=0.0)
two_sided("huber_loss", lambda x, t: huber(x - t, 1.0), x, t)
two_sided("huber_loss", lambda x, t: huber(x - t, 0.5), x, t, delta=0.5)
two_sided(
    "binary_cross_entropy_with_logits",
    lambda x, t: t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x)),
    2 * x,
    probabilities(3, 4),
)
two_sided(
    "binary_cross_entropy",
    lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
    1 / (1 + np.exp(-x)),
    probabilities(3, 4),
)
for name in ("mse_loss", "l1_loss", "huber_loss"):
    for reduction in ("mean", "sum", "none"):
        add(
            f"{name}-weighted-{reduction}",
            lambda x, t, w, name=name, reduction=reduction: getattr(ops, name)(x, t, weight=w, reduction=reduction),
            x,
            t,
            normal(3, 4, seed=2, low=0.1),
            torch=lambda x, t, w, name=name, reduction=reduction: functional(name, weight=w, reduction=reduction)(x, t),
        )
add(
    "binary_cross_entropy-weighted",
    lambda x, t, w: ops.binary_cross_entropy(x, t, w),
    probabilities(3, 4),
    probabilities(3, 4, seed=1),
    normal(4, low=0.1),
    reference=lambda x, t, w: -(w * (t * np.log(x) + (1 - t) * np.log(1 - x))).mean(),
)
add(
    "binary_cross_entropy-at-0-and-1",
    lambda x, t: ops.binary_cross_entropy(x, t, reduction="none"),
    np.array([0.0, 1.0, 0.0, 1.0]),
    np.array([0.0, 0.0, 1.0, 1.0]),
    reference=lambda x, t: np.array([0.0, 100.0, 100.0, 0.0]),
    gradient=False,
)
add(
    "binary_cross_entropy_with_logits-weights",
    lambda x, t, w, p: ops.binary_cross_entropy_with_logits(x, t, w, pos_weight=p),
    x,
    probabilities(3, 4),
    normal(3, 1, low=0.1),
    normal(4, low=0.5),
    reference=lambda x, t, w, p: (w * (p * t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x)))).mean(),
    torch=lambda x, t, w, p: functional("binary_cross_entropy_with_logits", weight=w.detach(), pos_weight=p.detach())(
        x, t
    ),
)
add(
    "binary_cross_entropy_with_logits-extreme",
    lambda x, t: ops.binary_cross_entropy_with_logits(x, t, reduction="none"),
    np.array([1e4, 1e4, -1e4, -1e4, 30.0, -30.0]),
    np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0]),
    reference=lambda x, t: np.array([1e4, 0.0, 0.0, 1e4, np.exp(-30.0), np.exp(-30.0)]),
    gradient=False,
    atol=0,
)
for reduction in ("sum", "none", "batchmean"):
    for log_target in (False, True):
        q = probabilities(3, 4)
        add(
            f"kl_div-{reduction}{'-log' if log_target else ''}",
            lambda x, q, r=reduction, log=log_target: ops.kl_div(x, q, reduction=r, log_target=log),
            np.log(probabilities(3, 4, seed=1)),
            np.log(q) if log_target else q,
            torch=functional("kl_div", reduction=reduction, log_target=log_target),
        )
add(
    "kl_div-zero-probability",
    lambda x, q: ops.kl_div(x, q, reduction="sum"),
    np.log(np.array([[0.5, 0.25, 0.25]])),
    np.array([[0.0, 0.5, 0.5]]),
    reference=lambda x, q: np.log(2.0),
    gradient=False,
)
add(
    "cosine_similarity",
    ops.cosine_similarity,
    normal(3, 4),
    normal(3, 4, seed=1),
    torch=functional("cosine_similarity"),
)
add(
    "cosine_similarity-dim0",
    lambda a, b: ops.cosine_similarity(a, b, 0),
    normal(3, 4),
    normal(3, 1, seed=1),
    torch=functional("cosine_similarity", 0),
)
add(
    "cosine_similarity-zero",
    ops.cosine_similarity,
    np.zeros((1, 3)),
    normal(1, 3),
    torch=functional("cosine_similarity"),
    second_order=False,
    gradient=False,
)
for reduction in ("mean", "none"):
    add(
        f"cosine_embedding_loss-{reduction}",
        lambda a, b, t, r=reduction: ops.cosine_embedding_loss(a, b, t, 0.1, reduction=r),
        normal(4, 5),
        normal(4, 5, seed=1),
        np.array([1, -1, 1, -1]),
        torch=functional("cosine_embedding_loss", 0.1, reduction=reduction),
    )
