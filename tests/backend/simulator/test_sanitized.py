"""The address sanitizer's mode."""

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError

pytestmark = pytest.mark.slow

F, I = np.float32, np.int32

CODE = r"""#line 1 "guarded.cu"
extern "C" __global__ void good(const float* x, float* y, int n) {
    __shared__ float s[64];
    extern __shared__ float t[];
    s[threadIdx.x] = x[threadIdx.x];
    t[threadIdx.x] = __shfl_xor_sync(~0u, x[threadIdx.x], 1);
    __syncthreads();
    if (threadIdx.x < n) y[threadIdx.x] = s[63 - threadIdx.x] + t[threadIdx.x];
}
extern "C" __global__ void local(float* y, int n) {
    float v[4] = {1.0f, 2.0f, 3.0f, 4.0f}, w[4] = {};
    float* which = y[0] > 0.0f ? w : v;
    y[threadIdx.x] = which[n];  // past the end of a local array
}
extern "C" __global__ void global(float* y, int n) { y[n] = 1.0f; }
extern "C" __global__ void shared(float* y, int n) {
    __shared__ float s[64], t[64];
    float* const both[2] = {s, t};
    both[n & 1][threadIdx.x + n] = t[threadIdx.x] = 1.0f;
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void dynamic(float* y, int n) { extern __shared__ float s[]; s[threadIdx.x + n] = 1.0f; }
extern "C" __global__ void null(float* y, int n) { y[n] = 1.0f; }
extern "C" __global__ void diverges(float* y, int n) { if (threadIdx.x < n) __syncthreads(); }
"""


@pytest.fixture(scope="module")
def module():
    return RawModule(code=CODE, mode="asan")


def test_a_kernel_without_bugs(module):
    x, y = np.arange(64, dtype=F), np.zeros((8, 8), F)
    for order in ("forward", "random"):
        kernel = module.get_function("good")
        kernel.order = order
        kernel((1,), (64,), (x, y, I(64)), shared_mem=256)
        assert (y.reshape(-1) == x[::-1] + (np.arange(64) ^ 1)).all()
    with pytest.raises(SimulatorError, match="argument 3 'n' takes"):
        kernel((1,), (64,), (x, y, F(64)), shared_mem=256)


@pytest.mark.parametrize(
    ("name", "n", "kind", "line"),
    [
        ("local", 4, "out of bounds", 12),
        ("global", 64, "out of bounds", 14),
        ("shared", 64, "out of bounds", 18),
        ("dynamic", 64, "out of bounds", 22),
        ("null", 1, "null pointer", 23),
        ("diverges", 8, "exited threads at a barrier", 24),
    ],
)
def test_bugs(module, name, n, kind, line):
    y = None if name == "null" else np.zeros(64, F)
    with pytest.raises(SimulatorError) as caught:
        module.get_function(name)((1,), (64,), (y, I(n)), shared_mem=256)
    assert (caught.value.kind, caught.value.file, caught.value.line) == (kind, "guarded.cu", line), caught.value
