"""The update of a linear layer's weight where its gradient is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend.products import precision
from gpunn.backend.weight_gradient import WeightGradient

from .family import Array, ceil_div, is_half, prod
from .gemm import BYTES, MULTIPROCESSORS, all_schedules, rounds
from .linear import BACKWARD, Linear
from .matmul import HALF_PRODUCT
from .tiles import TENSOR_SHARED, TENSOR_TILES, TF32_TILES, TILES, Tile

KERNELS = "sgd_step", "adam_step"
"""The updates that are there in `kernels/linear_update.cu`, and for tensor cores in `linear_update_tensor.cu`."""


def updates_in_product(kernel: str, type: Any, factors: Any, tensor_cores: bool = True) -> bool:
    """Whether one launch makes the gradient and updates by it.

    Args:
        kernel: the update.
        type: of the parameters.
        factors: the type of the gradient's factors.
        tensor_cores: whether the device has them, from sm_80 on.
    """
    rounded = factors == np.float32 and precision() != "highest"
    rung = HALF_PRODUCT.pick("tensor") if tensor_cores and (is_half(factors) or rounded) else "vectorised"
    if kernel not in KERNELS or BACKWARD.pick(rung) != rung:
        return False
    if rung == "vectorised":
        return bool(type == factors) and factors in (np.float32, np.float64)
    converted = rounded and precision() == "medium"
    return bool(rung == "tensor" and type == np.float32 and not converted)


def pays(rows: int, inputs: int, outputs: int, factors: Any, moments: int) -> bool:
    """Whether one launch takes less time than two, as predicted: its product has no wide tiles, and no parts of sums.

    Args:
        rows: of the factors.
        inputs: columns of the weight.
        outputs: rows of the weight.
        factors: their type.
        moments: how many the update has.
    """
    halves, rounded = is_half(factors), factors == np.float32 and precision() != "highest"
    sizes = rows, inputs, outputs
    _, tile, blocks = _fastest(_tiles(factors, halves or rounded), *sizes)
    product = rounds(tile, ceil_div(blocks, MULTIPROCESSORS), rows)
    best = min(c for c, _ in all_schedules(outputs, inputs, rows, tensor=halves or rounded, tf32=rounded))
    elements = inputs * outputs
    walk, gradient = (bytes * elements // BYTES for bytes in (8 * (1 + moments), 12 if halves else 8))
    return max(product, walk) <= best + walk + gradient


class LinearUpdate(Linear):
    """Updates that take a `WeightGradient`: in one launch with the product, or with the gradient in the workspace."""

    updates_by_product = True
    cast: Callable[..., Array]

    def takes_product(self, kernel: str, p: Array, g: WeightGradient) -> bool:
        """Whether `update_in_product` is for this update of p."""
        lie = all(factor.size and factor.flags.c_contiguous for factor in g)
        return lie and p.ndim == 2 and updates_in_product(kernel, p.dtype, g.dz.dtype, self.tensor_cores)

    def made_gradient(self, g: WeightGradient, p: Array) -> Array:
        """The gradient of p."""
        (made,) = self.linear_backward(g.dz, g.x, None, (False, True, False))
        return (made if made.dtype == p.dtype else self.cast(made, p.dtype)).reshape(p.shape)

    def update_in_product(self, kernel: str, state: tuple[Any, ...], g: WeightGradient, how: tuple[Any, ...]) -> None:
        """Update parameters and moments, in their place; `how` are a kernel's last arguments."""
        (dz, x), dtype = g, g.dz.dtype
        outputs, inputs = state[0].shape
        rows = prod(dz.shape[:-1])
        sizes = rows, inputs, outputs
        tensor = self.on_tensor_cores(dtype)
        size, tile, blocks = _fastest(_tiles(dtype, tensor), *sizes)
        if not tensor:
            vectors = self.vectors((dz, outputs), (x, inputs), (*state, inputs))
            args = (dz, x, *state, *sizes, vectors, *how)
            self.launch("linear_update.cu", f"linear_{kernel}_{size}", (blocks,), (tile.threads,), args, scalar_t=dtype)
            return
        vectors = self.chunks(dz, outputs) + 2 * self.chunks(x, inputs)
        vectors += 4 * (inputs % 2 == 0 and all(self.twos(a) for a in state if a is not None))
        args = (dz, x, *state, *sizes, vectors, *how)
        text, name = "linear_update_tensor.cu", f"linear_{kernel}_tensor_{size}"
        self.launch(text, name, (blocks,), (tile.threads,), args, TENSOR_SHARED[size], scalar_t=dtype)


def _tiles(factors: Any, tensor: bool) -> dict[str, Tile]:
    """Those that there are kernels for, whose updates and products of several blocks take turns."""
    if not tensor:
        return {size: TILES[size] for size in ("large", "medium")}
    tiles = TENSOR_TILES if is_half(factors) else TF32_TILES
    return {size: tiles[size] for size in ("large", "small")}


def _fastest(tiles: dict[str, Tile], rows: int, inputs: int, outputs: int) -> tuple[str, Tile, int]:
    """The size of tile that takes the fewest cycles, as predicted for the product, the tile, and how many there are."""
    blocks = {name: ceil_div(outputs, t.rows) * ceil_div(inputs, t.columns) for name, t in tiles.items()}
    size = min(tiles, key=lambda name: rounds(tiles[name], ceil_div(blocks[name], MULTIPROCESSORS), rows))
    return size, tiles[size], blocks[size]
