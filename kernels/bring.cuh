// Elements on their way into shared memory, past the registers: `cp_async_commit` and `cp_async_wait` (ptx.cuh) say when
// they are there. What has to be converted goes through registers, and is there at once.
#pragma once
#include "ptx.cuh"
#include "quad.cuh"

// An element, zero where it is not `valid`.
__device__ __forceinline__ void bring(acc_t* to, const scalar_t* from, bool valid) {
    if constexpr (sizeof(scalar_t) == 4) cp_async_4(to, from, valid);
    else if constexpr (sizeof(scalar_t) == 8) cp_async_8(to, from, valid);
    else *to = valid ? acc_t(*from) : acc_t(0);
}

// Two neighbours, at addresses that allow it (quad.cuh);
__device__ __forceinline__ void bring_pair(acc_t* to, const scalar_t* from, bool valid) {
    if constexpr (sizeof(scalar_t) == 4) {
        cp_async_8(to, from, valid);
    } else if constexpr (sizeof(scalar_t) == 8) {
        cp_async_16(to, from, valid);
    } else {
        Pair<scalar_t> pair = {};
        if (valid) pair = *(const Pair<scalar_t>*)from;
        *(Pair<acc_t>*)to = {acc_t(pair.v[0]), acc_t(pair.v[1])};
    }
}

// and four.
__device__ __forceinline__ void bring_quad(acc_t* to, const scalar_t* from, bool valid) {
    if constexpr (sizeof(scalar_t) == sizeof(acc_t)) {
        cp_async_16(to, from, valid);
        if constexpr (sizeof(scalar_t) == 8) cp_async_16(to + 2, from + 2, valid);
    } else {
        Quad<scalar_t> q = {};
        if (valid) q = *(const Quad<scalar_t>*)from;
        Quad<acc_t> converted;
#pragma unroll
        for (int e = 0; e < 4; ++e) converted.v[e] = q.v[e];
        *(Quad<acc_t>*)to = converted;
    }
}
