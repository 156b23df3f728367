// Sums whose terms many blocks share: the last block of each sixteen adds their parts up, in order, and the last of these
// blocks the sums of all sixteens, in order. Whoever comes last, the result has the same bits.
//
// It costs no launch of its own, and a thread waits for memory twice, with sixteen loads on their way, where the parts
// one behind the other would take a hundred such waits.
#pragma once
#include "common.cuh"
#include "ptx.cuh"
#include "scalar.cuh"

constexpr int SIXTEEN = 16;

// part[0] + part[step] + ..., so many.
__device__ __forceinline__ acc_t sum_of_parts(const acc_t* part, index_t step, int count) {
    acc_t sum = -acc_t(0);  // which leaves any first part as it is
    for (; count > 0; count -= SIXTEEN) {
        acc_t next[SIXTEEN];
#pragma unroll
        for (int k = 0; k < SIXTEEN; ++k, part += step)
            if (k < count) next[k] = *part;
#pragma unroll
        for (int k = 0; k < SIXTEEN; ++k)
            if (k < count) sum += next[k];
    }
    return sum;
}

// The number of counters for so many blocks.
__device__ __forceinline__ int counters_of(int shares) { return (shares + SIXTEEN - 1) / SIXTEEN + 1; }

// Of `count` things that `shares` blocks have a share of each, found(n, first, apart, members) gives what the parts first,
// first + apart, ... have found of number n, so many of them, together; keep(n, part, value) leaves it in the place of a
// part, and put(n, value) where it is wanted. The blocks that share them call it behind writing their parts; `arrived` has
// counters_of(shares) zeros for them, and has them again. One block alone needs none.
template <class Found, class Keep, class Put>
__device__ __forceinline__ void join_in_sixteens(
    int share, int shares, unsigned* arrived, int count, const Found& found, const Keep& keep, const Put& put) {
    const int sixteens = counters_of(shares) - 1, own = share / SIXTEEN, first = own * SIXTEEN;
    const int members = min(SIXTEEN, shares - first);
    if (shares == 1) __syncthreads();
    else if (!comes_last(arrived + own, members)) return;
    for (int n = threadIdx.x; n < count; n += blockDim.x) {
        const auto value = found(n, first, 1, members);
        if (sixteens == 1) put(n, value);
        else keep(n, first, value);
    }
    if (sixteens == 1 || !comes_last(arrived + sixteens, sixteens)) return;
    for (int n = threadIdx.x; n < count; n += blockDim.x) put(n, found(n, 0, SIXTEEN, sixteens));
}

// Of parts (shares, step) adds up `count` elements, of which number n is at place_of(n): put(place, sum).
template <class PlaceOf, class Put>
__device__ __forceinline__ void add_up_shares(
    acc_t* parts, index_t step, int share, int shares, unsigned* arrived, int count, const PlaceOf& place_of,
    const Put& put) {
    join_in_sixteens(
        share, shares, arrived, count,
        [=](int n, int first, int apart, int members) {
            return sum_of_parts(parts + first * step + place_of(n), apart * step, members);
        },
        [=](int n, int part, acc_t sum) { parts[part * step + place_of(n)] = sum; },
        [=](int n, acc_t sum) { put(place_of(n), sum); });
}

// `add_up_shares` for a weight gradient: of `rows` outputs from `first_row` on, `columns` elements of each from `first`
// on, and if `bias` its bias. Parts are (shares, outputs depth + outputs); blocks along y have other sums.
__device__ __forceinline__ void add_up_weights(
    acc_t* parts, index_t step, unsigned* arrived, scalar_t* dw, scalar_t* db, int outputs, int depth, int first_row,
    int rows, int first, int columns, bool bias) {
    const index_t weights = (index_t)outputs * depth;
    const int of_row = columns + (bias ? 1 : 0);
    const auto place_of = [=](int n) {
        const int row = first_row + n / of_row, column = n % of_row;
        return column < columns ? (index_t)row * depth + first + column : weights + row;
    };
    const auto put = [=](index_t place, acc_t sum) {
        if (place < weights) dw[place] = sum;
        else db[place - weights] = sum;
    };
    unsigned* counters = arrived + blockIdx.y * counters_of(gridDim.x);
    add_up_shares(parts, step, blockIdx.x, gridDim.x, counters, rows * of_row, place_of, put);
}
