"""The primitives of softmax, attention and losses; `gpunn.backend.base` has the contract that they keep."""

from __future__ import annotations

from typing import Any, Protocol

from .base_layers import Array, Wanted


class LossPrimitives(Protocol):
    """Rows of shares, and what is lost by them."""

    def softmax(self, x: Array, axis: int, out: Any = None) -> Array:
        """e^(x - m) / sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows."""

    def softmax_backward(self, dy: Array, y: Array, axis: int, out: Any = None) -> Array:
        """y (dy - sum of dy y)."""

    def log_softmax(self, x: Array, axis: int, out: Any = None) -> Array:
        """(x - m) - ln sum of e^(x - m), m = max x: no overflow, and no logarithm of a rounded 0."""

    def log_softmax_backward(self, dy: Array, y: Array, axis: int, out: Any = None) -> Array:
        """dy - e^y sum of dy."""

    def attention_forward(
        self,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        scale: float,
        causal: bool,
        p: float = 0.0,
        seed: int = 0,
        call: int = 0,
        offset: int = 0,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """softmax(scale Q K^T + M) V (..., L, Ev), and the logarithm of each row's sum (..., L).

        The weights go through `LayerPrimitives.dropout` before V.
        """

    def attention_backward(
        self,
        dy: Array,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        o: Array,
        lse: Array,
        scale: float,
        causal: bool,
        wanted: Wanted,
        p: float = 0.0,
        seed: int = 0,
        call: int = 0,
        offset: int = 0,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of dQ, dK and dV, from dO and what `attention_forward` gave."""

    def softmax_cross_entropy(
        self,
        x: Array,
        target: Array,
        weight: Array | None,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """The loss of logits x (n, classes, ...) for labels (n, ...), m = max x and s = sum of e^(x - m)."""

    def softmax_cross_entropy_backward(
        self,
        dy: Array,
        x: Array,
        target: Array,
        weight: Array | None,
        m: Array,
        s: Array,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> Array:
        """The gradient in x; for a plain mean (S - I_y) dy / n, S = e^(x - m) / s."""

    def softmax_cross_entropy_gradient(
        self,
        dy: Array,
        x: Array,
        target: Array,
        weight: Array | None,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """The sum or mean of `softmax_cross_entropy`, and its gradient in x for the gradient dy in it."""

    def linear_cross_entropy(
        self,
        dy: Array,
        x: Array,
        w: Array,
        b: Array | None,
        target: Array,
        weight: Array | None,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """`softmax_cross_entropy_gradient` of z = x w^T + b, and z, for x (n, i), w (classes, i), b (classes,)."""

    def nll_loss(
        self, x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, out: Any = None
    ) -> Array:
        """-x_y for each label y of logarithms x (n, classes, ...), weighted and reduced."""

    def nll_loss_backward(
        self,
        dy: Array,
        target: Array,
        weight: Array | None,
        classes: int,
        reduction: str,
        ignore_index: int,
        out: Any = None,
    ) -> Array:
        """The gradient in x: at the labels -dy times weight, over the sum of the weights for a mean."""

    def binary_cross_entropy(self, x: Array, target: Array, out: Any = None) -> Array:
        """-(t ln x + (1 - t) ln(1 - x)), logarithms not below -100, for probabilities x."""

    def binary_cross_entropy_with_logits(
        self, x: Array, target: Array, pos_weight: Array | None, out: Any = None
    ) -> Array:
        """p t ln(1 + e^-x) + (1 - t) ln(1 + e^x), broadcast."""
