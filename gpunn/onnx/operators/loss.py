"""Losses."""

from __future__ import annotations

from typing import Any

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx


@to_onnx("SoftmaxCrossEntropy")
def _cross_entropy(w: Writer, call: Call) -> Any:
    if call.label_smoothing or call.spec(1).dtype.is_floating_point:
        raise call.error("has probabilities or smoothed labels as its target")
    x, target, weight = call.inputs()
    options = {"reduction": call.reduction, "ignore_index": call.ignore_index}
    return w("SoftmaxCrossEntropyLoss", x, target, weight, **options), None, None


@to_onnx("NLLLoss")
def _nll_loss(w: Writer, call: Call) -> Any:
    return w("NegativeLogLikelihoodLoss", *call.inputs(), reduction=call.reduction, ignore_index=call.ignore_index)


@to_onnx("BinaryCrossEntropyWithLogits")
def _binary_cross_entropy_with_logits(w: Writer, call: Call) -> Any:
    """softplus(x) - x t; with a weight p of what is positive, p t softplus(-x) + (1 - t) softplus(x)."""
    x, target, *rest = call.inputs()
    if not rest or rest[0] is None:
        return w("Sub", w("Softplus", x), w("Mul", x, target))
    positive = w("Mul", w("Mul", rest[0], target), w("Softplus", w("Neg", x)))
    negative = w("Mul", w("Sub", w.constant(1, call.spec(0).dtype), target), w("Softplus", x))
    return w("Add", positive, negative)


@to_onnx("BinaryCrossEntropy")
def _binary_cross_entropy(w: Writer, call: Call) -> Any:
    """-(t ln p + (1 - t) ln(1 - p)), with logarithms of at least -100, as in PyTorch."""
    (p, target), d = call.inputs(), call.spec(0).dtype
    one, least = w.constant(1, d), w.constant(-100, d)
    yes, no = (w("Max", w("Log", x), least) for x in (p, w("Sub", one, p)))
    return w("Neg", w("Add", w("Mul", target, yes), w("Mul", w("Sub", one, target), no)))


# In ------------------------------------------------------------------------------------------------------------------


def _loss(node: Any, x: Any, target: Any, weight: Any) -> Any:
    ignored = node.get("ignore_index", -100)
    return F.nll_loss(x, target.long(), weight, ignore_index=ignored, reduction=node.get("reduction", "mean"))


@from_onnx("NegativeLogLikelihoodLoss")
def _nll_loss_in(node: Any, x: Any, target: Any, weight: Any = None) -> Any:
    return _loss(node, x, target, weight)


@from_onnx("SoftmaxCrossEntropyLoss")
def _cross_entropy_in(node: Any, x: Any, target: Any, weight: Any = None) -> Any:
    scores = gpunn.log_softmax(x, 1)
    loss = _loss(node, scores, target, weight)
    return loss if node.outputs == 1 else (loss, scores)
