// The place of the largest or the smallest element along an axis: the first one of several; of the first NaN if there
// is one.
//
//   y[p, q] = the least i with x[p, i, q] = max of x[p, j, q] over j          (min where `smallest`)
//
// x (outer, length, inner). A candidate is an element and where it lies in memory; of two the larger element wins, or of
// equal ones the one that lies first: whichever way they meet, the same one is left. So a long row can be cut into
// parts: the first launch leaves the winner of each part, a second one compares those (`candidates`).
//
// The ladder is one of teams (team.cuh), the threads that share a row; each reads x once (reduce.cuh).
//   naive    one thread.
//   columns  8 threads for each of 32 neighbouring rows: for inner > 1.
//   lanes    4, 8 or 16 threads: for many short rows.
//   warp     32 threads: for short rows.
//   block    256 threads.
//
// compiled for scalar_t = bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "reduce.cuh"

// NaN is above all numbers.
__device__ __forceinline__ bool above(acc_t a, acc_t b) { return a > b || (a != a && b == b); }

struct Candidate {
    acc_t value;
    index_t place;

    __device__ __forceinline__ Candidate of_lane(int lane) const {
        return {acc_t(__shfl_sync(0xffffffffu, value, lane)), __shfl_sync(0xffffffffu, place, lane)};
    }
    __device__ __forceinline__ void merge(const Candidate& other) {
        if (above(other.value, value) || (!above(value, other.value) && other.place < place)) *this = other;
    }
    // Some that lie one behind the other: of equal ones it is the first that wins among them.
    template <int N> __device__ __forceinline__ void merge(const Candidate (&others)[N]) {
        Candidate best = others[0];
#pragma unroll
        for (int e = 1; e < N; ++e)
            if (above(others[e].value, best.value)) best = others[e];
        merge(best);
    }
};

// The largest is what is looked for: where it is the smallest, numbers in the opposite order are compared.
template <class T> __device__ __forceinline__ T compared(T v, int smallest) {
    if constexpr (is_float<T>) return smallest ? -v : v;
    else return is_bool<T> ? v != smallest : T(v ^ -smallest);
}

// As reduce_rows has it: of rows of x or, where their parts are done, of the candidates (outer, length, inner), which
// come from rows of x of `whole` elements.
template <class Team>
__device__ __forceinline__ void extreme(
    const scalar_t* __restrict__ x, const long long* __restrict__ candidates, long long* __restrict__ y,
    index_t outer, index_t length, index_t inner, index_t parts, index_t chunk, index_t whole, int smallest) {
    const Candidate none = {lowest<acc_t>(), 0x7fffffffffffffffll};
    const auto of_x = [=](index_t i) -> Candidate { return {compared(acc_t(x[i]), smallest), i}; };
    const auto of_candidate = [=](index_t i) -> Candidate {
        const index_t place = candidates[i];
        return {compared(acc_t(x[place]), smallest), place};
    };
    const auto store = [=](index_t row, Candidate found) {
        if (parts > 1) y[row] = found.place;
        else if (inner == 1) y[row] = found.place - row * whole;
        else y[row] = found.place / inner - row / inner * whole;
    };
    if (candidates == nullptr) reduce_rows<Team>(none, of_x, store, outer, length, inner, parts, chunk);
    else reduce_rows<Team>(none, of_candidate, store, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 3) extreme_naive(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long outer, long long length, long long inner, long long parts, long long chunk, long long whole,
    int smallest) {
    extreme<Alone>(x, candidates, y, outer, length, inner, parts, chunk, whole, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 3) extreme_columns(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long outer, long long length, long long inner, long long parts, long long chunk, long long whole,
    int smallest) {
    extreme<Columns>(x, candidates, y, outer, length, inner, parts, chunk, whole, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 2) extreme_lanes(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long outer, long long length, long long inner, long long parts, long long chunk, long long whole,
    int smallest) {
    extreme<Lanes>(x, candidates, y, outer, length, inner, parts, chunk, whole, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 3) extreme_warp(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long outer, long long length, long long inner, long long parts, long long chunk, long long whole,
    int smallest) {
    extreme<Warp>(x, candidates, y, outer, length, inner, parts, chunk, whole, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 2) extreme_block(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long outer, long long length, long long inner, long long parts, long long chunk, long long whole,
    int smallest) {
    extreme<Block>(x, candidates, y, outer, length, inner, parts, chunk, whole, smallest);
}
