// The maximum of a window of 2 x 2 elements, for kernels that have all four. Needs acc_t.
#pragma once
#include "scalar.cuh"

// Of two neighbours in a row and those below them the largest, as it is stored, and its number: of equal elements the
// first, of NaNs the last.
__device__ __forceinline__ acc_t largest(const acc_t (&window)[4], int& number) {
    acc_t best = (scalar_t)window[0];
    number = 0;
#pragma unroll
    for (int k = 1; k < 4; ++k) {
        const acc_t value = (scalar_t)window[k];
        if (value > best || value != value) {
            best = value;
            number = k;
        }
    }
    return best;
}
