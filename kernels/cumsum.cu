// Running sums along the middle axis of x (outer, length, inner): y[o, k, c] = sum of x[o, j, c] over j <= k, or over
// j >= k if `reverse`. Half precision is summed in float32, and each sum is rounded once.
//
// Each rung reads every element once and writes every sum once.
//
// compiled for scalar_t = uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "functions.cuh"
#include "team.cuh"

// First rung, naive: one thread a line, from the first element to the last. Reads memory well only where inner > 1.
extern "C" __global__ void __launch_bounds__(256) cumsum_naive(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long outer, long long length, long long inner, bool reverse) {
    const index_t line = Alone::row();
    if (line >= outer * inner) return;
    const index_t start = line / inner * length * inner + line % inner;
    acc_t sum = 0;
    for (index_t k = 0; k < length; ++k) {
        const index_t i = start + (reverse ? length - 1 - k : k) * inner;
        sum = binary_function<acc_t>(sum, x[i], ADD);
        y[i] = sum;
    }
}

// Second rung, block: 256 threads a line, 256 elements a step. The threads of a warp add up what is before them by
// shuffles (Hillis and Steele 1986), then what the warps before theirs have found, and what came in earlier steps.
// Costs five additions an element and two barriers a step; needs no more than one line to keep a block busy.
extern "C" __global__ void __launch_bounds__(256) cumsum_block(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long outer, long long length, long long inner, bool reverse) {
    __shared__ acc_t of_warp[8];
    const index_t line = Block::row(), start = line / inner * length * inner + line % inner;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    acc_t earlier = 0;
    for (index_t step = 0; step < length; step += 256) {
        const index_t k = step + threadIdx.x, i = start + (reverse ? length - 1 - k : k) * inner;
        acc_t sum = k < length ? acc_t(x[i]) : acc_t(0);
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) {
            const acc_t before = __shfl_up_sync(0xffffffffu, sum, distance);
            if (lane >= distance) sum = binary_function<acc_t>(before, sum, ADD);
        }
        if (lane == 31) of_warp[warp] = sum;
        __syncthreads();
        acc_t others = earlier;
        for (int w = 0; w < 8; ++w) {
            if (w == warp) sum = binary_function<acc_t>(others, sum, ADD);
            others = binary_function<acc_t>(others, of_warp[w], ADD);
        }
        earlier = others;
        if (k < length) y[i] = sum;
        __syncthreads();  // before `of_warp` is used again
    }
}
