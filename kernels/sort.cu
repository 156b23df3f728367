// Sorting of pairs (key, position) by key, those of equal keys by position: stable, and the same for any order of
// threads.
//
// Bitonic sort (Batcher 1968): a fixed net of comparisons, in place, with neither temporary memory nor anything that
// depends on the data, so that it can be captured. `count` pairs are rows of `length`, a power of two, each sorted by
// itself. Sorted runs are merged to twice their length, log2(length) times; merging runs of length r takes log2(r)
// steps, the first of which compare pairs r / 2 apart. Cost: n log2(n)^2 / 4 comparisons. Steps within a tile run in
// shared memory, one launch for all; each step that reaches further is a launch that reads and writes everything.
#include "common.cuh"

constexpr int TILE = 1024;
constexpr int THREADS = 512;

// Whether pair a belongs after pair b.
__device__ __forceinline__ bool after(
    unsigned long long key_a, int position_a, unsigned long long key_b, int position_b) {
    return key_a > key_b || (key_a == key_b && position_a > position_b);
}

// Puts pairs i and j in order, which is descending in every other run, so that two runs together are bitonic.
__device__ __forceinline__ void order(unsigned long long* key, int* position, int i, int j, bool descending) {
    const unsigned long long a = key[i], b = key[j];
    const int at_a = position[i], at_b = position[j];
    if (after(a, at_a, b, at_b) == descending) return;
    key[i] = b, key[j] = a;
    position[i] = at_b, position[j] = at_a;
}

// The steps of merging to runs of `from`, 2 `from`, ... `to` elements that stay within a tile.
extern "C" __global__ void __launch_bounds__(THREADS) sort_tiles(
    unsigned long long* __restrict__ key, int* __restrict__ position,
    long long count, long long length, long long from, long long to) {
    __shared__ unsigned long long tile_key[TILE];
    __shared__ int tile_position[TILE];
    const index_t start = (index_t)blockIdx.x * TILE;
    for (int i = threadIdx.x; i < TILE && start + i < count; i += THREADS) {
        tile_key[i] = key[start + i];
        tile_position[i] = position[start + i];
    }
    for (index_t run = from; run <= to; run *= 2) {
        for (int distance = min(run, (index_t)TILE) / 2; distance > 0; distance /= 2) {
            __syncthreads();
            const int i = threadIdx.x / distance * distance + threadIdx.x;
            const bool descending = (start + i) & (length - 1) & run;
            if (start + i < count) order(tile_key, tile_position, i, i + distance, descending);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TILE && start + i < count; i += THREADS) {
        key[start + i] = tile_key[i];
        position[start + i] = tile_position[i];
    }
}

// One step of merging to runs of `run` elements: pairs `distance` apart, at least a tile. One thread for two pairs.
extern "C" __global__ void sort_step(
    unsigned long long* __restrict__ key, int* __restrict__ position,
    long long length, long long run, long long distance, long long half_count) {
    for (index_t thread = first_index(); thread < half_count; thread += index_stride()) {
        const index_t i = thread / distance * distance + thread, j = i + distance;
        const bool descending = i & (length - 1) & run;
        const unsigned long long a = key[i], b = key[j];
        const int at_a = position[i], at_b = position[j];
        if (after(a, at_a, b, at_b) == descending) continue;
        key[i] = b, key[j] = a;
        position[i] = at_b, position[j] = at_a;
    }
}
