"""The GPUs and the architectures that a kernel's time can be predicted for: what they do at best, and where that is from.

Sources are named by the labels of `SOURCES`. Nothing here was fitted to the times of kernels.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

SOURCES: dict[str, str] = {}


@dataclass(frozen=True)
class Architecture:
    """What a multiprocessor does at best.

    Attributes:
        arch: its name, such as "sm_90".
        per_clock: results per clock cycle, of all its parts together; the keys are those of `_PER_CLOCK`.
        l1_bytes: of its L1 cache and its shared memory, which are one.
        l1_bytes_per_clock: that it can read from them.
        latency: clock cycles until the result of an instruction can be used.
        sources: labels of `SOURCES`.
    """

    arch: str
    per_clock: Mapping[str, int]
    l1_bytes: int
    l1_bytes_per_clock: int
    latency: Mapping[str, int]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Gpu:
    name: str
    arch: str
    multiprocessors: int
    base_mhz: int
    boost_mhz: int
    l2_bytes: int
    l2_bytes_per_clock: int
    dram_bytes_per_second: float
    copy_share: float
    fp32_flops: float
    tensor_flops: Mapping[str, float]
    launch_us: float
    graph_node_us: float
    sources: tuple[str, ...]

    @property
    def architecture(self) -> Architecture:
        """That of its multiprocessors."""
        return ARCHITECTURES[self.arch]


def _per_clock(fp32, fp64, fp16, int_add, imad, convert, convert_64, reduce):
    return dict(
        fp32=fp32,
        fp64=fp64,
        fp16=fp16,
        int_add=int_add,
        imad=imad,
        logic=64,
        mufu=16,
        convert=convert,
        convert_64=convert_64,
        shuffle=32,
        warp_vote=64,
        reduce=reduce,
    )


def _latency(shared, l1, l2, dram, mufu=23, shuffle=23, barrier=20, fp64=8, tensor=32):
    return dict(
        alu=4,
        shared=shared,
        l1=l1,
        l2=l2,
        dram=dram,
        mufu=mufu,
        shuffle=shuffle,
        barrier=barrier,
        fp64=fp64,
        tensor=tensor,
    )


ARCHITECTURES = {
    a.arch: a
    for a in (
        Architecture(
            "sm_75", _per_clock(64, 2, 128, 64, 64, 16, 2, 0), 96 << 10, 64, _latency(22, 32, 188, 434, fp64=40), ()
        ),
        Architecture(
            "sm_80", _per_clock(64, 32, 256, 64, 64, 16, 16, 16), 192 << 10, 128, _latency(29, 38, 261, 466), ()
        ),
        Architecture(
            "sm_86", _per_clock(128, 2, 128, 64, 64, 16, 2, 16), 128 << 10, 128, _latency(29, 38, 240, 470, fp64=40), ()
        ),
        Architecture(
            "sm_89", _per_clock(128, 2, 128, 64, 64, 16, 2, 16), 128 << 10, 128, _latency(30, 43, 273, 542, fp64=40), ()
        ),
        Architecture(
            "sm_90", _per_clock(128, 64, 256, 64, 64, 16, 16, 16), 256 << 10, 128, _latency(29, 41, 264, 479), ()
        ),
        Architecture(
            "sm_100", _per_clock(128, 64, 128, 64, 64, 16, 16, 16), 256 << 10, 128, _latency(29, 40, 300, 600), ()
        ),
        Architecture(
            "sm_120",
            _per_clock(128, 2, 128, 128, 64, 16, 2, 16),
            128 << 10,
            128,
            _latency(30, 43, 358, 877, fp64=40),
            (),
        ),
    )
}

T = 1e12
GPUS = (
    Gpu("T4", "sm_75", 40, 585, 1590, 4 << 20, 1280, 320e9, 0.75, 8.1 * T, {"fp16": 65 * T}, 3.0, 1.0, ()),
    Gpu(
        "RTX 3090",
        "sm_86",
        82,
        1395,
        1695,
        6 << 20,
        1536,
        936e9,
        0.91,
        35.6 * T,
        {"tf32": 35.6 * T, "fp16": 71 * T, "bf16": 71 * T},
        2.5,
        1.0,
        (),
    ),
    Gpu(
        "RTX A6000",
        "sm_86",
        84,
        1410,
        1800,
        6 << 20,
        1536,
        768e9,
        0.91,
        38.7 * T,
        {"tf32": 77.4 * T, "fp16": 154.8 * T, "bf16": 154.8 * T},
        2.5,
        1.0,
        (),
    ),
    Gpu(
        "A100",
        "sm_80",
        108,
        1275,
        1410,
        40 << 20,
        5120,
        2039e9,
        0.88,
        19.5 * T,
        {"tf32": 156 * T, "fp16": 312 * T, "bf16": 312 * T},
        2.5,
        1.0,
        (),
    ),
    Gpu(
        "RTX 4090",
        "sm_89",
        128,
        2235,
        2520,
        72 << 20,
        2048,
        1008e9,
        0.92,
        82.6 * T,
        {"tf32": 82.6 * T, "fp16": 165.2 * T, "bf16": 165.2 * T, "fp8": 330.3 * T},
        2.5,
        1.0,
        (),
    ),
    Gpu(
        "L4",
        "sm_89",
        58,
        795,
        2040,
        48 << 20,
        1024,
        300e9,
        0.90,
        30.3 * T,
        {"tf32": 60 * T, "fp16": 121 * T, "bf16": 121 * T, "fp8": 242 * T},
        2.5,
        1.0,
        (),
    ),
    Gpu(
        "H100",
        "sm_90",
        132,
        1590,
        1980,
        50 << 20,
        5120,
        3352e9,
        0.91,
        66.9 * T,
        {"tf32": 494.7 * T, "fp16": 989.4 * T, "bf16": 989.4 * T, "fp8": 1978.9 * T},
        2.5,
        0.84,
        (),
    ),
    Gpu(
        "H200",
        "sm_90",
        132,
        1590,
        1980,
        60 << 20,
        5120,
        4800e9,
        0.88,
        66.9 * T,
        {"tf32": 494.7 * T, "fp16": 989.4 * T, "bf16": 989.4 * T, "fp8": 1978.9 * T},
        2.5,
        0.84,
        (),
    ),
    Gpu(
        "B200",
        "sm_100",
        148,
        1665,
        1965,
        126 << 20,
        6144,
        8000e9,
        0.90,
        75 * T,
        {"tf32": 1100 * T, "fp16": 2250 * T, "bf16": 2250 * T, "fp8": 4500 * T},
        2.5,
        0.84,
        (),
    ),
    Gpu(
        "RTX 5090",
        "sm_120",
        170,
        2017,
        2407,
        96 << 20,
        4096,
        1792e9,
        0.93,
        104.8 * T,
        {"tf32": 104.8 * T, "fp16": 209.5 * T, "bf16": 209.5 * T, "fp8": 419 * T},
        2.5,
        1.0,
        (),
    ),
)


def gpu(name: str) -> Gpu:
    """The GPU of that name; case, blanks, hyphens and the words of its maker don't matter.

    Raises:
        ValueError: there is none.
    """
    named = {_plain(g.name): g for g in GPUS}
    plain = _plain(name)
    if plain in named:
        return named[plain]
    near = difflib.get_close_matches(plain, named, n=1)
    raise ValueError(
        f"no GPU {name!r} is known; those that are: {', '.join(g.name for g in GPUS)}"
        + (f"; did you mean {named[near[0]].name}?" if near else "")
    )


def _plain(name: str) -> str:
    words = name.lower().replace("-", " ").replace("_", " ").split()
    return "".join(w for w in words if w not in ("nvidia", "geforce", "tesla", "rtx"))
