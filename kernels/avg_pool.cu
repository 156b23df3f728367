// Average pooling of images (planes, height, width), where planes are images times channels, and its adjoint.
//
//   y[p, r, q] = sum of the window at (r, q) of plane p / n          dx = dy / n, added at all elements of the window
//
// n is `divisor`, or where that is 0 the window's number of elements in the image, or if `count_padding` those in the
// padding too (but not those beyond it, which a last window may have). In the adaptive form windows cover the image
// evenly: window i of `out` goes from floor(i size / out) up to ceil((i + 1) size / out).
//
// In both directions each element of the result is gathered: no two threads write to one place, and sums go in a fixed
// order, each row of a window by itself. Memory bounds all kernels here.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "accumulate.cuh"
#include "team.cuh"
#include "windows.cuh"

// The length of a window along an axis, as far as it counts.
__device__ __forceinline__ int length(const Axis& axis, int position, bool count_padding) {
    const int start = axis.start(position), around = count_padding ? axis.corner : 0;
    return min(start + axis.kernel, axis.size + around) - max(start, -around);
}

__device__ __forceinline__ acc_t size_of(
    const Axis& down, const Axis& across, int r, int q, bool count_padding, int divisor) {
    return divisor != 0 ? divisor : length(down, r, count_padding) * length(across, q, count_padding);
}

extern "C" __global__ void avg_pool(
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ y,
    long long planes, bool count_padding, int divisor,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = planes * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, out_h, out_w);
        const int top = down.start(place.row), left = across.start(place.column);
        const int end_row = down.end_inside(top), end_column = across.end_inside(left);
        const scalar_t* plane = x + place.plane * height * width;
        acc_t sum = 0;
        for (int row = down.first_inside(top); row < end_row; ++row) {
            const scalar_t* line = plane + (index_t)(top + row) * width + left;
            acc_t of_row = 0;
            for (int column = across.first_inside(left); column < end_column; ++column) of_row += line[column];
            sum += of_row;
        }
        y[i] = sum / size_of(down, across, place.row, place.column, count_padding, divisor);
    }
}

// Each pixel goes over the windows that reach it; a thread has a run of pixels, one below the other.
extern "C" __global__ void avg_pool_backward(
    const scalar_t* __restrict__ dy,
    scalar_t* __restrict__ dx,
    long long planes, bool count_padding, int divisor,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const int runs = (height + RUN - 1) / RUN;
    for (index_t i = first_index(); i < planes * runs * width; i += index_stride()) {
        const Pixel run(i, runs, width);
        const Windows beside(across, run.column);
        Windows above(down, run.row * RUN);
        const scalar_t* plane = dy + run.plane * out_h * out_w;
        for (int row = run.row * RUN; row < min(run.row * RUN + RUN, height); ++row, above.next()) {
            acc_t sum = 0;
            for (int l = 0; l < beside.count(); ++l) {
                const int q = beside.last() - l;
                acc_t of_column = 0;
                for (int k = 0; k < above.count(); ++k) {
                    const int r = above.last() - k;
                    const acc_t g = plane[(index_t)r * out_w + q];
                    of_column += g / size_of(down, across, r, q, count_padding, divisor);
                }
                sum += of_column;
            }
            dx[(run.plane * height + row) * width + run.column] = sum;
        }
    }
}

__device__ __forceinline__ int adaptive_start(int i, int size, int out) { return quotient((index_t)i * size, out); }
__device__ __forceinline__ int adaptive_end(int i, int size, int out) {
    return quotient((index_t)(i + 1) * size + out - 1, out);
}

// A team shares each window; its members divide once, and then count rows and columns.
template <class Team>
__device__ __forceinline__ void adaptive(
    const scalar_t* x, scalar_t* y, index_t planes, int height, int width, int out_h, int out_w) {
    const index_t i = Team::row();
    const bool there = i < planes * out_h * out_w;
    const Pixel place(there ? i : 0, out_h, out_w);
    const int top = adaptive_start(place.row, height, out_h), left = adaptive_start(place.column, width, out_w);
    const int across = adaptive_end(place.column, width, out_w) - left;
    const int size = (adaptive_end(place.row, height, out_h) - top) * across;
    const scalar_t* corner = x + (place.plane * height + top) * width + left;
    int row = Team::rank() / across, column = Team::rank() - row * across;
    const int down = Team::size() / across, right = Team::size() - down * across;
    Sum sum = {0};
    for (int e = Team::rank(); e < (there ? size : 0); e += Team::size()) {
        sum.value += acc_t(corner[(index_t)row * width + column]);
        row += down;
        column += right;
        if (column >= across) {
            column -= across;
            ++row;
        }
    }
    sum = Team::reduce(sum);
    if (there && Team::rank() == 0) y[i] = sum.value / size;
}

// First rung: one thread for each window.
extern "C" __global__ void adaptive_avg_pool_naive(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long planes, int height, int width, int out_h, int out_w) {
    adaptive<Alone>(x, y, planes, height, width, out_h, out_w);
}

// Second rung: a warp for each window, which reads 32 neighbours at a time. For large windows, of which there are few.
// Where the window is the whole image there is no rung here: its mean is a reduction of rows (reduce.cu).
extern "C" __global__ void adaptive_avg_pool_warp(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
    long long planes, int height, int width, int out_h, int out_w) {
    adaptive<Warp>(x, y, planes, height, width, out_h, out_w);
}

extern "C" __global__ void adaptive_avg_pool_backward(
    const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx,
    long long planes, int height, int width, int out_h, int out_w) {
    const index_t count = planes * height * width;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, height, width);
        // The windows over an element are those that the image, as `out` windows, has over it.
        const int bottom = adaptive_end(place.row, out_h, height), right = adaptive_end(place.column, out_w, width);
        acc_t sum = 0;
        for (int r = adaptive_start(place.row, out_h, height); r < bottom; ++r) {
            const int down = adaptive_end(r, height, out_h) - adaptive_start(r, height, out_h);
            for (int q = adaptive_start(place.column, out_w, width); q < right; ++q) {
                const int across = adaptive_end(q, width, out_w) - adaptive_start(q, width, out_w);
                sum += acc_t(dy[(place.plane * out_h + r) * out_w + q]) / (down * across);
            }
        }
        dx[i] = sum;
    }
}
