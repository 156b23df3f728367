// Before and after sorting along an axis by sort.cu. x (outer, length, inner); each of the outer * inner rows is padded
// to a power of two.
//
// compiled for scalar_t = bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "order.cuh"

// As keys the elements as numbers of the same order, turned around for `descending`; as positions their places. Padding
// has the greatest key, and a higher position than any element, so it comes last.
extern "C" __global__ void order_keys(
    const scalar_t* __restrict__ x, unsigned long long* __restrict__ key, int* __restrict__ position,
    long long length, long long inner, long long padded, int descending, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / padded, place = i - row * padded;
        order_t number = GREATEST;
        if (place < length) {
            number = order_of(x[(row / inner * length + place) * inner + row % inner]);
            if (descending) number = ~number;
        }
        key[i] = number;
        position[i] = (int)place;
    }
}

// values[p, k, q] = x[p, i, q] and indices[p, k, q] = i for the k-th position i of row (p, q)
extern "C" __global__ void order_results(
    const scalar_t* __restrict__ x, const int* __restrict__ position,
    scalar_t* __restrict__ values, long long* __restrict__ indices,
    long long length, long long inner, long long padded, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t line = i / inner, q = i - line * inner;
        const index_t p = line / length, k = line - p * length;
        const index_t place = position[(p * inner + q) * padded + k];
        values[i] = x[(p * length + place) * inner + q];
        indices[i] = place;
    }
}
