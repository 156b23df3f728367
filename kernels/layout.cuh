// Where the elements of an array with strides lie, for kernels that take views and broadcast arrays as they are.
#pragma once
#include "common.cuh"

constexpr int MAX_RANK = 6;

// The host merges axes that lie in memory as one, and sends arrays with more axes in several launches. Axes that are
// not there have size 1; a broadcast axis has stride 0. Strides are in elements and may be negative.
struct Layout {
    index_t size[MAX_RANK];
    index_t stride[MAX_RANK];
};

// The offset in memory of element i, counted in row-major order (last axis fastest).
__device__ __forceinline__ index_t offset_of(const Layout& layout, index_t i) {
    index_t offset = 0;
#pragma unroll
    for (int axis = MAX_RANK - 1; axis > 0; --axis) {
        const index_t size = layout.size[axis];
        if (size == 1) continue;
        const index_t rest = i / size;
        offset += (i - rest * size) * layout.stride[axis];
        i = rest;
    }
    return offset + i * layout.stride[0];
}
