// Elements that an index picks along one axis of an array, and the numbers that places and indices have.
//
// An array that is indexed has the shape (outer, n, inner), of which n is what the index speaks of. What is picked, or
// put there, has the shape (outer, batch, inner). An index is one for all (batch,), or where `each` is set, one for
// each element (outer, batch, inner).
#pragma once
#include "common.cuh"

// The place along n that an index stands for: where `wrap` is set a negative one counts from the end. -1: there is
// none.
__device__ __forceinline__ index_t place_of(long long index, index_t n, int wrap) {
    if (wrap && index < 0) index += n;
    return index >= 0 && index < n ? index : -1;
}

// Which of all the indices is that of element (outer, b, inner).
__device__ __forceinline__ index_t index_at(
    index_t outer_place, index_t b, index_t inner_place, index_t batch, index_t inner, int each) {
    return each ? (outer_place * batch + b) * inner + inner_place : b;
}
