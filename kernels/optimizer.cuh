// What all optimizer updates share: flat arenas, all parameters of a network in one array, their gradients and moments in
// others of the same length, and one launch for all. In place. A thread updates four neighbours at a time. Each element
// is read and written once, and that is the cost: 3 to 9 arrays through memory, next to no arithmetic.
//
// The formulas, with their sources, stand at the classes of gpunn.optim; the order of operations is that of
// gpunn/backend/numpy/optimizer.py, except that a product and a sum are rounded once (fma). update.cuh has what an
// element's update and the numbers of a captured step are.
//
// In all of them `vector` says that all arrays start at a multiple of four elements; g is the gradient.
#pragma once
#include "quad.cuh"
#include "update.cuh"

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
