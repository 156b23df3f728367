"""The last layer of a classifier, its loss and the gradient of that in one op, which a rule of plans makes."""

from __future__ import annotations

from typing import Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Cost, frozen, shape_error
from .cross_entropy import LabelLoss, SoftmaxCrossEntropyGradient
from .linear import PLAIN


@frozen
class LinearCrossEntropy(LabelLoss, Composite):
    """Z = X W^T + b;  S = softmax(Z) over the classes;  l = -ln S_y;  dZ = (S - I_y) dl

    dl ()  X (n, i)  W (classes, i)  b (classes,)  y, the labels (n,)  w (classes,)  ->  l (), dZ, Z (n, classes)

    `Linear` and `SoftmaxCrossEntropyGradient`; l is the mean or the sum.
    """

    label_smoothing: float = 0.0
    saved = (0, 1, 2, 3, 4, 5)

    def shape(self, dl: Spec, x: Spec, w: Spec, b: Spec | None, target: Spec, weight: Spec | None) -> Any:
        if x.ndim != 2:
            raise shape_error(self, f"the input has 2 dimensions (n, in), got {x!r}")
        z = PLAIN.shape(x, w, b)
        return *self._loss().shape(dl, z, target, weight), z

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.linear_cross_entropy(*arrays, self.reduction, self.ignore_index, self.label_smoothing, out=out)

    def formula(self, dl: Any, x: Any, w: Any, b: Any, target: Any, weight: Any) -> Any:
        z = apply(PLAIN, x, w, b)
        return *self._loss().formula(dl, z, target, weight), z

    def cost(self, dl: Spec, x: Spec, w: Spec, b: Spec | None, target: Spec, weight: Spec | None) -> Cost:
        z = PLAIN.shape(x, w, b)
        product, loss = PLAIN.cost(x, w, b), self._loss().cost(dl, z, target, weight)
        return Cost(product.flop + loss.flop, product.bytes + loss.bytes - 2 * z.nbytes)

    def _loss(self) -> SoftmaxCrossEntropyGradient:
        return SoftmaxCrossEntropyGradient(self.reduction, self.ignore_index, self.label_smoothing)
