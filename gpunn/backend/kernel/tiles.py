"""The tiles of matrix products: what a block computes, and what that takes."""

from __future__ import annotations

from typing import NamedTuple

STEP = 32
"""Parts of a sum are multiples of it, as it is one of the depth that a block goes at a step."""


class Tile(NamedTuple):
    """What a block computes, and what that takes: cycles, predicted, of one term of the sums of all of its elements.

    They are predicted from the machine code for sm_90 by NVRTC 12.9: a multiprocessor issues four instructions a cycle,
    reads 128 bytes of shared memory, and about 20 of the second cache. `benchmarks/gpu_report/schedules.py` measures
    what schedules take.

    Attributes:
        rows: of the tile.
        columns: of the tile.
        threads: of the block.
        resident: so many such blocks a multiprocessor runs at once.
        cycles: of a multiprocessor with enough blocks, by what it is short of.
        alone: of a block that is alone there, and waits for memory and barriers.
        ahead: parts that a block that adds them up reads at a time; of a half, it takes it twice.
        step: what the terms of a part are a multiple of.
    """

    rows: int
    columns: int
    threads: int
    resident: int
    cycles: int
    alone: int
    ahead: float = 1
    step: int = STEP

    @property
    def slab(self) -> int:
        """Words that a part of a tile takes, and the sums of its rows."""
        return self.rows * self.columns + self.rows


TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=146, alone=152, ahead=0.5),
    "medium": Tile(64, 64, 128, resident=4, cycles=41, alone=75, ahead=4),
    "small": Tile(16, 64, 64, resident=6, cycles=14, alone=33, ahead=8),
}
"""Those of `matmul_*` and `linear_*`."""
TENSOR_TILES = {
    "wide": Tile(128, 256, 256, resident=1, cycles=28, alone=28, step=64),
    "large": Tile(128, 128, 128, resident=2, cycles=16, alone=27, step=64),
    "small": Tile(64, 64, 128, resident=4, cycles=10, alone=15),
}
"""Those of `matmul_tensor_*`, in half precision. Their cycles are those of shared memory: a warp reads its fragments of
A and of B once for 16 terms, and what is copied there passes it too."""
TF32_TILES = {
    "wide": TENSOR_TILES["wide"]._replace(cycles=56, alone=56, step=32),
    "large": TENSOR_TILES["large"]._replace(cycles=33, alone=46, step=32),
    "small": TENSOR_TILES["small"]._replace(cycles=21, alone=40),
}
"""And of floats in TF32: twice as many bytes, and half as many terms in an mma.sync."""
TENSOR_SHARED = {"wide": 2 * (128 + 256) * 128, "large": 2 * (128 + 128) * 128, "small": 0}
"""Bytes of dynamic shared memory of their blocks: two stages of lines of 128 bytes."""
WGMMA_TILES = {
    "large": Tile(128, 256, 288, resident=1, cycles=19, alone=19, step=64),
    "small": Tile(64, 128, 160, resident=3, cycles=5, alone=8, step=64),
}
"""Those of `matmul_wgmma_*`, in half precision. A multiprocessor's tensor cores do 2,048 multiplications a cycle
(NVIDIA, H100 whitepaper: 989.4 TFLOP/s with 132 multiprocessors at 1.83 GHz), and the cycles are those of four fifths
of that; alone a block waits for a step of its copies, estimated. One warp copies, and a step is a box of 64 terms."""
WGMMA_SHARED = {"large": 4 * (128 + 256) * 128 + 1024, "small": 3 * (64 + 128) * 128 + 1024}
"""Bytes of dynamic shared memory of their blocks: stages of lines of 128 bytes, from a multiple of 1,024 on."""
