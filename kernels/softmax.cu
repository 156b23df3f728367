// Softmax and its logarithm, and their gradients, along one axis.
//
//   y_i = e^(x_i - m) / s                 dx = y (dy - sum of dy y)      m = max x,  s = sum of e^(x_j - m)
//   y_i = x_i - m - ln s                  dx = dy - e^y sum of dy        where `logarithm` is set
//
// x (outer, length, inner): a row is the elements that are `inner` apart; there are rows = outer * inner. The largest
// exponent is 0, so nothing overflows. m and s come from one pass over x (accumulate.cuh), y from a second one.
//
// The ladder is one of teams (team.cuh), the threads that share a row:
//   naive    one thread. Reads memory well only where inner is large (neighbours in memory are other rows), and needs
//            many rows.
//   columns  8 threads for each of 32 neighbouring rows: for inner > 1 and long or few rows.
//   lanes    4, 8 or 16 threads, which read neighbours where inner is 1: for many short rows.
//   warp     32 threads, likewise: for short rows.
//   block    256 threads: for long rows, of which there may be few.
// Each reads x twice, the second time from a cache if the rows at work fit there, and costs 1 to 2 exponentials an
// element in each pass.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "accumulate.cuh"
#include "team.cuh"

template <class Team>
__device__ __forceinline__ void softmax(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows, int length, index_t inner, int logarithm) {
    const index_t row = Team::row();
    const int end = row < rows ? length : 0;
    const index_t start = row / inner * inner * length + row % inner;
    const Exponentials e = row_exponentials<Team>(x + start, end, inner);
    const acc_t s = e.s + (e.m - e.m);  // NaN for an infinite x, as inf - inf is
    const acc_t log_s = logarithm ? log(s) : 0, share = 1 / s;
#pragma unroll 4
    for (int i = Team::rank(); i < end; i += Team::size()) {
        const acc_t z = acc_t(x[start + i * inner]) - e.m;
        y[start + i * inner] = logarithm ? z - log_s : exp(z) * share;
    }
}

template <class Team>
__device__ __forceinline__ void softmax_backward(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    index_t rows, int length, index_t inner, int logarithm) {
    const index_t row = Team::row();
    const int end = row < rows ? length : 0;
    const index_t start = row / inner * inner * length + row % inner;
    Sum sum = {0};
    for (int i = Team::rank(); i < end; i += Team::size()) {
        const acc_t g = dy[start + i * inner];
        sum.value = logarithm ? sum.value + g : fma(g, acc_t(y[start + i * inner]), sum.value);
    }
    sum = Team::reduce(sum);
    for (int i = Team::rank(); i < end; i += Team::size()) {
        const index_t at = start + i * inner;
        const acc_t g = dy[at], v = y[at];
        dx[at] = logarithm ? fma(-exp(v), sum.value, g) : v * (g - sum.value);
    }
}

// Blocks that share a multiprocessor, at least: with more the exponential in float64 would spill.
constexpr int BLOCKS = sizeof(acc_t) == 8 ? 3 : 4;

extern "C" __global__ void __launch_bounds__(256, BLOCKS) softmax_forward_naive(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long rows, int length, long long inner, int logarithm) {
    softmax<Alone>(x, y, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS) softmax_forward_columns(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long rows, int length, long long inner, int logarithm) {
    softmax<Columns>(x, y, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS) softmax_forward_lanes(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long rows, int length, long long inner, int logarithm) {
    softmax<Lanes>(x, y, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS) softmax_forward_warp(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long rows, int length, long long inner, int logarithm) {
    softmax<Warp>(x, y, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS) softmax_forward_block(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long rows, int length, long long inner, int logarithm) {
    softmax<Block>(x, y, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, 4) softmax_backward_naive(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    long long rows, int length, long long inner, int logarithm) {
    softmax_backward<Alone>(dy, y, dx, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, 4) softmax_backward_columns(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    long long rows, int length, long long inner, int logarithm) {
    softmax_backward<Columns>(dy, y, dx, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, 4) softmax_backward_lanes(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    long long rows, int length, long long inner, int logarithm) {
    softmax_backward<Lanes>(dy, y, dx, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, 4) softmax_backward_warp(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    long long rows, int length, long long inner, int logarithm) {
    softmax_backward<Warp>(dy, y, dx, rows, length, inner, logarithm);
}

extern "C" __global__ void __launch_bounds__(256, 4) softmax_backward_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
    long long rows, int length, long long inner, int logarithm) {
    softmax_backward<Block>(dy, y, dx, rows, length, inner, logarithm);
}
