// The norm of a batch (batch_norm.cu), maybe a ReLU, and a maximum pooling by windows of 2 x 2 that lie side by side.
//
//   p = the largest y of each window,  numbers = which of them it is: 2 row + column
//
// y is not written: a pass over memory less, and the reading of that. Of equal elements the first is taken, of NaNs the
// last, as in max_pool.cu. The gradients come from that of p: dy is dp at the elements that were chosen, where a ReLU let
// them through, and 0 at all others. It is not written either.
//
// A team of threads has a channel, and goes over windows: of x (n, c, windows) each is two pairs of neighbours, the lower
// one `out_w` pairs behind the upper one.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "batch_norm_gradient.cuh"
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

// ---- Backward -------------------------------------------------------------------------------------------------------

// What was normalised, p and its gradient.
struct Pooled {
    const scalar_t* __restrict__ dp;
    const scalar_t* __restrict__ p;  // null: there is no ReLU
    const unsigned char* __restrict__ numbers;
    const scalar_t* __restrict__ x;
    int out_w;

    __device__ __forceinline__ acc_t gradient(index_t window) const {
        const acc_t g = dp[window];
        return p != nullptr && acc_t(p[window]) <= 0 ? acc_t(0) : g;
    }
    // The pair of neighbours that is the upper half of a window.
    __device__ __forceinline__ index_t upper(index_t window) const { return window + quotient(window, out_w) * out_w; }
    // The element that a window chose. Which one that is decides nothing about what is read: so nobody waits for it.
    __device__ __forceinline__ acc_t chosen(index_t window) const {
        const Pair<scalar_t>* pair = (const Pair<scalar_t>*)x + upper(window);
        const Pair<scalar_t> above = pair[0], below = pair[out_w];
        const int number = numbers[window];
        return number < 2 ? number == 0 ? above.v[0] : above.v[1] : number == 2 ? below.v[0] : below.v[1];
    }
};

// The sums of dy and of dy (x - mean) over the block's share of the windows of a channel
template <class Team>
__device__ __forceinline__ void backward_share(
    const Pooled& pooled, const acc_t* mean, const acc_t* var, acc_t* parts, unsigned* arrived, acc_t* sums,
    acc_t* dweight, acc_t* dbias, const Sizes& size, acc_t eps) {
    Sums found = {0, 0};
    const acc_t mu = mean[min(Team::row(), size.c - 1)];
    for (auto walk = walk_over<Team>(size); walk.left(); walk.next()) {
        const acc_t g = pooled.gradient(walk.at);
        found.first += g;
        found.second = fma(g, pooled.chosen(walk.at) - mu, found.second);
    }
    join_sums<Team>(Team::reduce(found), size, parts, arrived, sums, var, eps, dweight, dbias);
}

template <class Team>
__device__ __forceinline__ void backward_apply(
    const Pooled& pooled, const acc_t* weight, const acc_t* mean, const acc_t* var, const acc_t* sums,
    scalar_t* __restrict__ dx, const Sizes& size, acc_t eps) {
    const index_t channel = Team::row();
    if (channel >= size.c) return;
    const acc_t rstd = rstd_of(var[channel], eps);
    const Affine affine(channel, mean[channel], rstd, weight, nullptr);
    const Sums both = {sums[channel], sums[size.c + channel]};
    const InputGradient gradient(both, affine, rstd, 4 * size.n * size.m);
    const Pair<scalar_t>* from = (const Pair<scalar_t>*)pooled.x;
    Pair<scalar_t>* to = (Pair<scalar_t>*)dx;
    for (auto walk = walk_over<Team>(size); walk.left(); walk.next()) {
        const index_t upper = pooled.upper(walk.at);
        const acc_t g = pooled.gradient(walk.at);
        const int number = pooled.numbers[walk.at];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const Pair<scalar_t> x = from[upper + half * pooled.out_w];
            Pair<scalar_t> result;
#pragma unroll
            for (int e = 0; e < 2; ++e) result.v[e] = gradient.of(x.v[e], number == 2 * half + e ? g : acc_t(0));
            to[upper + half * pooled.out_w] = result;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_backward_share_block(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,  // null: there is no ReLU
    const unsigned char* __restrict__ numbers, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ sums,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long windows, int out_w, acc_t eps) {
    const Pooled pooled = {dp, p, numbers, x, out_w};
    backward_share<Block>(pooled, mean, var, parts, arrived, sums, dweight, dbias, {n, c, windows}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_backward_share_columns(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,  // null: there is no ReLU
    const unsigned char* __restrict__ numbers, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ sums,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long windows, int out_w, acc_t eps) {
    const Pooled pooled = {dp, p, numbers, x, out_w};
    backward_share<Columns>(pooled, mean, var, parts, arrived, sums, dweight, dbias, {n, c, windows}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_backward_apply_block(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,  // null: there is no ReLU
    const unsigned char* __restrict__ numbers, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, const acc_t* __restrict__ sums,
    scalar_t* __restrict__ dx, long long n, long long c, long long windows, int out_w, acc_t eps) {
    const Pooled pooled = {dp, p, numbers, x, out_w};
    backward_apply<Block>(pooled, weight, mean, var, sums, dx, {n, c, windows}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_max_pool_backward_apply_columns(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,  // null: there is no ReLU
    const unsigned char* __restrict__ numbers, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, const acc_t* __restrict__ sums,
    scalar_t* __restrict__ dx, long long n, long long c, long long windows, int out_w, acc_t eps) {
    const Pooled pooled = {dp, p, numbers, x, out_w};
    backward_apply<Columns>(pooled, weight, mean, var, sums, dx, {n, c, windows}, eps);
}
