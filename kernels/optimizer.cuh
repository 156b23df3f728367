// What all optimizer updates share: flat arenas, all parameters of a network in one array, their gradients and moments in
// others of the same length, and one launch for all. In place. A thread updates four neighbours at a time. Each element
// is read and written once, and that is the cost: 3 to 9 arrays through memory, next to no arithmetic.
//
// The formulas, with their sources, stand at the classes of gpunn.optim; the order of operations is that of
// gpunn/backend/numpy/optimizer.py, except that a product and a sum are rounded once (fma). What depends on the step
// alone is computed on the host in float64: in float32, 1 - beta would be wrong in the fifth digit (1.0f - 0.999f is
// 0.00099998713).
//
// In a captured step the numbers, which may be others at the next one, are read from memory: `live` has them in the order
// of the parameters, in float64. And nothing is updated after an error: `errors` has two words for each block of each
// check, and a first one that is not negative is the place of a bad element (check.cu).
//
// In all of them `vector` says that all arrays start at a multiple of four elements; g is the gradient, and
//
//   d = g + decay p,  -g + decay p for `maximize`
#pragma once
#include "common.cuh"
#include "quad.cuh"

__device__ __forceinline__ acc_t descent(acc_t p, acc_t g, acc_t decay, bool maximize) {
    const acc_t d = maximize ? -g : g;
    return decay == 0 ? d : fma(decay, p, d);
}

// Reads the numbers of a captured step. Returns whether there is anything to do.
template <class... Numbers>
__device__ __forceinline__ bool begin(
    const double* live, const long long* errors, int error_count, Numbers&... numbers) {
    for (int e = 0; e < error_count; ++e)
        if (errors[2 * e] >= 0) return false;
    if (live != nullptr) {
        int i = 0;
        ((numbers = acc_t(live[i++])), ...);
    }
    return true;
}

// NaN where either is
__device__ __forceinline__ acc_t larger(acc_t a, acc_t b) { return a > b || a != a ? a : b; }

// Calls update(p, g, state) for every element; p and the moments, of which `state` has one of each, are what it makes of
// them. Moments that are null are 0 and go nowhere.
template <int N, class Update>
__device__ __forceinline__ void walk(
    scalar_t* p, const scalar_t* g, scalar_t* const (&moments)[N], index_t count, bool vector, Update update) {
    for (index_t i = 4 * first_index(); i < count; i += 4 * index_stride()) {
        const index_t left = count - i;
        const Quad<scalar_t> old = load_quad(p + i, left, vector), slopes = load_quad(g + i, left, vector);
        acc_t state[4][N] = {}, values[4];
#pragma unroll
        for (int m = 0; m < N; ++m) {
            if (moments[m] == nullptr) continue;
            const Quad<scalar_t> q = load_quad(moments[m] + i, left, vector);
#pragma unroll
            for (int e = 0; e < 4; ++e) state[e][m] = q.v[e];
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            values[e] = old.v[e];
            update(values[e], acc_t(slopes.v[e]), state[e]);
        }
        store_quad(p + i, values, left, vector);
#pragma unroll
        for (int m = 0; m < N; ++m) {
            if (moments[m] == nullptr) continue;
#pragma unroll
            for (int e = 0; e < 4; ++e) values[e] = state[e][m];
            store_quad(moments[m] + i, values, left, vector);
        }
    }
}
