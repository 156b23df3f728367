// Elements picked by indices, and elements put in the place of others. The shapes are those of index.cuh.
//
//   gather   y[p, b, q] = x[p, i, q]              for i the index of (p, b, q)
//   put      y[p, i, q] = v[p, b, q], the last one in the order of b where several have the same i
//
// Bad indices pick 0 and put nothing. v_step is 1, or 0 for a v of one element.
//
// compiled for element_t = uint8, int16, int32, int64
#include "index.cuh"

// One thread an element of y; x has any strides. Cost: y is written once, and what is picked of x is read, in whole
// lines where inner is large.
extern "C" __global__ void gather(
    const element_t* __restrict__ x, long long x_offset, long long x_outer, long long x_n, long long x_inner,
    const long long* __restrict__ index, element_t* __restrict__ y,
    long long n, long long batch, long long inner, int each, int wrap, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / batch, b = row - p * batch;
        const index_t place = place_of(index[each ? i : b], n, wrap);
        y[i] = place < 0 ? (element_t)0 : x[x_offset + p * x_outer + place * x_n + q * x_inner];
    }
}

// First rung of put, naive: one thread an element of y, which looks for its own place among the indices, from the last
// one on. Nothing beyond the formula; costs n * batch reads of indices for each (p, q).
extern "C" __global__ void put_naive(
    const element_t* __restrict__ v, long long v_step,
    const long long* __restrict__ index, element_t* __restrict__ y,
    long long n, long long batch, long long inner, int each, int wrap, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / n, place = row - p * n;
        index_t b = batch - 1;
        while (b >= 0 && place_of(index[index_at(p, b, q, batch, inner, each)], n, wrap) != place) --b;
        if (b >= 0) y[i] = v[v_step * ((p * batch + b) * inner + q)];
    }
}

// Second rung of put: the indices come sorted (sort.cu), as pairs of a place and where in the batch it stood, equal
// places in their order. One thread an element of v; the last one of a place writes. Costs the sorting, and nothing for
// places that no index speaks of.
extern "C" __global__ void put_sorted(
    const element_t* __restrict__ v, long long v_step,
    const unsigned long long* __restrict__ key, const int* __restrict__ position, element_t* __restrict__ y,
    long long n, long long batch, long long inner, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / batch, s = row - p * batch;
        const unsigned long long place = key[s];
        if (place >= (unsigned long long)n || (s + 1 < batch && key[s + 1] == place)) continue;
        y[(p * n + (index_t)place) * inner + q] = v[v_step * ((p * batch + position[s]) * inner + q)];
    }
}
