// The place of the largest or the smallest element along an axis: the first one of several; of the first NaN if there
// is one.
//
//   y[p, q] = the least i with x[p, i, q] = max of x[p, j, q] over j          (min where `smallest`)
//
// x (outer, length, inner). A candidate is a number in the order of the elements and a place; of two the larger number
// wins, or the lower place: whichever way they meet, the same one is left. So a long row can be cut into parts: the
// first launch leaves the winner of each part, a second one compares those (`candidates`).
//
// The ladder is one of teams (team.cuh), the threads that share a row; each reads x once.
//   naive    one thread.
//   columns  8 threads for each of 32 neighbouring rows: for inner > 1.
//   warp     32 threads: for short rows.
//   block    256 threads.
//
// compiled for scalar_t = bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "order.cuh"
#include "team.cuh"

struct Candidate {
    order_t number;
    index_t place;

    __device__ __forceinline__ Candidate of_lane(int lane) const {
        return {__shfl_sync(0xffffffffu, number, lane), __shfl_sync(0xffffffffu, place, lane)};
    }
    __device__ __forceinline__ void merge(const Candidate& other) {
        if (other.number > number || (other.number == number && other.place < place)) *this = other;
    }
};

// The number that wins where the smallest element is wanted is the largest one too; NaN wins either way.
__device__ __forceinline__ order_t number_of(scalar_t v, int smallest) {
    const acc_t value = v;
    return smallest && value == value ? ~order_of(v) : order_of(v);
}

// Each team has one part of a row, `chunk` elements long; or, of a row whose parts are done, the `chunk` candidates.
template <class Team>
__device__ __forceinline__ void extreme(
    const scalar_t* __restrict__ x, const long long* __restrict__ candidates, long long* __restrict__ y,
    index_t teams, index_t length, index_t inner, index_t parts, index_t chunk, int smallest) {
    const index_t team = Team::row();
    const index_t row = team / parts, begin = team % parts * chunk;
    const index_t start = row / inner * inner * length + row % inner;
    const index_t end = team < teams ? min(begin + chunk, candidates ? chunk : length) : 0;
    Candidate best = {0, 0x7fffffffffffffffll};
    for (index_t k = begin + Team::rank(); k < end; k += Team::size()) {
        const index_t i = candidates ? candidates[row * chunk + k] : k;
        best.merge({number_of(x[start + i * inner], smallest), i});
    }
    best = Team::reduce(best);
    if (team < teams && Team::rank() == 0) y[team] = best.place;
}

extern "C" __global__ void __launch_bounds__(256, 4) extreme_naive(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long teams, long long length, long long inner, long long parts, long long chunk, int smallest) {
    extreme<Alone>(x, candidates, y, teams, length, inner, parts, chunk, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 4) extreme_columns(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long teams, long long length, long long inner, long long parts, long long chunk, int smallest) {
    extreme<Columns>(x, candidates, y, teams, length, inner, parts, chunk, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 4) extreme_warp(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long teams, long long length, long long inner, long long parts, long long chunk, int smallest) {
    extreme<Warp>(x, candidates, y, teams, length, inner, parts, chunk, smallest);
}

extern "C" __global__ void __launch_bounds__(256, 4) extreme_block(
    const scalar_t* __restrict__ x,
    const long long* __restrict__ candidates,  // null: all elements are
    long long* __restrict__ y,
    long long teams, long long length, long long inner, long long parts, long long chunk, int smallest) {
    extreme<Block>(x, candidates, y, teams, length, inner, parts, chunk, smallest);
}
