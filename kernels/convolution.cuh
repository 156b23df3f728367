// A convolution as a kernel is told of it, and what kernels of convolutions share.
#pragma once
#include "bring.cuh"
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
template <int N> struct __align__(N % 4 == 0 ? 16 : N % 2 == 0 ? 2 * sizeof(acc_t) : sizeof(acc_t)) Several {
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

// 8 pixels of a row that a thread reads at once for a kernel of 5 elements, 6 for 3.
template <int KERNEL> struct Window {
    acc_t v[KERNEL + 3];

    __device__ __forceinline__ void read(const acc_t* row) {
        const Quad<acc_t> first = *(const Quad<acc_t>*)row;
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] = first.v[e];
#pragma unroll
        for (int e = 4; e < KERNEL + 3; e += 2) {
            const Pair<acc_t> next = *(const Pair<acc_t>*)(row + e);
            v[e] = next.v[0];
            v[e + 1] = next.v[1];
        }
    }
};

// Rows and columns of `planes` images that lie `step` apart in x and `plane` in shared memory, rows there `pitch`: from
// (top, left) of each on, with zeros around it. A thread finds its place once for all planes.
__device__ __forceinline__ void bring_rows(
    const scalar_t* x, index_t step, bool exists, const Axis& down, const Axis& across, int top, int left, int planes,
    int rows, int columns, int pitch, int plane, acc_t* to) {
    for (int e = threadIdx.x; e < rows * columns; e += blockDim.x) {
        const int r = e / columns, c = e - r * columns, row = top + r, column = left + c;
        const bool inside = exists && (unsigned)row < (unsigned)down.size && (unsigned)column < (unsigned)across.size;
        const scalar_t* from = x + (inside ? (index_t)row * across.size + column : 0);
        acc_t* own = to + r * pitch + c;
#pragma unroll 2
        for (int n = 0; n < planes; ++n, own += plane, from += inside ? step : 0) bring(own, from, inside);
    }
}
