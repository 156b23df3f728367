// How elementwise kernels walk over their elements: four neighbours a thread and step, because one load of 4 bytes on
// the way is not enough to keep a GPU's memory busy.
#pragma once
#include "layout.cuh"
#include "quad.cuh"

// The elements of this thread: for (index_t i = first_quad(); i < count; i += quad_stride()) ... i to i + 3
__device__ __forceinline__ index_t first_quad() { return 4 * first_index(); }
__device__ __forceinline__ index_t quad_stride() { return 4 * index_stride(); }

// Arrays with strides, or broadcast, are walked along rows: the last axis of the result is its columns, which threads
// along x share, and all others are its rows, which threads along y share. Where a row begins is found once a row, so
// that a bias, or a column, is added without a division.
__device__ __forceinline__ index_t first_row() { return (index_t)blockIdx.y * blockDim.y + threadIdx.y; }
__device__ __forceinline__ index_t row_stride() { return (index_t)gridDim.y * blockDim.y; }

// Elements `column` to `column` + 3 of an operand whose row begins at x, with the elements `step` apart (0: the same
// one for all); those from `columns` on are zeros.
template <class T>
__device__ __forceinline__ Quad<T> load_columns(
    const T* x, index_t step, index_t column, index_t columns, bool vector) {
    if (step == 1) return load_quad(x + column, columns - column, vector);
    Quad<T> q;
#pragma unroll
    for (int e = 0; e < 4; ++e) q.v[e] = column + e < columns ? x[(column + e) * step] : T(0);
    return q;
}

// The elements as those of another type
template <class R, class T> __device__ __forceinline__ Quad<R> converted(const Quad<T>& x) {
    Quad<R> q;
#pragma unroll
    for (int e = 0; e < 4; ++e) q.v[e] = x.v[e];
    return q;
}

template <class T> __device__ __forceinline__ Quad<T> four_times(T number) {
    return {{number, number, number, number}};
}

// Takes the first of four elements out and appends another one.
template <class T> __device__ __forceinline__ void turn(T (&v)[4], T last) {
    v[0] = v[1];
    v[1] = v[2];
    v[2] = v[3];
    v[3] = last;
}

// f of four elements, or of four pairs. The loop is not unrolled, so that the machine code of f, which may be a long
// switch, is there once. The elements go round, since registers have no index that is known only at run time.
template <class R, class T, class F> __device__ __forceinline__ Quad<R> map_quad(Quad<T> x, F f) {
    Quad<R> results = {};
#pragma unroll 1
    for (int e = 0; e < 4; ++e) {
        const R result = f(x.v[0]);
        turn(x.v, x.v[0]);
        turn(results.v, result);
    }
    return results;
}

template <class R, class T, class F> __device__ __forceinline__ Quad<R> map_quad(Quad<T> x, Quad<T> y, F f) {
    Quad<R> results = {};
#pragma unroll 1
    for (int e = 0; e < 4; ++e) {
        const R result = f(x.v[0], y.v[0]);
        turn(x.v, x.v[0]);
        turn(y.v, y.v[0]);
        turn(results.v, result);
    }
    return results;
}
