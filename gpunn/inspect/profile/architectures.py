"""What a multiprocessor of each architecture does at best, each figure with its source.

A figure's comment has the label of its source in `SOURCES` and, if the figure isn't there as it stands, how it comes
from what is. "As for X" says that no public figure was found and whose is taken. No figure was fitted to the times of
kernels: those judge what is predicted from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCES = {
    "guide": "NVIDIA, CUDA C++ Best Practices Guide 13, 12.1.1, table Throughput of Native Arithmetic Instructions (up "
    "to 12.9 in the CUDA C++ Programming Guide, 8.4.1), with footnotes",
    "whitepaper": "NVIDIA's architecture whitepapers: Turing TU102/TU104, A100, GA102 v2, Ada, H100, RTX Blackwell",
    "datasheet": "NVIDIA's datasheet or product page of the GPU; without sparsity, with float32 accumulators",
    "techpowerup": "TechPowerUp GPU Specs Database; clocks that NVIDIA's datasheet leaves out",
    "query": "what cudaGetDeviceProperties and nvidia-smi say of such a GPU",
    "nak": "Mesa, src/nouveau/compiler/nak/sm75_instr_latencies.rs and sm80_instr_latencies.rs: tables by NVIDIA",
    "sass": "github.com/cicuvc/nvidia-sass-document f20cda1: latencies of sm_90, measurements on sm_120",
    "rtx2070": "github.com/sjfeng1999/gpu-arch-microbenchmark, README: RTX 2070",
    "abdelkhalik": "Abdelkhalik et al. 2022, arXiv:2208.11174, memory latencies of an A100",
    "gpu-benches": "github.com/RRZE-HPC/gpu-benches 1038c5d, result files for V100, A100 80 GB, A40, L40, H200, GH200",
    "ai-kernels": "github.com/markdewing/AI_kernels d916a39, latency/: pointer chasing on ten GPUs; its L1 figures are "
    "6 to 8 cycles above those of gpu-benches on the GPUs that both have",
    "rtx4070": "SASS Reverse Engineering Results, RTX 4070 Ti (SM 8.9): chains of 512 dependent instructions",
    "hmma": "Findings and open hypotheses, SM120, chapter 13: N dependent HMMA.16816.F32 take 310 + 35 N cycles",
    "luo": "Luo et al. 2024, arXiv:2402.13499, tensor cores: mma reaches 62.9 % of an H800's peak on average",
    "b300": "github.com/ademeure/QuickRunCUDA, B300_PIPE_CATALOG.md of 0002549 and its audits: a B300 with 148 "
    "multiprocessors at 1,920 MHz",
    "cuda-demo": "github.com/router-gao/cuda-demo, bandwidthTest of the CUDA samples on a T4",
    "nvbench": "github.com/xytpai/nvbench, README: threads that copy 1 GB on an RTX 4090",
    "gpu-bench": "github.com/binbinsh/gpu-bench, README: cudaMemcpy on the device, RTX 5090 D and RTX 4090",
    "oracle": "Oracle's guide to its Grace Blackwell machines, nvbandwidth device_local_copy of their four GPUs",
    "rtx4090-l2": "github.com/smallscientist1/cuda_microbenchmark, analysis_RTX4090.md",
    "simllm": "github.com/openfabric-systems/simllm, documentation: launches on a GTX 1660 Ti",
    "own": "benchmarks/results/gpu_nvidia_h200.json: an H200",
}
"""What the figures are from, those of GPUs too, by label."""


@dataclass(frozen=True)
class Architecture:
    """What a multiprocessor does at best.

    Attributes:
        arch: its name, such as "sm_90".
        per_clock: results a clock cycle, of its four parts together: "fp32" (add, multiply, fused multiply-add; its
            comparisons, minima and selections go with "logic"), "fp64", "fp16" (results: an instruction on two halves
            gives two), "int_add", "imad" (shares its pipe with half of "fp32"), "logic" (also shifts, comparisons,
            selections, moves), "mufu", "convert" (of 32 bits and fewer), "convert_64", "shuffle", "warp_vote", and
            "reduce" where there is such an instruction.
        l1_bytes: of L1 cache and shared memory together.
        l1_bytes_per_clock: most that it reads from them.
        l1_narrow_bytes_per_clock: most that it reads from the L1 cache with loads of four bytes a thread.
        latency: clock cycles from an instruction to one that needs its result: "alu", "fp64", "mufu", "shuffle",
            "tensor" (HMMA m16n8k16), "shared", and "l1", "l2", "dram" by where a load from global memory finds it.
            "barrier" is that of a block without its warps, each of which adds two cycles.
        sources: the labels of all these figures.
    """

    arch: str
    per_clock: Mapping[str, int]
    l1_bytes: int
    l1_bytes_per_clock: int
    l1_narrow_bytes_per_clock: int
    latency: Mapping[str, int]
    sources: tuple[str, ...]


# guide: the rows that are the same for all. "convert" is its row "all other type conversions"; what is faster or slower
# is float16 to float32 (64) and, after 10.0, float32 to int32 (2). Minima of float32 are 128 on 10.0.
_ALL = {"logic": 64, "mufu": 16, "convert": 16, "shuffle": 32}
# guide. "fp16" of 10.0 and 12.0 is 64 instructions on two halves, and b300 measured it: as many FLOP/s as in float32.
_PER_CLOCK = {
    "sm_75": _ALL | {"fp32": 64, "fp64": 2, "fp16": 128, "int_add": 64, "imad": 64, "convert_64": 2, "warp_vote": 64},
    "sm_80": _ALL
    | {"fp32": 64, "fp64": 32, "fp16": 256, "int_add": 64, "imad": 64, "convert_64": 16, "warp_vote": 64}
    | {"reduce": 16},
    "sm_86": _ALL
    | {"fp32": 128, "fp64": 2, "fp16": 128, "int_add": 64, "imad": 64, "convert_64": 2, "warp_vote": 64}
    | {"reduce": 16},
    "sm_89": _ALL
    | {"fp32": 128, "fp64": 2, "fp16": 128, "int_add": 64, "imad": 64, "convert_64": 2, "warp_vote": 64}
    | {"reduce": 16},
    "sm_90": _ALL
    | {"fp32": 128, "fp64": 64, "fp16": 256, "int_add": 64, "imad": 64, "convert_64": 16, "warp_vote": 64}
    | {"reduce": 16},
    "sm_100": _ALL
    | {"fp32": 128, "fp64": 64, "fp16": 128, "int_add": 64, "imad": 64, "convert_64": 16, "warp_vote": 64}
    | {"reduce": 16},
    "sm_120": _ALL
    | {"fp32": 128, "fp64": 2, "fp16": 128, "int_add": 128, "imad": 64, "convert_64": 2, "warp_vote": 128}
    | {"reduce": 16},
}

ARCHITECTURES = {
    "sm_75": Architecture(
        "sm_75",
        _PER_CLOCK["sm_75"],
        l1_bytes=96 << 10,  # whitepaper
        l1_bytes_per_clock=64,  # whitepaper, that of GA102: 116 GB/s a multiprocessor of an RTX 2080 Super at 1,815 MHz
        l1_narrow_bytes_per_clock=64,
        latency={
            "alu": 4,  # nak
            "fp64": 54,  # as for sm_89, which has as many units
            "mufu": 18,  # as for sm_89
            "shuffle": 25,  # as for sm_89
            "tensor": 22,  # nak
            "barrier": 22,  # as for sm_100
            "shared": 23,  # rtx2070
            "l1": 32,  # rtx2070
            "l2": 236,  # rtx2070
            "dram": 434,  # as for the V100 of gpu-benches
        },
        sources=("guide", "whitepaper", "nak", "rtx2070", "rtx4070", "b300", "gpu-benches"),
    ),
    "sm_80": Architecture(
        "sm_80",
        _PER_CLOCK["sm_80"],
        l1_bytes=192 << 10,  # whitepaper
        l1_bytes_per_clock=128,  # whitepaper; gpu-benches: 125 (19,100 GB/s, 108 multiprocessors, 1,410 MHz)
        l1_narrow_bytes_per_clock=128,  # gpu-benches, the same
        latency={
            "alu": 4,  # nak; 5 from the pipe of multiplications to the other and back
            "fp64": 6,  # nak
            "mufu": 18,  # as for sm_89
            "shuffle": 25,  # as for sm_89
            "tensor": 18,  # nak
            "barrier": 22,  # as for sm_100
            "shared": 23,  # abdelkhalik
            "l1": 33,  # gpu-benches, abdelkhalik
            "l2": 206,  # gpu-benches, the near half of the cache (the far one 400); abdelkhalik: 200
            "dram": 551,  # gpu-benches
        },
        sources=("guide", "whitepaper", "nak", "abdelkhalik", "gpu-benches", "rtx4070", "b300"),
    ),
    "sm_86": Architecture(
        "sm_86",
        _PER_CLOCK["sm_86"],
        l1_bytes=128 << 10,  # whitepaper
        l1_bytes_per_clock=128,  # whitepaper: 219 GB/s a multiprocessor of an RTX 3080 at 1,710 MHz
        l1_narrow_bytes_per_clock=64,  # gpu-benches: A40, 9,350 GB/s, 84 multiprocessors, 1,740 MHz
        latency={
            "alu": 4,  # as for sm_80
            "fp64": 54,  # as for sm_89
            "mufu": 18,  # as for sm_89
            "shuffle": 25,  # as for sm_89
            "tensor": 35,  # as for sm_120
            "barrier": 22,  # as for sm_100
            "shared": 23,  # as for sm_80
            "l1": 33,  # gpu-benches: A40
            "l2": 250,  # gpu-benches: A40
            "dram": 556,  # gpu-benches: A40
        },
        sources=("guide", "whitepaper", "nak", "abdelkhalik", "gpu-benches", "rtx4070", "hmma", "b300"),
    ),
    "sm_89": Architecture(
        "sm_89",
        _PER_CLOCK["sm_89"],
        l1_bytes=128 << 10,  # whitepaper
        l1_bytes_per_clock=128,  # as for sm_86
        l1_narrow_bytes_per_clock=64,  # gpu-benches: L40, 22,620 GB/s, 142 multiprocessors, 2,490 MHz
        latency={
            "alu": 4,  # as for sm_80; rtx4070: 4.5 with the loop
            "fp64": 54,  # rtx4070: DFMA
            "mufu": 18,  # rtx4070: EX2
            "shuffle": 25,  # rtx4070
            "tensor": 35,  # as for sm_120
            "barrier": 22,  # as for sm_100
            "shared": 24,  # as for sm_100; rtx4070: 28 in a chain that also computes addresses
            "l1": 34,  # gpu-benches: L40
            "l2": 274,  # gpu-benches: L40
            "dram": 625,  # gpu-benches: L40
        },
        sources=("guide", "whitepaper", "nak", "gpu-benches", "rtx4070", "hmma", "b300"),
    ),
    "sm_90": Architecture(
        "sm_90",
        _PER_CLOCK["sm_90"],
        l1_bytes=256 << 10,  # whitepaper
        l1_bytes_per_clock=128,  # gpu-benches: H200, 128
        l1_narrow_bytes_per_clock=128,  # gpu-benches: H200, 126
        latency={
            "alu": 4,  # as for sm_80
            "fp64": 6,  # as for sm_80
            "mufu": 18,  # as for sm_89
            "shuffle": 24,  # as for sm_100
            "tensor": 28,  # sass
            "barrier": 22,  # as for sm_100
            "shared": 24,  # as for sm_100
            "l1": 32,  # gpu-benches: GH200
            "l2": 280,  # gpu-benches: GH200, the near half of the cache (the far one 490)
            "dram": 688,  # gpu-benches: GH200; ai-kernels: H100 SXM 700
        },
        sources=("guide", "whitepaper", "nak", "sass", "gpu-benches", "ai-kernels", "rtx4070", "b300"),
    ),
    "sm_100": Architecture(
        "sm_100",
        _PER_CLOCK["sm_100"],
        l1_bytes=256 << 10,  # ai-kernels
        l1_bytes_per_clock=128,  # b300
        l1_narrow_bytes_per_clock=128,  # as for sm_90
        latency={
            "alu": 4,  # b300
            "fp64": 6,  # as for sm_80
            "mufu": 18,  # as for sm_120; b300: 14 (EX2), 24 (SIN)
            "shuffle": 24,  # b300
            "tensor": 28,  # as for sm_90
            "barrier": 22,  # b300: 22 and 2 for each warp
            "shared": 24,  # b300
            "l1": 33,  # ai-kernels: B200 40, less 7
            "l2": 295,  # ai-kernels: B200
            "dram": 860,  # ai-kernels: B200
        },
        sources=("guide", "nak", "sass", "gpu-benches", "ai-kernels", "b300"),
    ),
    "sm_120": Architecture(
        "sm_120",
        _PER_CLOCK["sm_120"],
        l1_bytes=128 << 10,  # whitepaper
        l1_bytes_per_clock=128,  # as for sm_86
        l1_narrow_bytes_per_clock=64,  # as for sm_89
        latency={
            "alu": 4,  # as for sm_100
            "fp64": 64,  # as for the B300 of b300, which has as many units
            "mufu": 18,  # sass
            "shuffle": 24,  # as for sm_100
            "tensor": 35,  # hmma
            "barrier": 22,  # as for sm_100
            "shared": 24,  # as for sm_100
            "l1": 37,  # ai-kernels: RTX 5090 44, less 7
            "l2": 360,  # ai-kernels: RTX 5090
            "dram": 936,  # ai-kernels: RTX 5090
        },
        sources=("guide", "whitepaper", "sass", "hmma", "ai-kernels", "gpu-benches", "b300"),
    ),
}
"""The architectures that gpunn is made for."""
