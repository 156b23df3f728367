// What the kernels of the norm of a batch share: see batch_norm.cu.
//
// A channel belongs to a team (team.cuh), by the shape: where m is large a block, whose threads read neighbours in m;
// where it is small (1 after a linear layer) 8 threads of each of 32 neighbouring channels.
#pragma once
#include "accumulate.cuh"
#include "channels.cuh"
#include "ptx.cuh"

// All kernels have these sizes, and see them as one struct.
struct Sizes {
    index_t n, c, m;
};

template <class Team> __device__ __forceinline__ ChannelWalk<Team> walk_over(const Sizes& size) {
    const index_t count = Team::row() < size.c ? size.n * size.m : 0;
    return ChannelWalk<Team>(Team::row(), share_begin(count), share_end(count), size.c, size.m);
}

__device__ __forceinline__ acc_t rstd_of(acc_t var, acc_t eps) { return 1 / sqrt(var + eps); }

__device__ __forceinline__ acc_t times(const acc_t* weight, index_t channel, acc_t value) {
    return weight == nullptr ? value : value * weight[channel];
}

// What is made of an element of a channel: y = (x - mean) scale + shift
struct Affine {
    acc_t mean, scale, shift;

    __device__ __forceinline__ Affine(
        index_t channel, acc_t mean, acc_t rstd, const acc_t* weight, const acc_t* bias)
        : mean(mean), scale(times(weight, channel, rstd)), shift(bias == nullptr ? acc_t(0) : bias[channel]) {}
    __device__ __forceinline__ acc_t of(acc_t x) const { return fma(x - mean, scale, shift); }
};

// Below all numbers, or with a ReLU what it makes of those below 0.
__device__ __forceinline__ acc_t lowest_of(bool relu) { return relu ? acc_t(0) : -acc_t(__int_as_float(0x7f800000)); }

// Written so that NaN stays NaN.
__device__ __forceinline__ acc_t at_least(acc_t z, acc_t lowest) { return z < lowest ? lowest : z; }

// Of the blocks that have shares of the same channels the last one to come goes over these, a warp for each:
// join(channel, lane). `arrived` has a zero for each such group of blocks, and has it again; one block alone needs none.
template <class Team, class Join>
__device__ __forceinline__ void join_shares(unsigned* arrived, const Sizes& size, const Join& join) {
    if (gridDim.y == 1) __syncthreads();
    else if (!comes_last(arrived + blockIdx.x, gridDim.y)) return;
    const int lane = thread_of_block() % 32, warps = blockDim.x * blockDim.y / 32;
    for (int n = thread_of_block() / 32; n < Team::rows(); n += warps) {
        const index_t channel = (index_t)blockIdx.x * Team::rows() + n;
        if (channel < size.c) join(channel, lane);
    }
}
