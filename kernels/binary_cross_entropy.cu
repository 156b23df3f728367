// Losses on two classes, element by element. t is the target, from 0 to 1.
//
//   l = -(t ln x + (1 - t) ln(1 - x)), logarithms not below -100        for probabilities x
//   l = p t ln(1 + e^-x) + (1 - t) ln(1 + e^x)                          for logits x, p the weight of class 1
//
// The second as ((1 - t) x + q max(-x, 0)) + q ln(1 + e^-|x|), q = 1 + (p - 1) t: nothing overflows, and for t = 0 or 1
// what is in brackets is exactly 0 where the loss is small.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "layout.cuh"
#include "scalar.cuh"
#include "team.cuh"

constexpr int MIN_LOG = -100;

extern "C" __global__ void binary_cross_entropy(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ target, scalar_t* __restrict__ loss, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const acc_t p = x[i], t = target[i];
        loss[i] = fma(t - 1, fmax(log1p(-p), acc_t(MIN_LOG)), -t * fmax(log(p), acc_t(MIN_LOG)));
    }
}

// The three inputs are broadcast: their layouts have the shape of the result.
extern "C" __global__ void binary_cross_entropy_with_logits(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ target,
    const scalar_t* __restrict__ pos_weight,  // null: p is 1
    scalar_t* __restrict__ loss,
    Layout x_layout, Layout target_layout, Layout pos_weight_layout, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const acc_t z = x[offset_of(x_layout, i)], t = target[offset_of(target_layout, i)];
        const acc_t p = pos_weight == nullptr ? acc_t(1) : acc_t(pos_weight[offset_of(pos_weight_layout, i)]);
        const acc_t q = fma(p - 1, t, acc_t(1));
        loss[i] = fma(q, log1p(exp(-fabs(z))), fma(1 - t, z, q * fmax(-z, acc_t(0))));
    }
}

// The smallest place
struct First {
    index_t place;

    __device__ __forceinline__ First of_lane(int lane) const { return {__shfl_sync(0xffffffffu, place, lane)}; }
    __device__ __forceinline__ void merge(const First& other) {
        if (other.place < place) place = other.place;
    }
};

// The first x that is not from 0 to 1 (NaN is not) in each block's share of them, in their order: found[2 b] is its place
// or -1, found[2 b + 1] the bits of its value in float64. A place that stands there already stays, as in check.cu.
extern "C" __global__ void __launch_bounds__(256) first_improbable(
    const scalar_t* __restrict__ x, long long* __restrict__ found, long long count, long long share) {
    const index_t begin = blockIdx.x * share, end = begin + share < count ? begin + share : count;
    First first = {count};
    for (index_t i = begin + Block::rank(); i < end; i += Block::size()) {
        const acc_t p = x[i];
        if (!(p >= 0 && p <= 1)) first.merge({i});
    }
    first = Block::reduce(first);
    long long* mine = found + 2 * blockIdx.x;
    if (Block::rank() == 0 && mine[0] < 0) {
        mine[0] = first.place < count ? first.place : -1;
        mine[1] = first.place < count ? __double_as_longlong((double)acc_t(x[first.place])) : 0;
    }
}
