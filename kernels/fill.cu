// Arrays made of nothing: one value everywhere, or on a diagonal. Values come as the bits of their elements.
//
// compiled for element_t = uint8, int16, int32, int64
#include "common.cuh"

// y[i] = value
extern "C" __global__ void fill(element_t* __restrict__ y, element_t value, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) y[i] = value;
}

// y[i, i] = value, else 0, for y (count / columns, columns)
extern "C" __global__ void eye(element_t* __restrict__ y, element_t value, long long columns, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride())
        y[i] = i / columns == i % columns ? value : (element_t)0;
}
