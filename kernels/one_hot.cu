// y[p, c, q] = one where the label of (p, q) is c, else 0, for labels (outer, inner), y (outer, classes, inner). `one`
// is 1 in the type of y, as bits. One thread an element of y, which is written once.
//
// compiled for element_t = uint8, int16, int32, int64
#include "common.cuh"

extern "C" __global__ void one_hot(
    const long long* __restrict__ label, element_t* __restrict__ y, element_t one,
    long long classes, long long inner, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, q = i - row * inner;
        const index_t p = row / classes, c = row - p * classes;
        y[i] = label[p * inner + q] == c ? one : (element_t)0;
    }
}
