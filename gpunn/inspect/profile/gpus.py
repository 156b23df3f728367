"""What each GPU does at best, each figure with its source: as in `architectures`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .architectures import ARCHITECTURES, SOURCES, Architecture

__all__ = ["ARCHITECTURES", "GPUS", "SOURCES", "Architecture", "Gpu", "gpu"]


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: without its maker's.
        arch: one of `ARCHITECTURES`.
        multiprocessors: how many.
        base_mhz: the clock that it is sure to keep; where its maker tells none, the one that the FLOP/s of the tensor
            cores are reckoned with.
        boost_mhz: the clock that the maker's FLOP/s are reckoned with.
        l2_bytes: of the L2 cache.
        l2_bytes_per_clock: that all multiprocessors together read from it.
        dram_bytes_per_second: the maker's.
        copy_share: of these, what a copy on the device reached, reads and writes together.
        fp32_flops: the maker's, per second, without tensor cores.
        tensor_flops: likewise of tensor cores: "tf32", "fp16", "bf16", "fp8"; dense, with float32 accumulators.
        mma_share: of these, what the instructions of a warp (mma.sync) reach; those of warpgroups (wgmma) reach all.
            1 for a B200 too, of which nothing is known.
        launch_us: microseconds that the host takes for a launch of a small kernel, one after another.
        graph_node_us: microseconds that a CUDA graph takes for a node with a kernel that does next to nothing.
        sources: the labels of all these figures.
    """

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
    mma_share: float = 1.0

    @property
    def architecture(self) -> Architecture:
        """That of its multiprocessors."""
        return ARCHITECTURES[self.arch]


# What has no comment is from datasheet or whitepaper. The nodes of CUDA graphs in gpu-benches copy 64 KB: 1.34 us on an
# A100, 1.09 on an A40, 0.94 on an L40 and 1.26 on an H200, where one that fills 4 KB takes 0.84 (own); so theirs are
# taken times 0.84 / 1.26.
GPUS = (
    Gpu(
        "T4",
        "sm_75",
        multiprocessors=40,
        base_mhz=585,
        boost_mhz=1590,
        l2_bytes=4 << 20,
        l2_bytes_per_clock=884,  # as for the V100 of gpu-benches, a multiprocessor: 2,440 GB/s, 80 of them, 1,380 MHz
        dram_bytes_per_second=320e9,
        copy_share=0.75,  # cuda-demo: 239.6 GB/s
        fp32_flops=8.1e12,
        tensor_flops={"fp16": 65e12},
        launch_us=2.3,  # simllm: 2.332 on a GTX 1660 Ti
        graph_node_us=0.63,  # simllm: 0.630 on a GTX 1660 Ti
        sources=("datasheet", "whitepaper", "gpu-benches", "cuda-demo", "simllm"),
    ),
    Gpu(
        "RTX 3090",
        "sm_86",
        multiprocessors=82,
        base_mhz=1395,
        boost_mhz=1695,
        l2_bytes=6 << 20,
        l2_bytes_per_clock=1400,  # as for the A40 of gpu-benches, a multiprocessor
        dram_bytes_per_second=936e9,
        copy_share=0.91,  # as for the RTX 4090, the other one with GDDR6X
        fp32_flops=35.6e12,
        tensor_flops={"tf32": 35.6e12, "fp16": 71.2e12, "bf16": 71.2e12},
        launch_us=2.0,  # as for the A40 of gpu-benches
        graph_node_us=0.73,  # as for the A40 of gpu-benches
        sources=("datasheet", "whitepaper", "gpu-benches", "nvbench", "own"),
    ),
    Gpu(
        "RTX A6000",
        "sm_86",
        multiprocessors=84,
        base_mhz=1410,  # techpowerup
        boost_mhz=1800,  # techpowerup
        l2_bytes=6 << 20,
        l2_bytes_per_clock=1435,  # as for the A40 of gpu-benches, the same chip: 2,500 GB/s at 1,740 MHz
        dram_bytes_per_second=768e9,
        copy_share=0.95,  # as for the A40 of gpu-benches: 659 of 696 GB/s
        fp32_flops=38.7e12,
        tensor_flops={"tf32": 77.4e12, "fp16": 154.8e12, "bf16": 154.8e12},
        launch_us=2.0,  # as for the A40 of gpu-benches: 2.05
        graph_node_us=0.73,  # as for the A40 of gpu-benches
        sources=("datasheet", "whitepaper", "techpowerup", "gpu-benches", "own"),
    ),
    Gpu(
        "A100",  # SXM, 80 GB
        "sm_80",
        multiprocessors=108,
        base_mhz=1275,  # techpowerup
        boost_mhz=1410,
        l2_bytes=40 << 20,
        l2_bytes_per_clock=3850,  # gpu-benches: 5,430 GB/s at 1,410 MHz; whitepaper: 5,120
        dram_bytes_per_second=2039e9,
        copy_share=0.85,  # gpu-benches: 1,737 GB/s
        fp32_flops=19.5e12,
        tensor_flops={"tf32": 156e12, "fp16": 312e12, "bf16": 312e12},
        launch_us=2.6,  # gpu-benches: 2.555
        graph_node_us=0.89,  # gpu-benches
        sources=("datasheet", "whitepaper", "techpowerup", "gpu-benches", "own"),
    ),
    Gpu(
        "RTX 4090",
        "sm_89",
        multiprocessors=128,
        base_mhz=2235,
        boost_mhz=2520,
        l2_bytes=72 << 20,
        l2_bytes_per_clock=1945,  # rtx4090-l2: 4,903 GB/s at 2,520 MHz, by copies into shared memory
        dram_bytes_per_second=1008e9,
        copy_share=0.91,  # nvbench: 921 GB/s; gpu-bench: 919
        fp32_flops=82.6e12,
        tensor_flops={"tf32": 82.6e12, "fp16": 165.2e12, "bf16": 165.2e12, "fp8": 330.3e12},
        launch_us=1.6,  # as for the L40 of gpu-benches
        graph_node_us=0.63,  # as for the L40 of gpu-benches
        sources=("datasheet", "whitepaper", "rtx4090-l2", "nvbench", "gpu-bench", "gpu-benches", "own"),
    ),
    Gpu(
        "L4",
        "sm_89",
        multiprocessors=58,
        base_mhz=795,  # techpowerup
        boost_mhz=2040,
        l2_bytes=48 << 20,
        l2_bytes_per_clock=880,  # as for the RTX 4090, a multiprocessor
        dram_bytes_per_second=300e9,
        copy_share=0.93,  # as for the L40 of gpu-benches: 800 of 864 GB/s
        fp32_flops=30.3e12,
        tensor_flops={"tf32": 60e12, "fp16": 121e12, "bf16": 121e12, "fp8": 242.5e12},
        launch_us=1.6,  # as for the L40 of gpu-benches: 1.6
        graph_node_us=0.63,  # as for the L40 of gpu-benches
        sources=("datasheet", "techpowerup", "rtx4090-l2", "gpu-benches", "own"),
    ),
    Gpu(
        "H100",  # SXM5, 80 GB
        "sm_90",
        multiprocessors=132,
        base_mhz=1830,  # 989.4e12 / (132 x 2 x 2,048)
        boost_mhz=1980,  # query
        l2_bytes=50 << 20,
        l2_bytes_per_clock=4900,  # as for the H200; gpu-benches: the PCIe one 3,930 with 114 multiprocessors
        dram_bytes_per_second=3352e9,
        copy_share=0.88,  # as for the H200; gpu-benches: 0.79 on a GH200, by a kernel that copies a double a thread
        fp32_flops=66.9e12,
        tensor_flops={"tf32": 494.7e12, "fp16": 989.4e12, "bf16": 989.4e12, "fp8": 1978.9e12},
        launch_us=2.4,  # as for the H200
        graph_node_us=0.84,  # as for the H200
        sources=("datasheet", "whitepaper", "query", "gpu-benches", "luo", "own"),
        mma_share=0.629,  # luo
    ),
    Gpu(
        "H200",
        "sm_90",
        multiprocessors=132,
        base_mhz=1830,  # as for the H100
        boost_mhz=1980,  # own
        l2_bytes=60 << 20,  # own
        l2_bytes_per_clock=4900,  # gpu-benches: 9,700 GB/s at 1,980 MHz
        dram_bytes_per_second=4.8e12,
        copy_share=0.88,  # own: 4,213 GB/s by cudaMemcpy, 3,902 by a kernel
        fp32_flops=66.9e12,
        tensor_flops={"tf32": 494.7e12, "fp16": 989.4e12, "bf16": 989.4e12, "fp8": 1978.9e12},
        launch_us=2.4,  # gpu-benches: 2.433
        graph_node_us=0.84,  # own: 841 for a graph of 1,000
        sources=("datasheet", "own", "gpu-benches", "luo"),
        mma_share=0.629,  # luo
    ),
    Gpu(
        "B200",
        "sm_100",
        multiprocessors=148,
        base_mhz=1860,  # 2,250e12 / (148 x 2 x 4,096)
        boost_mhz=1965,  # query
        l2_bytes=253 << 19,  # ai-kernels: 126.5 MiB
        l2_bytes_per_clock=9470,  # as for the B300 of b300: 64 a multiprocessor (18.25 TB/s at 1,920 MHz)
        dram_bytes_per_second=8e12,
        copy_share=0.83,  # oracle: 4 x 3,312 GB/s read and as much written
        fp32_flops=75e12,
        tensor_flops={"tf32": 1125e12, "fp16": 2250e12, "bf16": 2250e12, "fp8": 4500e12},
        launch_us=2.4,  # as for the H200
        graph_node_us=0.84,  # as for the H200
        sources=("datasheet", "query", "ai-kernels", "b300", "oracle", "gpu-benches", "own"),
    ),
    Gpu(
        "RTX 5090",
        "sm_120",
        multiprocessors=170,
        base_mhz=2017,
        boost_mhz=2407,
        l2_bytes=96 << 20,
        l2_bytes_per_clock=2585,  # as for the RTX 4090, a multiprocessor
        dram_bytes_per_second=1792e9,
        copy_share=0.85,  # gpu-bench: 1,529 GB/s on an RTX 5090 D, which has the same memory
        fp32_flops=104.8e12,
        tensor_flops={"tf32": 104.8e12, "fp16": 209.5e12, "bf16": 209.5e12, "fp8": 419e12},
        launch_us=1.6,  # as for the L40 of gpu-benches
        graph_node_us=0.63,  # as for the L40 of gpu-benches
        sources=("datasheet", "whitepaper", "rtx4090-l2", "gpu-bench", "gpu-benches", "own"),
    ),
)
"""The GPUs that there are figures of."""

_MAKER = ("nvidia", "geforce", "tesla", "quadro", "rtx")


def gpu(name: str) -> Gpu:
    """The GPU of that name.

    Args:
        name: such as "H100" or "NVIDIA GeForce RTX 4090"; case, blanks, hyphens and the maker's words don't matter.

    Raises:
        ValueError: there are no figures of it.
    """
    known = {_plain(one.name): one for one in GPUS}
    plain = _plain(name)
    if plain in known:
        return known[plain]
    near = [known[other].name for other in difflib.get_close_matches(plain, known, n=1)]
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"there are no figures of a GPU {name!r}, only of {', '.join(one.name for one in GPUS)}{meant}")


def _plain(name: str) -> str:
    return re.sub("|".join((*_MAKER, r"[\W_]+")), "", name.lower())
