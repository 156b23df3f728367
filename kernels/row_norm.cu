// Normalisation of each row by itself, and its gradients: layer norm (Ba, Kiros, Hinton 2016), group norm (Wu, He 2018)
// and instance norm.
//
//   x (rows, groups, k, m); mean and var over each (row, group);  weight, bias (groups * k), one value a channel
//
//   y = xhat weight + bias,  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps), var = mean of (x - mean)^2
//   dx = rstd (g - mean of g - xhat mean of g xhat),  g = dy weight
//   dweight = sum of dy xhat,  dbias = sum of dy      over rows and m
//
// y and dx: a group of a row belongs to a team (team.cuh), each a rung of the ladder: naive, one thread; lanes, for many
// short groups; warp, for short ones; block, for long ones. It reads the group twice, the second time from a cache if it
// is small. mean and var come from one pass (Moments in accumulate.cuh), over the group less its first element: a thread
// takes AT_ONCE elements, and then the next, and what is left one by one.
//
// dweight and dbias: a channel belongs to a block where m is large, else 8 threads have each of 32 neighbouring ones.
// Blocks along y share the rows, and `row_norm_join` adds up what each has found, in their order.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "accumulate.cuh"
#include "channels.cuh"

// What a group of a row is: where it begins, its elements, and the channel of each. Teams without one have none.
struct Group {
    index_t start;
    int length, m;
    index_t first_channel;

    __device__ __forceinline__ Group(index_t index, index_t count, int groups, int k, int m)
        : start(index * k * m), length(index < count ? k * m : 0), m(m), first_channel(index % groups * k) {}
    __device__ __forceinline__ index_t channel(int i) const { return first_channel + (m == 1 ? i : i / m); }
};

__device__ __forceinline__ acc_t value_of(const acc_t* of_channel, index_t channel, acc_t without) {
    return of_channel == nullptr ? without : of_channel[channel];
}

template <class Team>
__device__ __forceinline__ void row_norm(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ weight, const acc_t* __restrict__ bias,
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var, const Group& group, acc_t eps) {
    const acc_t pivot = group.length > 0 ? acc_t(x[group.start]) : acc_t(0);
    Moments moments = {0, 0, 0};
    int begin = Team::rank();
    for (; begin + (AT_ONCE - 1) * Team::size() < group.length; begin += AT_ONCE * Team::size()) {
        acc_t next[AT_ONCE];
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e) next[e] = acc_t(x[group.start + begin + e * Team::size()]) - pivot;
        moments.add(next);
    }
    for (int i = begin; i < group.length; i += Team::size()) moments.add(acc_t(x[group.start + i]) - pivot);
    moments = Team::reduce(moments);
    const acc_t mu = pivot + moments.mean, v = moments.squares / moments.count, rstd = 1 / sqrt(v + eps);
    for (int i = Team::rank(); i < group.length; i += Team::size()) {
        const index_t channel = group.channel(i);
        const acc_t xhat = (acc_t(x[group.start + i]) - mu) * rstd;
        y[group.start + i] = fma(xhat, value_of(weight, channel, 1), value_of(bias, channel, 0));
    }
    if (group.length > 0 && Team::rank() == 0) {
        mean[Team::row()] = mu;
        var[Team::row()] = v;
    }
}

template <class Team>
__device__ __forceinline__ void row_norm_backward(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const acc_t* __restrict__ weight,
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, scalar_t* __restrict__ dx, const Group& group,
    acc_t eps) {
    const acc_t mu = group.length > 0 ? mean[Team::row()] : acc_t(0);
    const acc_t rstd = group.length > 0 ? 1 / sqrt(var[Team::row()] + eps) : acc_t(0);
    Sums sums = {0, 0};  // of g and of g xhat
    for (int i = Team::rank(); i < group.length; i += Team::size()) {
        const acc_t g = product(dy[group.start + i], value_of(weight, group.channel(i), 1));
        sums.first += g;
        sums.second = fma(g, (acc_t(x[group.start + i]) - mu) * rstd, sums.second);
    }
    sums = Team::reduce(sums);
    const acc_t mean_g = sums.first / group.length, slope = sums.second / group.length;
    for (int i = Team::rank(); i < group.length; i += Team::size()) {
        const acc_t g = product(dy[group.start + i], value_of(weight, group.channel(i), 1));
        const acc_t xhat = (acc_t(x[group.start + i]) - mu) * rstd;
        dx[group.start + i] = fma(-xhat, slope, g - mean_g) * rstd;
    }
}

// The sums of a share of the rows, in row blockIdx.y of dweight and dbias (shares, channels)
template <class Team>
__device__ __forceinline__ void affine_share(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const acc_t* __restrict__ mean,
    const acc_t* __restrict__ var, acc_t* __restrict__ dweight, acc_t* __restrict__ dbias, index_t rows, int groups,
    int k, index_t m, acc_t eps) {
    const index_t channel = Team::row(), channels = (index_t)groups * k;
    const index_t count = channel < channels ? rows * m : 0;
    Sums sums = {0, 0};
    for (ChannelWalk<Team> walk(channel, share_begin(count), share_end(count), channels, m); walk.left(); walk.next()) {
        const index_t statistic = walk.row * groups + channel / k;
        const acc_t g = dy[walk.at], rstd = 1 / sqrt(var[statistic] + eps);
        sums.first += g;
        sums.second = fma(g, (acc_t(x[walk.at]) - mean[statistic]) * rstd, sums.second);
    }
    sums = Team::reduce(sums);
    if (channel >= channels || Team::rank() != 0) return;
    if (dbias != nullptr) dbias[blockIdx.y * channels + channel] = sums.first;
    if (dweight != nullptr) dweight[blockIdx.y * channels + channel] = sums.second;
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_forward_naive(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm<Alone>(x, weight, bias, y, mean, var, {Alone::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_forward_lanes(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm<Lanes>(x, weight, bias, y, mean, var, {Lanes::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_forward_warp(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm<Warp>(x, weight, bias, y, mean, var, {Warp::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_forward_block(
    const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ bias,    // null: 0
    scalar_t* __restrict__ y, acc_t* __restrict__ mean, acc_t* __restrict__ var,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm<Block>(x, weight, bias, y, mean, var, {Block::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_backward_naive(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, scalar_t* __restrict__ dx,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm_backward<Alone>(dy, x, weight, mean, var, dx, {Alone::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_backward_lanes(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, scalar_t* __restrict__ dx,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm_backward<Lanes>(dy, x, weight, mean, var, dx, {Lanes::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_backward_warp(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, scalar_t* __restrict__ dx,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm_backward<Warp>(dy, x, weight, mean, var, dx, {Warp::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 4) row_norm_backward_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ weight,  // null: 1
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var, scalar_t* __restrict__ dx,
    long long rows, int groups, int k, int m, acc_t eps) {
    row_norm_backward<Block>(dy, x, weight, mean, var, dx, {Block::row(), rows * groups, groups, k, m}, eps);
}

extern "C" __global__ void __launch_bounds__(256, 3) row_norm_affine_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long rows, int groups, int k, long long m, acc_t eps) {
    affine_share<Block>(dy, x, mean, var, dweight, dbias, rows, groups, k, m, eps);
}

extern "C" __global__ void __launch_bounds__(256, 3) row_norm_affine_columns(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
    const acc_t* __restrict__ mean, const acc_t* __restrict__ var,
    acc_t* __restrict__ dweight, acc_t* __restrict__ dbias,  // null: not wanted
    long long rows, int groups, int k, long long m, acc_t eps) {
    affine_share<Columns>(dy, x, mean, var, dweight, dbias, rows, groups, k, m, eps);
}

// The sum of parts (shares, channels) over the shares, by one thread a channel
extern "C" __global__ void row_norm_join(
    const acc_t* __restrict__ parts, acc_t* __restrict__ sums, int shares, long long channels) {
    const index_t channel = first_index();
    if (channel >= channels) return;
    acc_t sum = 0;
    for (int share = 0; share < shares; ++share) sum += parts[share * channels + channel];
    sums[channel] = sum;
}
