"""The last layer of a classifier and its loss in one."""

from __future__ import annotations

from typing import Any

from .family import Array, ceil_div, is_half
from .linear import FORWARD, Linear
from .loss import ADDED_BY_ONE_BLOCK, CROSS_ENTROPY, Loss

MOST_CLASSES = 64
"""Up to so many have their logits together in a block of `kernels/linear_cross_entropy.cu`."""
_BLOCK = (32, 8)
_BUSY = 216
"""So many blocks keep a GPU busy: two for each multiprocessor of an A100, where more would come in a second round."""
_ROWS = {"few": 2, "many": 8}
"""Rows that a block has at a time; few as long as there are then not more blocks than that."""


class LinearLoss(Linear, Loss):
    """An affine map and a loss of its result."""

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
        """`softmax_cross_entropy_gradient` of z = x w^T + b, and z, for x (n, i), w (classes, i), b (classes,).

        Raises:
            IndexError: a label is no class.
        """
        (rows, inputs), classes, dtype = x.shape, len(w), x.dtype
        how = reduction, ignore_index, label_smoothing
        loss, dz, z = out or (None, None, None)
        z = self.result(z, (rows, classes), dtype)
        fits = 0 < rows <= ADDED_BY_ONE_BLOCK and classes <= MOST_CLASSES and not is_half(dtype)
        rungs = FORWARD.pick("tensor" if self.on_tensor_cores(dtype) else None), CROSS_ENTROPY.pick("warp")
        if not fits or rungs != ("vectorised", "warp"):
            self.linear_activation(x, w, b, "none", 0.0, out=z)
            given = (dy, z, target, weight, *how)
            return *self.softmax_cross_entropy_gradient(*given, out=None if out is None else (loss, dz)), z
        loss, dz = self.result(loss, (), dtype), self.result(dz, z.shape, dtype)
        dy, x, w, b = (None if a is None else self.contiguous(a) for a in (dy, x, w, b))
        size = "few" if rows <= _BUSY * _ROWS["few"] else "many"
        grid = (min(ceil_div(rows, _ROWS[size]), _BUSY),)
        sizes = rows, inputs, classes, self.quads(x, w, inputs)

        def launch(of_labels: tuple[Any, ...], options: tuple[Any, ...]) -> None:
            args = (dy, x, w, b, z, dz, *of_labels, *sizes, *options)
            name = f"linear_cross_entropy_{size}"
            self.launch("linear_cross_entropy.cu", name, grid, _BLOCK, args, scalar_t=dtype)

        self.loss_in_one_launch(launch, loss, target, weight, classes, *how)
        return loss, dz, z
