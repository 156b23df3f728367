"""What was chosen for the launch of a kernel: tiles, parts, the precision, and what it takes as predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import conv_channels_last, conv_plan, gemm, tiles
from .family import ceil_div

MEGAHERTZ = 1980
"""The clock of the GPU that cycles are predicted for, an H100 or H200."""
_PRODUCTS: dict[str, dict[str, Any]] = {
    "matmul_tensor_": {"half": tiles.TENSOR_TILES, "tf32": tiles.TF32_TILES},
    "matmul_wgmma_": {"half": tiles.WGMMA_TILES},
    "matmul_": {"fp32": tiles.TILES},
    "linear_forward_": {"fp32": tiles.TILES},
    "linear_backward_": {"fp32": tiles.TILES},
    "linear_sgd_step_tensor_": {"half": tiles.TENSOR_TILES, "tf32": tiles.TF32_TILES},
    "linear_adam_step_tensor_": {"half": tiles.TENSOR_TILES, "tf32": tiles.TF32_TILES},
    "linear_sgd_step_": {"fp32": tiles.TILES},
    "linear_adam_step_": {"fp32": tiles.TILES},
    "conv2d_tensor_": {"half": conv_plan.TENSOR_TILES, "tf32": conv_plan.TF32_TILES},
    "conv2d_channels_last_tensor_": {
        "half": conv_channels_last.TENSOR_LAST_TILES,
        "tf32": conv_channels_last.TF32_LAST_TILES,
    },
    "conv2d_weight_grad_channels_last_tensor_": {
        "half": conv_channels_last.TENSOR_LAST_TILES,
        "tf32": conv_channels_last.TF32_LAST_TILES,
    },
    "conv2d_channels_last_": {"fp32": conv_channels_last.LAST_TILES},
    "conv2d_weight_grad_channels_last_": {"fp32": conv_channels_last.WEIGHT_LAST_TILES},
    "conv2d_implicit_": {"fp32": conv_plan.IMPLICIT_TILES},
    "conv2d_weight_grad_tensor": {"half": conv_plan.WEIGHT_TENSOR_TILES, "tf32": conv_plan.WEIGHT_TF32_TILES},
    "conv2d_weight_grad_implicit_": {"fp32": conv_plan.WEIGHT_TILES},
}
"""The tiles of kernels by what their names begin with, and by the precision of their factors."""
_SHORT = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}


class Choice(NamedTuple):
    """What was chosen for a launch.

    Attributes:
        tile: the size and the shape of tiles, such as "large 128 x 128"; empty for what is no product.
        parts: into how many parts sums are cut, such as "4"; "1 + 4" of two products that one launch does.
        precision: of what is computed, or of a product's factors: "tf32", "bf16", "fp32", ...; empty where elements are
            only moved.
        microseconds: predicted for an H100 or H200, none measured: of a product by its tiles, without the
            addition of its parts; of all else the time in which its arrays go through memory once, at 4 TB/s; of an
            update in a product the longer of the two.
        by: what picked the tile and the parts, or the kernel: "predicted", or "measured" (see `tuning`); empty where
            there was nothing to pick.
    """

    tile: str
    parts: str
    precision: str
    microseconds: float
    by: str = ""


def choice_of(launch: Any) -> Choice:
    """What was chosen for a recorded launch, see `gpunn.backend.recording.Launch`."""
    name, types = launch.name, {k: v.name for k, v in launch.kernel.types.items()}
    scalar = types.get("scalar_t", "")
    precision = "tf32" if scalar == "float32" and "_tensor" in name else _SHORT.get(scalar, scalar)
    begin = next((begin for begin in _PRODUCTS if name.startswith(begin)), None)
    size = "square" if begin == name else name.removeprefix(begin or "")
    sort = "half" if precision in ("fp16", "bf16") and ("_tensor" in name or "_wgmma" in name) else precision
    tile = None if begin is None else _PRODUCTS[begin].get(sort, next(iter(_PRODUCTS[begin].values()))).get(size)
    if tile is None:  # no product, or a rung that has no tiles
        return Choice("", "", precision, _through_memory(launch.args), launch.picked if "_direct_" in name else "")
    named = {p.name: a for p, a in zip(launch.kernel.signature.parameters, launch.args)}
    if "dx_blocks" in named:  # of an affine map, dX, dW or both
        blocks = launch.grid[0]
        of = [
            (int(named["dx_blocks"]), int(named["dx_part_depth"]), int(named["outputs"])),
            (blocks - int(named["dx_blocks"]), int(named["dw_part_depth"]), int(named["rows"])),
        ]
        depth = ceil_div(sum(count * part for count, part, _ in of), blocks)
        parts = " + ".join(str(ceil_div(terms, part)) for count, part, terms in of if count)
    elif "part_depth" not in named:  # an update where sums are whole
        blocks, depth, parts = launch.grid[0], int(named["rows"]), "1"
    else:
        blocks, depth = launch.grid[0] * launch.grid[1], int(named["part_depth"])
        parts = str(launch.grid[1])
    cycles = gemm.rounds(tile, ceil_div(blocks, gemm.MULTIPROCESSORS), depth)
    shape = f"{size} {tile.rows} x {tile.columns}"
    microseconds = cycles / MEGAHERTZ
    if "_step_" in name:
        microseconds = max(microseconds, _through_memory(launch.args))
    return Choice(shape, parts, precision, microseconds, launch.picked or "predicted")


def _through_memory(args: Sequence[Any]) -> float:
    return sum(int(a.nbytes) for a in args if getattr(a, "ndim", 0)) / gemm.BYTES / MEGAHERTZ
