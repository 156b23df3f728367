// What every kernel text uses: the index of an element, in 64 bits, and the loop over all elements of a grid's share.
#pragma once

typedef long long index_t;

// The first element of this thread, and the distance to its next one: a loop over them covers any number of elements
// with any grid, also more than one grid can hold.
__device__ __forceinline__ index_t first_index() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ index_t index_stride() { return (index_t)gridDim.x * blockDim.x; }

// i / n for i >= 0. Division of 64 bits takes a GPU several times as long as that of 32, and few arrays need it.
__device__ __forceinline__ index_t quotient(index_t i, int n) {
    return i >> 32 == 0 ? (unsigned)i / (unsigned)n : i / n;
}
