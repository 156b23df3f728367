"""The tables of GPUs and architectures, against sums of other figures of the datasheets."""

from __future__ import annotations

import pytest

from gpunn.backend.nvrtc import ARCHITECTURES as COMPILED
from gpunn.inspect.profile.gpus import ARCHITECTURES, GPUS, SOURCES, gpu
from gpunn.inspect.profile.occupancy import LIMITS

# Bits of the memory's bus; Gbit/s of each of its pins; dense multiply-adds of float16 into float32 that the tensor
# cores of a multiprocessor do a clock cycle; the clock in MHz that the maker reckons with for them (that of the B200 is
# hmc-tech.com's, NVIDIA tells none).
DATASHEETS = {
    "T4": (256, 10, 512, 1590),
    "RTX 3090": (384, 19.5, 256, 1695),
    "RTX A6000": (384, 16, 512, 1800),
    "A100": (5120, 2 * 1.593, 1024, 1410),
    "RTX 4090": (384, 21, 256, 2520),
    "L4": (192, 12.5, 512, 2040),
    "H100": (5120, 2 * 2.619, 2048, 1830),
    "H200": (6144, 2 * 3.201, 2048, 1830),
    "B200": (8192, 8, 4096, 1860),
    "RTX 5090": (512, 28, 256, 2407),
}


@pytest.mark.parametrize("one", GPUS, ids=lambda one: one.name)
def test_the_makers_peaks_are_products_of_other_figures(one) -> None:
    bits, gigabits, multiply_adds, mhz = DATASHEETS[one.name]
    fp32 = one.multiprocessors * one.architecture.per_clock["fp32"] * 2 * one.boost_mhz * 1e6
    assert fp32 == pytest.approx(one.fp32_flops, rel=0.01)
    assert one.multiprocessors * multiply_adds * 2 * mhz * 1e6 == pytest.approx(one.tensor_flops["fp16"], rel=0.01)
    # The datasheets of the two with HBM3e say 2.4 and 2.3 % less than their pins do.
    rounded = {"H200": 0.025, "B200": 0.025}.get(one.name, 0.002)
    assert bits / 8 * gigabits * 1e9 == pytest.approx(one.dram_bytes_per_second, rel=rounded)


@pytest.mark.parametrize("one", GPUS, ids=lambda one: one.name)
def test_figures_of_a_gpu_fit_together(one) -> None:
    precisions = one.tensor_flops
    assert one.arch == "sm_75" or precisions["bf16"] == precisions["fp16"] == pytest.approx(
        2 * precisions["tf32"], rel=0.01
    )
    assert "fp8" not in precisions or precisions["fp8"] == pytest.approx(2 * precisions["fp16"], rel=0.01)
    assert one.base_mhz < one.boost_mhz
    assert 0.7 < one.copy_share < 1 and one.graph_node_us < one.launch_us
    # A multiprocessor gets at most 64 bytes a clock cycle from the L2 cache, and that is faster than DRAM.
    assert one.l2_bytes_per_clock <= 64 * one.multiprocessors
    assert one.l2_bytes_per_clock * one.boost_mhz * 1e6 > one.dram_bytes_per_second


def test_every_architecture_is_there() -> None:
    assert tuple(ARCHITECTURES) == COMPILED
    assert {one.arch for one in GPUS} == set(COMPILED)
    for arch, one in ARCHITECTURES.items():
        assert one.arch == arch
        assert LIMITS[arch].shared < one.l1_bytes
        assert one.latency["shared"] < one.latency["l1"] < one.latency["l2"] < one.latency["dram"]
        assert one.per_clock.keys() | {"reduce"} == ARCHITECTURES["sm_90"].per_clock.keys()
        assert one.latency.keys() == ARCHITECTURES["sm_90"].latency.keys()


def test_every_source_is_there_and_used() -> None:
    assert {label for one in (*GPUS, *ARCHITECTURES.values()) for label in one.sources} == set(SOURCES)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("h100", "H100"),
        ("rtx-4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("Tesla T4", "T4"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("a6000", "RTX A6000"),
        (" RTX_5090 ", "RTX 5090"),
    ],
)
def test_names(name, found) -> None:
    assert gpu(name).name == found


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"no figures of a GPU 'h20', only of T4, RTX 3090, .*; did you mean H200\?"):
        gpu("h20")
    with pytest.raises(ValueError, match=r"RTX 5090$"):
        gpu("")
