// Logarithms of sums of exponentials along one axis: y[o, c] = ln(sum of e^x[o, k, c] over k).
//
// Computed as m + ln(sum of e^(x - m)) with m = max x: the largest exponent is 0, so nothing overflows. m and the sum
// come from one pass: where m grows, the sum shrinks (Milakov and Gimelshein 2018, algorithm 3). Costs one exponential
// and one read an element. Rungs and launches are those of reduce.cu; a part is an m and a sum, and the m of all parts
// come first.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "reduce.cuh"

struct Exponentials {
    acc_t m, sum;  // of none: -infinity and 0

    __device__ __forceinline__ Exponentials of_lane(int lane) const {
        return {__shfl_sync(0xffffffffu, m, lane), __shfl_sync(0xffffffffu, sum, lane)};
    }
    // What belongs to the smaller m shrinks. Where they are equal nothing does, though both may be infinite.
    __device__ __forceinline__ void merge(const Exponentials& other) {
        const acc_t shrink = m == other.m ? acc_t(1) : exp(-fabs(other.m - m));
        sum = other.m > m ? fma(sum, shrink, other.sum) : fma(other.sum, shrink, sum);
        m = binary_function(m, other.m, MAXIMUM);
    }
    template <int N> __device__ __forceinline__ void merge(const Exponentials (&others)[N]) {
#pragma unroll
        for (int e = 0; e < N; ++e) merge(others[e]);
    }
};

template <class Team>
__device__ __forceinline__ void logsumexp(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ parts_of_x,
    scalar_t* __restrict__ y, acc_t* __restrict__ parts_of_y,
    index_t outer, index_t length, index_t inner, index_t parts, index_t chunk) {
    const index_t count = outer * length * inner, rows = outer * parts * inner;
    const Exponentials none = {lowest<acc_t>(), 0};
    const auto of_x = [=](index_t i) -> Exponentials { return {acc_t(x[i]), acc_t(1)}; };
    const auto of_part = [=](index_t i) -> Exponentials { return {parts_of_x[i], parts_of_x[count + i]}; };
    const auto store = [=](index_t row, Exponentials found) {
        if (y == nullptr) {
            parts_of_y[row] = found.m;
            parts_of_y[rows + row] = found.sum;
        } else {
            y[row] = found.m + log(found.sum);
        }
    };
    if (x != nullptr) reduce_rows<Team>(none, of_x, store, outer, length, inner, parts, chunk);
    else reduce_rows<Team>(none, of_part, store, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 4) logsumexp_naive(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk) {
    logsumexp<Alone>(x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 3) logsumexp_columns(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk) {
    logsumexp<Columns>(x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 3) logsumexp_lanes(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk) {
    logsumexp<Lanes>(x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 3) logsumexp_warp(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk) {
    logsumexp<Warp>(x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 3) logsumexp_block(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk) {
    logsumexp<Block>(x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk);
}
