// Triangles of matrices: y[i, j] = x[i, j] where j - i <= k (lower) or j - i >= k (upper), else 0, for x (..., rows,
// columns). One thread an element; the cost is that of a copy.
//
// compiled for element_t = uint8, int16, int32, int64
#include "common.cuh"

extern "C" __global__ void triangle(
    const element_t* __restrict__ x, element_t* __restrict__ y,
    long long rows, long long columns, long long k, int upper, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t distance = i % columns - i / columns % rows;  // to the right of the main diagonal
        const bool kept = upper ? distance >= k : distance <= k;
        y[i] = kept ? x[i] : (element_t)0;
    }
}
