// The first index that is not low <= i < high, nor `ignored`: found[2 b] is its place in the part of block b, and -1 where
// there is none, and found[2 b + 1] its value. The host reads the few numbers in `found` and takes the smallest place.
// It may look later: a place that stands there already stays, so `found` is -1 at first.
//
// Block b looks at every gridDim.x-th piece of 256 indices. No atomics: each block has a number of its own, and within
// it the smallest place is found by halves.
//
// compiled for integer_t = uint8, int8, int16, int32, int64
#include "common.cuh"

constexpr int THREADS = 256;

__device__ __forceinline__ void write_found(long long* found, index_t place, const integer_t* index) {
    long long* mine = found + 2 * blockIdx.x;
    if (mine[0] >= 0) return;
    mine[0] = place;
    mine[1] = place < 0 ? 0 : (long long)index[place];
}

extern "C" __global__ void __launch_bounds__(THREADS) first_outside(
    const integer_t* __restrict__ index, long long* __restrict__ found,
    long long count, long long low, long long high, int may_ignore, long long ignored) {
    __shared__ index_t first[THREADS];
    index_t mine = count;
    for (index_t i = first_index(); i < count && mine == count; i += index_stride()) {
        const long long value = index[i];
        if ((value < low || value >= high) && !(may_ignore && value == ignored)) mine = i;
    }
    first[threadIdx.x] = mine;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) first[threadIdx.x] = min(first[threadIdx.x], first[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) write_found(found, first[0] < count ? first[0] : -1, index);
}
