"""The primitives of norms; `gpunn.backend.base` has the contract that they keep."""

from __future__ import annotations

from typing import Any, Protocol

from .base_layers import Array, Pair, Shape, Wanted

Running = tuple[Array, Array, Array | None, float, float, float]
"""Running means and variances (c,), the number of batches, and three shares: of what is kept, of new means, and of new
variances."""


class NormPrimitives(Protocol):
    """Norms of the batch and of rows, whole and in parts."""

    def batch_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool = False,
        running: Running | None = None,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...), and each channel's mean and variance.

        With `relu`, 0 where that is negative. With `running`, of the type of the means, also what `move_statistics`
        makes of it; `out` has it behind the rest.
        """

    def move_statistics(
        self,
        mean: Array,
        batch_mean: Array,
        var: Array,
        batch_var: Array,
        batches: Array | None,
        keep: float,
        mean_share: float,
        var_share: float,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The running statistics (c,) after one more batch: keep mean + mean_share batch_mean, and var likewise.

        And batches + 1, a whole number, if it is given. Of half types they meet statistics of a batch in float32. The
        products are rounded before they are added. `out` may be (mean, var, batches).
        """

    def batch_statistics(self, x: Array, running: Running | None = None, out: Any = None) -> tuple[Array, ...]:
        """The means and variances of `batch_norm_forward`, and with `running` what `move_statistics` makes of it."""

    def batch_norm_inference(
        self,
        x: Array,
        mean: Array,
        var: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool = False,
        added: Array | None = None,
        relu_of_sum: bool = False,
        out: Any = None,
    ) -> Array:
        """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,).

        With `relu`, 0 where that is negative; with `added` (n, c, ...) the sum of both, with `relu_of_sum` 0 where this
        is negative.
        """

    def batch_norm_max_pool(
        self,
        x: Array,
        mean: Array,
        var: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """`max_pool2d` of `batch_norm_inference` by windows of 2 x 2 that lie side by side and cover the images."""

    def batch_norm_max_pool_backward(
        self,
        dp: Array,
        p: Array | None,
        which: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`batch_norm_backward` from the gradient of what `batch_norm_max_pool` gave: p, with a ReLU, and which."""

    def conv2d_statistics(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        running: Running | None = None,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`conv2d_forward` without an activation, and `batch_statistics` of its result."""

    def batch_norm_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        wanted: Wanted,
        bias: Array | None = None,
        relu: bool = False,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of the gradients in x, weight and bias of `batch_norm_forward`.

        `bias` is looked at if that was with a ReLU alone: x tells which elements the ReLU let through.
        """

    def row_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        split: tuple[int, int, int],
        eps: float,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """Each group of each row of x = (rows, groups, k, m), normalised and scaled; and means and variances."""

    def row_norm_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        split: tuple[int, int, int],
        affine_shape: Shape,
        eps: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of the gradients in x, weight and bias of `row_norm_forward`."""
