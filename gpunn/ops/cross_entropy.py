"""Cross entropy and negative log likelihood: the losses on class labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import full_precision
from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import INTEGER, float32
from gpunn.backend.spec import Spec

from .base import Composite, Cost, Op, frozen, shape_error
from .comparison import eq, ne, where
from .embedding import OneHot
from .softmax import log_softmax, softmax

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class LabelLoss(Op, abstract=True):
    """A loss of x (n, classes, ...) or (classes,) for labels (n, ...) or (), with weights (classes,) or None."""

    reduction: str = "mean"
    ignore_index: int = -100

    def _check(self, name: str, x: Spec, target: Spec, weight: Spec | None) -> Spec:
        """The spec of the loss."""
        if not x.ndim:
            raise ValueError(f"{name}: the input has 1 or more dimensions, (classes,) or (n, classes, ...), got {x!r}")
        if not x.dtype.is_floating_point:
            raise shape_error(name, f"the input must be floats, got {x!r}")
        if target.dtype.category != INTEGER:
            raise shape_error(
                name,
                f"labels must be integers of shape {list(_without_classes(x))} for the input {x!r}, got {target!r}; "
                "class probabilities have the shape of the input (cross_entropy only)",
            )
        if x.ndim > 1 and target.ndim and x.shape[0] != target.shape[0]:
            raise ValueError(
                f"{name}: expected the batch of the input to be that of the target, got {x!r} and {target!r}"
            )
        if target.shape != _without_classes(x):
            raise shape_error(
                name, f"labels for the input {x!r} have shape {list(_without_classes(x))}, got {target!r}"
            )
        classes = x.shape[_class_dim(x)]
        if classes == 0:
            raise IndexError(f"{name}: the input {x!r} has no classes")
        if weight is not None and (weight.shape != (classes,) or weight.dtype is not x.dtype):
            raise shape_error(name, f"the weights must be {x.like((classes,))!r}, one for each class, got {weight!r}")
        return x.like(target.shape if self.reduction == "none" else ())


@frozen
class SoftmaxCrossEntropy(LabelLoss):
    """l = -ln S_y, S = softmax(x) over the classes, S_y that of the label;  dx = (S - I_y) dl, I_y one-hot.

    With weights w and e = label_smoothing, where q = (1 - e) I_y + e / classes  (Goodfellow et al. 2016, 6.2.2)
    l = -sum_c q_c w_c ln S_c;  dx = (S sum_c q_c w_c - q w) dl

    x (n, classes, ...)  y, the labels (n, ...)  w (classes,)  ->  l (n, ...), or its mean or sum, and m, s (n, ...)

    A mean is over the sum of the labels' weights w_y. Labels that are `ignore_index` count as nothing. Further results
    are, for each label, m = max x and s = sum of e^(x - m); they are for the gradient and have none.
    """

    label_smoothing: float = 0.0
    saved = (0, 1, 2)
    saves_output = (1, 2)
    flop_per_element = 5

    def shape(self, x: Spec, target: Spec, weight: Spec | None) -> tuple[Spec, Spec, Spec]:
        loss = self._check("cross_entropy", x, target, weight)
        statistic = x.like(target.shape, float32 if x.dtype.itemsize == 2 else x.dtype)
        return loss, statistic, statistic

    def forward(self, backend: Any, x: Any, target: Any, weight: Any, out: Any = None) -> Any:
        return backend.softmax_cross_entropy(
            x, target, weight, self.reduction, self.ignore_index, self.label_smoothing, out=out
        )

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, target: Any, weight: Any) -> Any:
        backward = SoftmaxCrossEntropyBackward(self.reduction, self.ignore_index, self.label_smoothing)
        return apply(backward, dy[0], x, target, weight, y[1].detach(), y[2].detach()), None, None

    def cost(self, x: Spec, target: Spec, weight: Spec | None) -> Cost:
        return Cost(5 * x.numel(), x.nbytes + sum(s.nbytes for s in self.shape(x, target, weight)) + target.nbytes)


@frozen
class SoftmaxCrossEntropyBackward(LabelLoss, Composite):
    """dx = (S - I_y) dl, S = e^(x - m) / s, from the statistics of `SoftmaxCrossEntropy`, whose gradient it is."""

    label_smoothing: float = 0.0
    saved = (0, 1, 2, 3)
    flop_per_element = 5

    def shape(self, dy: Spec, x: Spec, target: Spec, weight: Spec | None, m: Spec, s: Spec) -> Spec:
        return x

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.softmax_cross_entropy_backward(
            *arrays, self.reduction, self.ignore_index, self.label_smoothing, out=out
        )

    def formula(self, dy: Any, x: Any, target: Any, weight: Any, m: Any, s: Any) -> Any:
        dim = _class_dim(x)
        classes = x.shape[dim]
        w = 1.0 if weight is None else weight.reshape(-1, *(1,) * (x.ndim - 1 - dim))
        valid = ne(target, self.ignore_index).to(x.dtype).unsqueeze(dim)
        hot = apply(OneHot(classes, dim, x.dtype), target) * valid
        if self.reduction == "none":
            dl = dy.unsqueeze(dim)
        elif self.reduction == "sum":
            dl = dy
        else:
            total = (hot * w).sum()
            dl = dy / where(eq(total, 0), 1.0, total)
        qw = (hot * (1 - self.label_smoothing) + valid * (self.label_smoothing / classes)) * w
        return (softmax(x, dim) * qw.sum(dim, keepdim=True) - qw) * dl


@frozen
class SoftmaxCrossEntropyGradient(LabelLoss, Composite):
    """l = -ln S_y;  dx = (S - I_y) dl;  S = softmax(x) over the classes: `SoftmaxCrossEntropy` and its gradient.

    dl (), x (n, classes, ...), labels (n, ...), weights (classes,)  ->  l (), its mean or sum, and dx (n, classes, ...)
    """

    label_smoothing: float = 0.0
    saved = (0, 1, 2, 3)
    flop_per_element = 10

    def shape(self, dl: Spec, x: Spec, target: Spec, weight: Spec | None) -> tuple[Spec, Spec]:
        if self.reduction == "none":
            raise ValueError("the gradient of a loss in the same op is one of a sum or a mean, not of reduction='none'")
        return self._check("cross_entropy", x, target, weight), x

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.softmax_cross_entropy_gradient(
            *arrays, self.reduction, self.ignore_index, self.label_smoothing, out=out
        )

    def formula(self, dl: Any, x: Any, target: Any, weight: Any) -> Any:
        loss, m, s = apply(
            SoftmaxCrossEntropy(self.reduction, self.ignore_index, self.label_smoothing), x, target, weight
        )
        backward = SoftmaxCrossEntropyBackward(self.reduction, self.ignore_index, self.label_smoothing)
        return loss, backward.formula(dl, x, target, weight, m, s)

    def cost(self, dl: Spec, x: Spec, target: Spec, weight: Spec | None) -> Cost:
        return Cost(self.flop_per_element * x.numel(), 3 * x.nbytes + target.nbytes)


class NLLLoss(LabelLoss):
    """l = -w_y x_y, for the label y;  dx = -w_y I_y dl. A mean is over the sum of the labels' weights."""

    saved = (1, 2)

    def shape(self, x: Spec, target: Spec, weight: Spec | None) -> Spec:
        return self._check("nll_loss", x, target, weight)

    def forward(self, backend: Any, x: Any, target: Any, weight: Any, out: Any = None) -> Any:
        return backend.nll_loss(x, target, weight, self.reduction, self.ignore_index, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, target: Any, weight: Any) -> Any:
        backward = NLLLossBackward(self.reduction, self.ignore_index, x.shape[_class_dim(x)])
        return apply(backward, dy, target, weight), None, None

    def cost(self, x: Spec, target: Spec, weight: Spec | None) -> Cost:
        return Cost(2 * target.numel(), (x.dtype.itemsize + target.dtype.itemsize) * target.numel())


@frozen
class NLLLossBackward(LabelLoss):
    """dx = -w_y I_y dl. It is linear in dl, and its gradient is the loss itself of what comes in the place of x."""

    classes: int = 0
    saved = (1, 2)

    def shape(self, dy: Spec, target: Spec, weight: Spec | None) -> Spec:
        at = min(target.ndim, 1)
        return dy.like((*target.shape[:at], self.classes, *target.shape[at:]))

    def forward(self, backend: Any, dy: Any, target: Any, weight: Any, out: Any = None) -> Any:
        return backend.nll_loss_backward(dy, target, weight, self.classes, self.reduction, self.ignore_index, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, dl: Any, target: Any, weight: Any) -> Any:
        return apply(NLLLoss(self.reduction, self.ignore_index), dy, target, weight), None, None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-ln of the probability that softmax(input) gives to the target, in one op for class labels.

    PyTorch's deprecated ``size_average`` and ``reduce`` are left out; what stands behind them is by keyword only.

    Args:
        input: logits, (classes,), (n, classes) or (n, classes, d1, ...).
        target: labels 0 to classes - 1 of any integer type, (), (n,) or (n, d1, ...); or probabilities of the classes,
            floats in the shape of the input.
        weight: one for each class, in the type of the input; not differentiated.
        ignore_index: a label that counts as nothing, neither in the sum nor in the mean.
        reduction: ``"mean"`` (over the weights of the labels), ``"sum"`` or ``"none"``.
        label_smoothing: the part of each target that is spread over all classes evenly (Szegedy et al. 2016).

    Raises:
        IndexError: a label is no class.
        RuntimeError, ValueError: shapes, types or options do not fit.
    """
    check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.shape == input.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    _check_weight("cross_entropy", weight)
    return apply(SoftmaxCrossEntropy(reduction, ignore_index, float(label_smoothing)), input, target, weight)[0]


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """-input at the label, for logarithms of probabilities such as `log_softmax` gives.

    Arguments as in `cross_entropy`, with labels only.
    """
    check_reduction(reduction)
    _check_weight("nll_loss", weight)
    return apply(NLLLoss(reduction, ignore_index), input, target, weight)


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless it is ``"none"``, ``"mean"`` or ``"sum"``."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction; there are 'none', 'mean' and 'sum'")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The losses, their mean or their sum."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


@full_precision
def _with_probabilities(
    x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Tensor:
    """-sum_c w_c q_c ln softmax(x)_c; a mean is over the number of targets, whatever the weights."""
    if not target.dtype.is_floating_point:
        raise shape_error(
            "cross_entropy",
            f"a target in the shape of the input holds class probabilities, which are floats, got {target._spec!r}; "
            f"labels have shape {list(_without_classes(x._spec))}",
        )
    if ignore_index >= 0:
        raise shape_error("cross_entropy", f"ignore_index={ignore_index} is for labels, the target holds probabilities")
    dim = _class_dim(x)
    classes = x.shape[dim]
    if weight is not None and weight.shape != (classes,):
        raise shape_error("cross_entropy", f"there is one weight for each of {classes} classes, got {weight._spec!r}")
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = log_softmax(x, dim) * target
    if weight is not None:
        terms = terms * weight.reshape(-1, *(1,) * (x.ndim - 1 - dim))
    return reduced(-terms.sum(dim), reduction)


def _check_weight(name: str, weight: Tensor | None) -> None:
    if weight is not None and weight.requires_grad:
        raise RuntimeError(f"{name}: there is no gradient in the class weights; give weight.detach()")


def _class_dim(x: Any) -> int:
    return min(len(x.shape) - 1, 1)


def _without_classes(x: Spec) -> tuple[int, ...]:
    dim = _class_dim(x)
    return x.shape[:dim] + x.shape[dim + 1 :]
