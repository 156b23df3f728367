// y[i] = start + i step, each operation rounded by itself: a fused one would give other bits than the CPU.
//
// compiled for scalar_t = int64, float64
#include "common.cuh"

__device__ __forceinline__ double term(double start, double step, index_t i) {
    return __dadd_rn(start, __dmul_rn((double)i, step));
}
__device__ __forceinline__ long long term(long long start, long long step, index_t i) { return start + i * step; }

extern "C" __global__ void arange(scalar_t* __restrict__ y, scalar_t start, scalar_t step, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) y[i] = term(start, step, i);
}
