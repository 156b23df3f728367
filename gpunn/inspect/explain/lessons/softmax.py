"""Two layers, softmax and cross entropy."""

from __future__ import annotations

import gpunn
from gpunn import nn

from ..derivation import Lesson
from ..explain import explain
from .common import linear, numbers, remark, said

X = [[1.0, 0.5, -1.0], [0.0, 2.0, 1.0], [-1.5, 1.0, 0.5]]
Y = [0, 1, 1]
W1 = [[0.5, -0.2, 0.1], [0.3, 0.4, -0.6], [-0.7, 0.2, 0.5], [0.1, 0.1, 0.9]]
W2 = [[0.6, -0.1, 0.3, 0.2], [-0.4, 0.5, 0.2, -0.3]]


def model() -> nn.Sequential:
    """Without biases, as in the formulas."""
    return nn.Sequential(linear(W1), nn.ReLU(), linear(W2))


def make(title: str) -> Lesson:
    """The lesson."""
    loss = nn.CrossEntropyLoss(reduction="sum")
    derivation = explain(model(), numbers(X), gpunn.tensor(Y), loss, title=title)
    remark(derivation, "dZ2", "The whole error of the output: for each sample its probabilities, less 1 at the label.")
    remark(derivation, "dW2", "An outer product for each sample, of its error and of what the layer got, added up.")
    remark(derivation, "dW1", "The same formula as for W2: only the error is that of this layer, and the input is X.")
    return Lesson(
        "softmax",
        title,
        [
            "A hidden layer with a ReLU, an output for each class, softmax and cross entropy, summed over the samples. "
            "Samples "
            "are rows. Weights are stored as (out, in), as in PyTorch, so the layers compute X W^T; where a book "
            "writes X W "
            "its W is the transpose of the one here (Kolter, Chen: Deep Learning Systems, CMU 10-414, lecture 3).",
            said("L = -sum_i ln S_(i y_i)"),
            said("S = softmax(Z2)"),
            said("Z2 = A1 W2^T"),
            said("A1 = max(X W1^T, 0)"),
            said("dW2 = (S - I_y)^T A1"),
            said("dW1 = ((S - I_y) W2 o [A1 > 0])^T X"),
            derivation,
        ],
    )
