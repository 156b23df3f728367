"""Kernels that ptxas would make wrong are not compiled."""

import pytest

from gpunn.backend import nvrtc
from gpunn.backend.lost_negation import lost_negations

DOWN = """
extern "C" __global__ void sum(const float* x, float* y, const int* bounds, int n, int step) {
    const int high = bounds[threadIdx.x], low = bounds[threadIdx.x + 32];
    float s = 0;
    for (int i = min(high, n - 1); i >= max(low, 0); --i) s += x[(long long)i * step];
    y[threadIdx.x] = s;
}
extern "C" __global__ void fine(const int* x, int* y, int a) { y[threadIdx.x] = max(a, max(x[0], x[1])); }
"""
THREE = 'extern "C" __global__ void k(const int* x, int* y, int a) {{ y[threadIdx.x] = {}; }}'


@pytest.fixture
def library(cuda_compiler):
    return nvrtc._library(None)


@pytest.mark.parametrize(
    "expression",
    [
        "max(max(-a, x[0]), x[1])",
        "max(x[1], max(x[0], -a))",
        "max(max(x[0], x[1]), -a)",
        "min(min(-a, x[0]), x[1])",
    ],
)
def test_a_negated_operand_among_three(library, expression) -> None:
    with pytest.raises(nvrtc.CompileError, match=r"k\.cu: k: a maximum or minimum of three integers"):
        library.compile("k.cu", THREE.format(expression), ("-arch=sm_90",))


@pytest.mark.parametrize(
    "expression",
    ["max(-a, x[0])", "max(max(a, x[0]), x[1])", "max(min(-a, x[0]), x[1])", "-max(max(a, x[0]), x[1])"],
)
def test_other_maxima_are_compiled(library, expression) -> None:
    assert library.compile("k.cu", THREE.format(expression), ("-arch=sm_90",))[1]


def test_a_loop_that_goes_down_between_two_bounds(library) -> None:
    with pytest.raises(nvrtc.CompileError, match=r"down\.cu: sum: "):
        library.compile("down.cu", DOWN, ("-arch=sm_90",))


def test_of_several_kernels_those_are_named() -> None:
    kernel = (
        ".visible .entry {}(\n)\n{{\n\tneg.s32 \t%r4, %r1;\n\tmax.s32 \t%r5, %r4, %r2;\n\t{}.s32 \t%r6, %r5, %r3;\n}}\n"
    )
    assert lost_negations(kernel.format("a", "max") + kernel.format("b", "min") + kernel.format("c", "max")) == [
        "a",
        "c",
    ]
    assert lost_negations("") == []
