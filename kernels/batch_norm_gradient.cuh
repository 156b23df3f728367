// What kernels of the gradients of the norm of a batch share; the formulas are in batch_norm_backward.cu.
#pragma once
#include "batch_norm.cuh"

// The gradients of weight and bias, from the sums of dy and of dy (x - mean) over a channel.
__device__ __forceinline__ void store_gradients(
    const Sums& sums, acc_t rstd, index_t channel, acc_t* dweight, acc_t* dbias) {
    if (dweight != nullptr) dweight[channel] = sums.second * rstd;
    if (dbias != nullptr) dbias[channel] = sums.first;
}

// dx at an element of a channel, from these sums over `count` elements.
struct InputGradient {
    acc_t mean, scale, slope, mean_dy;

    __device__ __forceinline__ InputGradient(const Sums& sums, const Affine& affine, acc_t rstd, index_t count)
        : mean(affine.mean), scale(affine.scale), slope(rstd * rstd * sums.second / acc_t(count)),
          mean_dy(sums.first / acc_t(count)) {}
    __device__ __forceinline__ acc_t of(acc_t x, acc_t dy) const { return fma(mean - x, slope, dy - mean_dy) * scale; }
};

// What a share has found, in parts (2, shares, c), and from these the sums (2, c) and what is wanted of the parameters'
// gradients.
template <class Team>
__device__ __forceinline__ void join_sums(
    const Sums& found, const Sizes& size, acc_t* parts, unsigned* arrived, acc_t* sums, const acc_t* var, acc_t eps,
    acc_t* dweight, acc_t* dbias) {
    const index_t step = gridDim.y * size.c;
    if (Team::row() < size.c && Team::rank() == 0) {
        const index_t at = blockIdx.y * size.c + Team::row();
        parts[at] = found.first;
        parts[at + step] = found.second;
    }
    join_shares<Team>(arrived, size, [&](index_t channel, int lane) {
        Sums both = {0, 0};
        for (int part = lane; part < gridDim.y; part += 32) {
            const index_t at = part * size.c + channel;
            both.merge({parts[at], parts[at + step]});
        }
        both = Warp::reduce(both);
        if (lane != 0) return;
        store_gradients(both, rstd_of(var[channel], eps), channel, dweight, dbias);
        sums[channel] = both.first;
        sums[size.c + channel] = both.second;
    });
}
