// The gradient of a table of rows that indices pick:
//
//   dw[i, c] = sum of dy[b, c] over the b whose index is i        over their number where `by_frequency` is set
//
// indices (batch,)  dy (batch, d)  dw (rows, d). Indices that are `skipped`, or no row, add nothing. Terms are added in
// pairs (pairwise.cuh), in the order of the batch: the same bits on every run and on the CPU, and small rounding
// errors.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "index.cuh"
#include "pairwise.cuh"

__device__ __forceinline__ acc_t row_gradient(const Pairwise& sum, int by_frequency) {
    return by_frequency && sum.count ? sum.total() / (acc_t)sum.count : sum.total();
}

// First rung, naive: one thread an element of dw, which goes through all indices. Nothing beyond the formula; costs
// rows * batch reads of indices for each column.
extern "C" __global__ void embedding_backward_naive(
    const scalar_t* __restrict__ dy, const long long* __restrict__ indices, scalar_t* __restrict__ dw,
    long long batch, long long d, long long skipped, int by_frequency, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / d, c = i - row * d;
        Pairwise sum;
        for (index_t b = 0; b < batch; ++b)
            if (indices[b] == row && row != skipped) sum.add(dy[b * d + c]);
        dw[i] = row_gradient(sum, by_frequency);
    }
}

// Second rung: the indices come sorted (sort.cu), as pairs of a row and where in the batch it stood, equal rows in
// their order, and dw filled with zeros. One thread an element of dy; the first one of a row adds up all of that row.
// Costs the sorting, and time where a row has much of the batch: its terms are added by one thread a column.
extern "C" __global__ void embedding_backward_sorted(
    const scalar_t* __restrict__ dy, const unsigned long long* __restrict__ key, const int* __restrict__ position,
    scalar_t* __restrict__ dw, long long rows, long long batch, long long d, int by_frequency, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t first = i / d, c = i - first * d;
        const unsigned long long row = key[first];
        if (row >= (unsigned long long)rows || (first > 0 && key[first - 1] == row)) continue;
        Pairwise sum;
        for (index_t s = first; s < batch && key[s] == row; ++s) sum.add(dy[position[s] * d + c]);
        dw[(index_t)row * d + c] = row_gradient(sum, by_frequency);
    }
}
