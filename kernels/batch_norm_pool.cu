// The norm of a batch (batch_norm.cu), maybe a ReLU, and a maximum pooling by windows of 2 x 2 that lie side by side.
//
//   p = the largest y of each window,  numbers = which of them it is: 2 row + column
//
// y is not written: a pass over memory less, and the reading of that. Of equal elements the first is taken, of NaNs the
// last, as in max_pool.cu.
//
// A team of threads has a channel, and goes over windows: of x (n, c, windows) each is two pairs of neighbours, the lower
// one `out_w` pairs behind the upper one.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "batch_norm.cuh"
#include "largest.cuh"
#include "quad.cuh"
#include "windows.cuh"

template <class Team>
__device__ __forceinline__ void max_pool(
    const scalar_t* __restrict__ x, const Affine& affine, scalar_t* __restrict__ p,
    unsigned char* __restrict__ numbers, const Sizes& size, int out_w, acc_t lowest) {
    const Pair<scalar_t>* pairs = (const Pair<scalar_t>*)x;
    for (auto walk = walk_over<Team>(size); walk.left(); walk.next()) {
        const index_t upper = walk.at + quotient(walk.at, out_w) * out_w;
        const Pair<scalar_t> above = pairs[upper], below = pairs[upper + out_w];
        acc_t window[4] = {above.v[0], above.v[1], below.v[0], below.v[1]};
#pragma unroll
        for (int k = 0; k < 4; ++k) window[k] = at_least(affine.of(window[k]), lowest);
        int number;
        p[walk.at] = largest(window, number);
        numbers[walk.at] = number;
    }
}

template <class Team>
__device__ __forceinline__ void max_pool_of_channel(
    const scalar_t* __restrict__ x, const acc_t* mean, const acc_t* var, const acc_t* weight, const acc_t* bias,
    scalar_t* __restrict__ p, unsigned char* __restrict__ numbers, const Sizes& size, int out_w, acc_t eps, bool relu) {
    const index_t channel = Team::row();
    if (channel >= size.c) return;
    const Affine affine(channel, mean[channel], rstd_of(var[channel], eps), weight, bias);
    max_pool<Team>(x, affine, p, numbers, size, out_w, lowest_of(relu));
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_block(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ p, unsigned char* __restrict__ numbers, long long n, long long c, long long windows,
    int out_w, acc_t eps, bool relu) {
    max_pool_of_channel<Block>(x, mean, var, weight, bias, p, numbers, {n, c, windows}, out_w, eps, relu);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_columns(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ p, unsigned char* __restrict__ numbers, long long n, long long c, long long windows,
    int out_w, acc_t eps, bool relu) {
    max_pool_of_channel<Columns>(x, mean, var, weight, bias, p, numbers, {n, c, windows}, out_w, eps, relu);
}
