"""How many blocks of a kernel a multiprocessor runs at once, and what keeps it from more.

The limits of each architecture are those of NVIDIA's CCCL, ``libcudacxx/include/cuda/__device/arch_traits.h``, and of
the table "Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide; how registers and shared
memory are given out is that of ``cuda_occupancy.h`` of the CUDA toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass

_REGISTERS = 65536  # of a multiprocessor,
_PARTS = 4  # in so many parts, each with warps of its own
_REGISTERS_AT_ONCE = 256  # what a warp gets is a multiple of it
_LANES = 32


@dataclass(frozen=True)
class Limits:
    """What a multiprocessor has room for.

    Attributes:
        warps: at most at once.
        blocks: likewise.
        shared: bytes of shared memory.
        reserved: bytes of it that the system takes for each block.
        shared_at_once: what a block gets is a multiple of so many bytes.
    """

    warps: int
    blocks: int
    shared: int
    reserved: int = 1024
    shared_at_once: int = 128


LIMITS = {
    "sm_75": Limits(32, 16, 64 << 10, reserved=0, shared_at_once=256),
    "sm_80": Limits(64, 32, 164 << 10),
    "sm_86": Limits(48, 16, 100 << 10),
    "sm_89": Limits(48, 24, 100 << 10),
    "sm_90": Limits(64, 32, 228 << 10),
    "sm_100": Limits(64, 32, 228 << 10),
    "sm_120": Limits(48, 24, 100 << 10),
}
"""The limits of each architecture that gpunn is made for."""


@dataclass(frozen=True)
class Occupancy:
    """What a multiprocessor runs at once.

    Attributes:
        blocks: at the most; 0: the kernel can't be launched with such blocks.
        warps: those of these blocks.
        most_warps: what it could run.
        limited_by: "warps", "registers", "shared memory" or "blocks": what allows no more blocks.
    """

    blocks: int
    warps: int
    most_warps: int
    limited_by: str


def occupancy(arch: str, threads: int, registers: int, shared: int = 0) -> Occupancy:
    """The occupancy of a multiprocessor by blocks of a kernel, where there are enough of them.

    Args:
        arch: the architecture, one of `LIMITS`.
        threads: of a block.
        registers: of a thread.
        shared: bytes of shared memory of a block, static and dynamic.

    Raises:
        ValueError: the limits of the architecture are not known, or a block can't have so many threads.
    """
    if arch not in LIMITS:
        raise ValueError(f"the limits of {arch} are not known; those of {', '.join(LIMITS)} are")
    if not 1 <= threads <= 1024:
        raise ValueError(f"a block has from 1 to 1024 threads, not {threads}")
    limits = LIMITS[arch]
    warps = -(-threads // _LANES)
    registers_of_warp = _up(registers * _LANES, _REGISTERS_AT_ONCE)
    shared_of_block = _up(shared + limits.reserved, limits.shared_at_once)
    allowed = {
        "warps": limits.warps // warps,
        "registers": _REGISTERS // _PARTS // registers_of_warp * _PARTS // warps,
        "shared memory": limits.shared // shared_of_block if shared_of_block else limits.blocks,
        "blocks": limits.blocks,
    }
    limited_by = min(allowed, key=lambda what: allowed[what])
    blocks = allowed[limited_by]
    return Occupancy(blocks, blocks * warps, limits.warps, limited_by)


def _up(n: int, step: int) -> int:
    return -(-n // step) * step
