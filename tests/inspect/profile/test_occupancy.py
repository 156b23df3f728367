"""The occupancy of a multiprocessor, worked by hand from the limits of its architecture."""

from __future__ import annotations

import pytest

from gpunn.backend.nvrtc import ARCHITECTURES
from gpunn.inspect.profile.occupancy import LIMITS, Occupancy, occupancy


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "expected"),
    [
        # 32 registers are 1,024 a warp, 16 warps in each of 4 parts: all 64.
        ("sm_90", 256, 32, 0, Occupancy(8, 64, 64, "warps")),
        # 33 registers are 1,056, so 1,280 a warp, 12 warps in each part: 48, which are 6 blocks of 8.
        ("sm_90", 256, 33, 0, Occupancy(6, 48, 64, "registers")),
        # 128 registers: 4 warps in each part.
        ("sm_90", 256, 128, 16896, Occupancy(2, 16, 64, "registers")),
        # 151 registers are 4,864 a warp, 3 warps in each part: 12, which are 6 blocks of 2.
        ("sm_90", 64, 151, 23040, Occupancy(6, 12, 64, "registers")),
        # 48 KiB and 1 KiB for the system: 3 times in 164 KiB.
        ("sm_80", 128, 32, 48 << 10, Occupancy(3, 12, 64, "shared memory")),
        # 49 KiB each: 2 times in 100 KiB.
        ("sm_86", 128, 32, 48 << 10, Occupancy(2, 8, 48, "shared memory")),
        # 64 KiB without anything for the system.
        ("sm_75", 128, 32, 32 << 10, Occupancy(2, 8, 32, "shared memory")),
        ("sm_89", 128, 32, 32 << 10, Occupancy(3, 12, 48, "shared memory")),
        ("sm_86", 32, 16, 0, Occupancy(16, 16, 48, "blocks")),
        ("sm_89", 32, 16, 0, Occupancy(24, 24, 48, "blocks")),
        ("sm_75", 1024, 64, 0, Occupancy(1, 32, 32, "warps")),
        # 1,024 threads with 255 registers: 2 warps in each part, a block has 32.
        ("sm_100", 1024, 255, 0, Occupancy(0, 0, 64, "registers")),
        ("sm_120", 192, 40, 0, Occupancy(8, 48, 48, "warps")),
        # 33 threads are two warps.
        ("sm_90", 33, 32, 0, Occupancy(32, 64, 64, "warps")),
    ],
)
def test_by_hand(arch, threads, registers, shared, expected) -> None:
    assert occupancy(arch, threads, registers, shared) == expected


def test_the_limits_of_every_architecture_are_known() -> None:
    assert tuple(LIMITS) == ARCHITECTURES


@pytest.mark.parametrize(
    ("arch", "threads", "message"),
    [
        ("sm_121", 32, "limits of sm_121 are not known; those of sm_75, "),
        ("sm_90", 1025, "1 to 1024"),
        ("sm_90", 0, "1"),
    ],
)
def test_what_is_not_known(arch, threads, message) -> None:
    with pytest.raises(ValueError, match=message):
        occupancy(arch, threads, 32)
