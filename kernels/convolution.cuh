// A convolution as a kernel is told of it, and what kernels of convolutions share.
#pragma once
#include "windows.cuh"

struct Convolution {
    int images, groups, inner, outer;
    Axis down, across;

    __device__ __forceinline__ int taps() const { return down.kernel * across.kernel; }
    __device__ __forceinline__ int positions() const { return down.positions * across.positions; }
    __device__ __forceinline__ index_t pixels() const { return (index_t)images * positions(); }
    // Where the first image of a group lies in x.
    __device__ __forceinline__ index_t of_group(int group) const {
        return (index_t)group * inner * down.size * across.size;
    }
};

// What lies side by side for a thread to read at once
template <int N> struct __align__(N % 4 == 0 ? 16 : sizeof(acc_t)) Several {
    acc_t v[N];

    // += a x. Left a loop, it is one vector instruction of a CPU; unrolled, g++ does not find that.
    __device__ __forceinline__ void add_multiple(acc_t a, const Several& x) {
#ifdef GPUNN_SIMULATOR
#pragma GCC unroll 1
#else
#pragma unroll
#endif
        for (int n = 0; n < N; ++n) v[n] = fma(a, x.v[n], v[n]);
    }
};
