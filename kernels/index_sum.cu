// Elements added up at indices, in their order, so that a sum has the same bits on every run and on the CPU:
//
//   y[p, i, q] = sum of v[p, b, q] over the b whose index is i, in the order of b
//
// The shapes are those of index.cuh; bad indices add nothing. Half precision is summed in float32.
//
// compiled for scalar_t = uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "index.cuh"
#include "scalar.cuh"

// First rung, naive: one thread an element of y, which goes through all indices. Nothing beyond the formula; costs n *
// batch reads of indices for each (p, q).
extern "C" __global__ void sum_naive(
    const scalar_t* __restrict__ v, const long long* __restrict__ index, scalar_t* __restrict__ y,
    long long n, long long batch, long long inner, int each, int wrap, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / n, place = row - p * n;
        acc_t sum = 0;
        for (index_t b = 0; b < batch; ++b)
            if (place_of(index[index_at(p, b, q, batch, inner, each)], n, wrap) == place)
                sum += acc_t(v[(p * batch + b) * inner + q]);
        y[i] = sum;
    }
}

// Second rung: the indices come sorted (sort.cu), as pairs of a place and where in the batch it stood, equal places in
// their order, and y filled with zeros. One thread an element of v; the first one of a place adds up all of that place.
// Costs the sorting, and where one place has most of the batch, a long sum by few threads: the order that is asked for
// leaves no other.
extern "C" __global__ void sum_sorted(
    const scalar_t* __restrict__ v, const unsigned long long* __restrict__ key, const int* __restrict__ position,
    scalar_t* __restrict__ y, long long n, long long batch, long long inner, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / batch, first = row - p * batch;
        const unsigned long long place = key[first];
        if (place >= (unsigned long long)n || (first > 0 && key[first - 1] == place)) continue;
        acc_t sum = 0;
        for (index_t s = first; s < batch && key[s] == place; ++s)
            sum += acc_t(v[(p * batch + position[s]) * inner + q]);
        y[(p * n + (index_t)place) * inner + q] = sum;
    }
}
