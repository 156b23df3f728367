// The gradients of the norm of a batch, whose formulas and ladder are in batch_norm.cu:
//
//   dx = a (dy - mean of dy - (x - mean) / (var + eps) mean of dy (x - mean))
//   dweight = sum of dy (x - mean) / sqrt(var + eps),  dbias = sum of dy
//                                          with a ReLU behind it, for dy, and 0 where y <= 0
//
// y is not read: it follows from x, which is, to the same bits.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "batch_norm_gradient.cuh"

// What was normalised, and the gradient of what became of it.
struct Normalised {
    const scalar_t* __restrict__ x;
    const scalar_t* __restrict__ dy;
    const acc_t* __restrict__ weight;  // null: 1
    const acc_t* __restrict__ bias;    // null: 0
    const acc_t* __restrict__ mean;
    const acc_t* __restrict__ var;
    acc_t eps;
    bool relu;
    Sizes size;
};

// One channel of it, that of the team; of a team without a channel it is the last one.
struct Channel {
    const Normalised& all;
    index_t number;
    acc_t rstd;
    Affine affine;

    __device__ __forceinline__ Channel(const Normalised& all, index_t row)
        : all(all), number(min(row, all.size.c - 1)), rstd(rstd_of(all.var[number], all.eps)),
          affine(number, all.mean[number], rstd, all.weight, all.bias) {}
    // dy at an element x, or what of it a ReLU lets through.
    __device__ __forceinline__ acc_t gradient(index_t at, acc_t x) const {
        const acc_t g = all.dy[at];
        return all.relu && acc_t(scalar_t(affine.of(x))) <= 0 ? acc_t(0) : g;
    }
};

// The sums of dy and of dy (x - mean) over the block's share of a channel
template <class Team> __device__ __forceinline__ Sums share_sums(const Channel& channel) {
    Sums sums = {0, 0};
    for (auto walk = walk_over<Team>(channel.all.size); walk.left(); walk.next()) {
        const acc_t x = channel.all.x[walk.at], g = channel.gradient(walk.at, x);
        sums.first += g;
        sums.second = fma(g, x - channel.affine.mean, sums.second);
    }
    return Team::reduce(sums);
}

template <class Team>
__device__ __forceinline__ void input_gradient(const Sums& sums, const Channel& channel, scalar_t* __restrict__ dx) {
    const Sizes& size = channel.all.size;
    const InputGradient gradient(sums, channel.affine, channel.rstd, size.n * size.m);
    for (auto walk = walk_over<Team>(size); walk.left(); walk.next()) {
        const acc_t x = channel.all.x[walk.at];
        dx[walk.at] = gradient.of(x, channel.gradient(walk.at, x));
    }
}

template <class Team>
__device__ __forceinline__ void backward_fused(
    const Normalised& all, scalar_t* __restrict__ dx, acc_t* dweight, acc_t* dbias) {
    const Channel channel(all, Team::row());
    const Sums sums = share_sums<Team>(channel);
    if (Team::row() >= all.size.c) return;
    if (Team::rank() == 0) store_gradients(sums, channel.rstd, channel.number, dweight, dbias);
    if (dx != nullptr) input_gradient<Team>(sums, channel, dx);
}

template <class Team>
__device__ __forceinline__ void backward_share(
    const Normalised& all, acc_t* parts, unsigned* arrived, acc_t* sums, acc_t* dweight, acc_t* dbias) {
    const Sums found = share_sums<Team>({all, Team::row()});
    join_sums<Team>(found, all.size, parts, arrived, sums, all.var, all.eps, dweight, dbias);
}

template <class Team>
__device__ __forceinline__ void backward_apply(const Normalised& all, const acc_t* sums, scalar_t* __restrict__ dx) {
    const index_t channel = Team::row();
    if (channel >= all.size.c) return;
    input_gradient<Team>({sums[channel], sums[all.size.c + channel]}, {all, channel}, dx);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_fused_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    scalar_t* __restrict__ dx, acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_fused<Block>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, dx, dweight, dbias);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_fused_columns(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    scalar_t* __restrict__ dx, acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_fused<Columns>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, dx, dweight, dbias);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_share_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ sums,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_share<Block>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, parts, arrived, sums, dweight, dbias);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_share_columns(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ sums,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_share<Columns>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, parts, arrived, sums, dweight, dbias);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_apply_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ sums, scalar_t* __restrict__ dx,
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_apply<Block>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, sums, dx);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_backward_apply_columns(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ sums, scalar_t* __restrict__ dx,
    long long n, long long c, long long m, acc_t eps, bool relu) {
    backward_apply<Columns>({x, dy, weight, bias, mean, var, eps, relu, {n, c, m}}, sums, dx);
}
