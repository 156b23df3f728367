// Four neighbouring elements, moved as one: 16 bytes in float32, which is the widest access to memory there is (two of
// them in float64, half of one in half precision). Address and distance have to be multiples of four elements, which
// the host checks; what can't be read this way is read one by one.
#pragma once
#include "common.cuh"
#include "scalar.cuh"

// Two neighbours
template <class T> struct __align__(2 * sizeof(T)) Pair {
    T v[2];
};

template <class T> struct __align__(sizeof(T) < 4 ? 4 * sizeof(T) : 16) Quad {
    T v[4];
};

// The first `count` of four elements, and zeros.
template <class T> __device__ __forceinline__ Quad<T> load_quad(const T* x, index_t count, bool vector) {
    if (vector && count >= 4) return *(const Quad<T>*)x;
    Quad<T> q;
#pragma unroll
    for (int e = 0; e < 4; ++e) q.v[e] = e < count ? x[e] : T(0);
    return q;
}

// Converted, so that half precision is rounded here.
template <class T, class V>
__device__ __forceinline__ void store_quad(T* y, const V (&v)[4], index_t count, bool vector) {
    if (vector && count >= 4) {
        Quad<T> q;
#pragma unroll
        for (int e = 0; e < 4; ++e) q.v[e] = v[e];
        *(Quad<T>*)y = q;
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < count) y[e] = v[e];
}

// y += a x. Left a loop, it becomes one vector instruction of a CPU; unrolled, g++ does not find that.
template <class T> __device__ __forceinline__ void add_multiple(Quad<T>& y, T a, const Quad<T>& x) {
#ifdef GPUNN_SIMULATOR
#pragma GCC unroll 1
#else
#pragma unroll
#endif
    for (int e = 0; e < 4; ++e) y.v[e] = fma(a, x.v[e], y.v[e]);
}
