// Normalisation of each channel of x (n, c, m) over n and m (Ioffe and Szegedy 2015, section 3). Its gradients are in
// batch_norm_backward.cu.
//
//   y = (x - mean) a + bias                a = weight / sqrt(var + eps), var the mean square of the deviations;
//                                          with a ReLU behind it, 0 where that is negative
//
// and where something is added to y, the sum of both, with a ReLU behind it or not. A team of threads has a channel
// (batch_norm.cuh). The ladder:
//
//   fused  one team a channel and one launch, which reads a channel twice, the second time from a cache if it is small.
//   split  several teams a channel, each for a share of it, where there are too few channels to keep a GPU busy: what
//          each has found is put together by the last block of a channel to come, as a tree, and another launch does the
//          rest.
//
// mean and var come from one pass (Moments in accumulate.cuh), over x less its channel's first element: a thread takes
// AT_ONCE elements, and then the next, and what is left one by one; or, where `fours` says so, four by four.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "batch_norm.cuh"
#include "quad.cuh"
#include "running.cuh"

// ---- Running statistics ---------------------------------------------------------------------------------------------

// By themselves, a thread a channel.
extern "C" __global__ void batch_norm_move(
    const scalar_t* run_mean, const scalar_t* run_var,
    const long long* batches,  // null: they are not counted
    scalar_t* new_mean, scalar_t* new_var,
    long long* new_batches,  // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share, const acc_t* mean, const acc_t* var, long long c) {
    const Running<scalar_t> running = {
        run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share};
    const index_t channel = first_index();
    if (channel < c) running.move(channel, mean[channel], var[channel]);
    else if (channel == 0) running.count();
}

// ---- Forward --------------------------------------------------------------------------------------------------------

template <class Team>
__device__ __forceinline__ Moments share_moments(const scalar_t* __restrict__ x, const Sizes& size, bool fours) {
    Moments moments = {0, 0, 0};
    const acc_t pivot = Team::row() < size.c ? acc_t(x[Team::row() * size.m]) : acc_t(0);
    if (fours) {
        auto walk = walk_over<Team>({size.n, size.c, size.m / 4});
        const auto read = [&](acc_t* to) {
            const Quad<scalar_t> q = ((const Quad<scalar_t>*)x)[walk.at];
#pragma unroll
            for (int e = 0; e < 4; ++e) to[e] = acc_t(q.v[e]) - pivot;
            walk.next();
        };
        acc_t next[AT_ONCE], last[4];
        while (walk.left(AT_ONCE / 4)) {
#pragma unroll
            for (int k = 0; k < AT_ONCE; k += 4) read(next + k);
            moments.add(next);
        }
        for (; walk.left(); moments.add(last)) read(last);
        return Team::reduce(moments);
    }
    auto walk = walk_over<Team>(size);
    while (walk.left(AT_ONCE)) {
        acc_t next[AT_ONCE];
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e, walk.next()) next[e] = acc_t(x[walk.at]) - pivot;
        moments.add(next);
    }
    for (; walk.left(); walk.next()) moments.add(acc_t(x[walk.at]) - pivot);
    return Team::reduce(moments);
}

__device__ __forceinline__ void finish(
    const Moments& moments, const scalar_t* x, const Sizes& size, index_t channel, acc_t& mean, acc_t& var) {
    mean = acc_t(x[channel * size.m]) + moments.mean;
    var = moments.squares / moments.count;
}

// What becomes of a number that was normalised: with a ReLU 0 where it is negative; then the sum of it and of another
// one, and again 0 where this is.
struct Behind {
    const scalar_t* added;  // null: nothing
    acc_t lowest, lowest_sum;

    __device__ __forceinline__ Behind(bool relu, const scalar_t* added = nullptr, bool relu_of_sum = false)
        : added(added), lowest(lowest_of(relu)), lowest_sum(lowest_of(relu_of_sum)) {}
    __device__ __forceinline__ scalar_t of(acc_t z, index_t at) const {
        const scalar_t y = at_least(z, lowest);
        return added == nullptr ? y : scalar_t(at_least(acc_t(y) + acc_t(added[at]), lowest_sum));
    }
};

template <class Team>
__device__ __forceinline__ void normalise(
    const scalar_t* __restrict__ x, const Affine& affine, const Behind& behind, scalar_t* __restrict__ y,
    const Sizes& size) {
    for (auto walk = walk_over<Team>(size); walk.left(); walk.next())
        y[walk.at] = behind.of(affine.of(x[walk.at]), walk.at);
}

template <class Team>
__device__ __forceinline__ void fused(
    const scalar_t* __restrict__ x, const acc_t* weight, const acc_t* bias, scalar_t* __restrict__ y, acc_t* mean,
    acc_t* var, const Running<acc_t>& running, const Sizes& size, acc_t eps, bool relu, bool fours) {
    const Moments moments = share_moments<Team>(x, size, fours);
    const index_t channel = Team::row();
    if (channel >= size.c) return;
    acc_t mu, v;
    finish(moments, x, size, channel, mu, v);
    if (Team::rank() == 0) {
        mean[channel] = mu;
        var[channel] = v;
        running.move(channel, mu, v);
    }
    normalise<Team>(x, {channel, mu, rstd_of(v, eps), weight, bias}, {relu}, y, size);
}

// What a share has found, in parts (3, shares, c), and from these the statistics.
template <class Team>
__device__ __forceinline__ void share(
    const scalar_t* __restrict__ x, acc_t* parts, unsigned* arrived, acc_t* mean, acc_t* var,
    const Running<acc_t>& running, const Sizes& size, bool fours) {
    const Moments found = share_moments<Team>(x, size, fours);
    const index_t step = gridDim.y * size.c;
    if (Team::row() < size.c && Team::rank() == 0) {
        const index_t at = blockIdx.y * size.c + Team::row();
        parts[at] = found.count;
        parts[at + step] = found.mean;
        parts[at + 2 * step] = found.squares;
    }
    join_shares<Team>(arrived, size, [&](index_t channel, int lane) {
        Moments moments = {0, 0, 0};
        for (int part = lane; part < gridDim.y; part += 32) {
            const index_t at = part * size.c + channel;
            moments.merge({parts[at], parts[at + step], parts[at + 2 * step]});
        }
        moments = Warp::reduce(moments);
        if (lane != 0) return;
        acc_t mu, v;
        finish(moments, x, size, channel, mu, v);
        mean[channel] = mu;
        var[channel] = v;
        running.move(channel, mu, v);
    });
}

template <class Team>
__device__ __forceinline__ void apply(
    const scalar_t* __restrict__ x, const acc_t* mean, const acc_t* var, const acc_t* weight, const acc_t* bias,
    const Behind& behind, scalar_t* __restrict__ y, const Sizes& size, acc_t eps) {
    const index_t channel = Team::row();
    if (channel >= size.c) return;
    normalise<Team>(x, {channel, mean[channel], rstd_of(var[channel], eps), weight, bias}, behind, y, size);
}

extern "C" __global__ void __launch_bounds__(256, 3) batch_norm_fused_block(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share, long long n, long long c, long long m, acc_t eps, bool relu,
    bool fours) {
    const Running<acc_t> running = {
        run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share};
    fused<Block>(x, weight, bias, y, mean, var, running, {n, c, m}, eps, relu, fours);
}

extern "C" __global__ void __launch_bounds__(256, 3) batch_norm_fused_columns(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share, long long n, long long c, long long m, acc_t eps, bool relu,
    bool fours) {
    const Running<acc_t> running = {
        run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share};
    fused<Columns>(x, weight, bias, y, mean, var, running, {n, c, m}, eps, relu, fours);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 3 : 4) batch_norm_share_block(
    const scalar_t* __restrict__ x, acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ mean, acc_t* __restrict__ var,
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share, long long n, long long c, long long m, bool fours) {
    const Running<acc_t> running = {
        run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share};
    share<Block>(x, parts, arrived, mean, var, running, {n, c, m}, fours);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 3 : 4) batch_norm_share_columns(
    const scalar_t* __restrict__ x, acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all of a channel
    acc_t* __restrict__ mean, acc_t* __restrict__ var,
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share, long long n, long long c, long long m, bool fours) {
    const Running<acc_t> running = {
        run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share};
    share<Columns>(x, parts, arrived, mean, var, running, {n, c, m}, fours);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_apply_block(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ weight,    // null: 1
    const acc_t* __restrict__ bias,      // null: 0
    const scalar_t* __restrict__ added,  // null: nothing
    scalar_t* __restrict__ y, long long n, long long c, long long m, acc_t eps, bool relu, bool relu_of_sum) {
    apply<Block>(x, mean, var, weight, bias, {relu, added, relu_of_sum}, y, {n, c, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_apply_columns(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    const acc_t* __restrict__ weight,    // null: 1
    const acc_t* __restrict__ bias,      // null: 0
    const scalar_t* __restrict__ added,  // null: nothing
    scalar_t* __restrict__ y, long long n, long long c, long long m, acc_t eps, bool relu, bool relu_of_sum) {
    apply<Columns>(x, mean, var, weight, bias, {relu, added, relu_of_sum}, y, {n, c, m}, eps);
}
