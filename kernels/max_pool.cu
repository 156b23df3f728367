// Max pooling of images (planes, height, width), where planes are images times channels, and what it takes to go back.
//
//   y[p, r, q] = the largest element of the window at (r, q) of plane p;  which[p, r, q] = i kernel_w + j, its number
//   dx = dy, added at those elements
//
// Of equal elements the first is taken, of NaNs the last. The numbers are bytes, or ints for windows of more than 256
// elements: of the two pointers to them one is null.
//
// Each element of a result is computed by one thread, so no two threads write to one place, and the sums of overlapping
// windows go in a fixed order: that of y, row by row. Memory bounds all kernels here: forward it reads x once, if the
// cache keeps the rows that a window is high.
//
// compiled for scalar_t = float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64
#include "largest.cuh"
#include "quad.cuh"
#include "windows.cuh"

// First rung: naive. One thread for each window. `lowest` is what no element is below.
extern "C" __global__ void max_pool_naive(
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ small,  // null: the numbers go to `large`
    int* __restrict__ large,            // null: the numbers go to `small`
    long long planes, acc_t lowest,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = planes * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, out_h, out_w);
        const int top = down.start(place.row), left = across.start(place.column);
        const int first_row = down.first_inside(top), first_column = across.first_inside(left);
        const int end_row = down.end_inside(top), end_column = across.end_inside(left);
        const scalar_t* plane = x + place.plane * height * width;
        acc_t best = lowest;
        int number = first_row * kernel_w + first_column;
        for (int row = first_row; row < end_row; ++row) {
            const scalar_t* line = plane + (index_t)(top + row * dilation_h) * width + left;
            for (int column = first_column; column < end_column; ++column) {
                const acc_t value = line[column * dilation_w];
                if (value > best || value != value) {
                    best = value;
                    number = row * kernel_w + column;
                }
            }
        }
        y[i] = best;
        if (small != nullptr) small[i] = number;
        else large[i] = number;
    }
}

// Second rung: pairs. Windows of 2 x 2 elements, side by side, cover the image: the upper and the lower half of each is
// a pair of neighbours, moved as one, and a thread divides once. Of `count` windows `out_w` lie in a row.
extern "C" __global__ void max_pool_pairs(
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ numbers,
    long long count, int out_w) {
    const Pair<scalar_t>* pairs = (const Pair<scalar_t>*)x;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t upper = i + quotient(i, out_w) * out_w;
        const Pair<scalar_t> above = pairs[upper], below = pairs[upper + out_w];
        const acc_t window[4] = {above.v[0], above.v[1], below.v[0], below.v[1]};
        int number;
        y[i] = largest(window, number);
        numbers[i] = number;
    }
}

__device__ __forceinline__ int number_at(const unsigned char* small, const int* large, index_t i) {
    return small != nullptr ? small[i] : large[i];
}

// The sum of dy over the windows that chose a pixel, of those that reach it.
__device__ __forceinline__ acc_t sum_of_choosers(
    const scalar_t* dy, const unsigned char* small, const int* large, const Axis& down, const Axis& across,
    const Windows& above, const Windows& beside, index_t plane, int row, int column) {
    acc_t sum = 0;
    for (int r = above.first(); r <= above.last(); ++r) {
        const int kernel_row = down.element_of(r, row);
        const index_t line = (plane * down.positions + r) * across.positions;
        for (int q = beside.first(); q <= beside.last(); ++q) {
            const int kernel_column = across.element_of(q, column);
            const bool element = kernel_row >= 0 && kernel_column >= 0;
            const int number = kernel_row * across.kernel + kernel_column;
            if (element && number_at(small, large, line + q) == number) sum += dy[line + q];
        }
    }
    return sum;
}

// First rung: naive. One thread for each pixel, which asks the windows that reach it, row by row, whether they chose
// it.
extern "C" __global__ void max_pool_backward_naive(
    const scalar_t* __restrict__ dy,
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    scalar_t* __restrict__ dx,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    for (index_t i = first_index(); i < planes * height * width; i += index_stride()) {
        const Pixel pixel(i, height, width);
        const Windows above(down, pixel.row), beside(across, pixel.column);
        dx[i] = sum_of_choosers(dy, small, large, down, across, above, beside, pixel.plane, pixel.row, pixel.column);
    }
}

// Second rung: runs, for windows without dilation. A thread has several pixels, one below the other: it divides once for
// all of them, and goes once over the windows that reach any of them, of which each chose one or none.
template <class Number>
__device__ __forceinline__ void backward_runs(
    const scalar_t* __restrict__ dy, const Number* __restrict__ numbers, scalar_t* __restrict__ dx,
    index_t planes, const Axis& down, const Axis& across) {
    const int height = down.size, width = across.size, runs = (height + RUN - 1) / RUN;
    for (index_t i = first_index(); i < planes * runs * width; i += index_stride()) {
        const Pixel run(i, runs, width);
        const int top = run.row * RUN;
        const Windows above(down, top, top + RUN - 1), beside(across, run.column);
        acc_t sum[RUN] = {};
#pragma unroll 1
        for (int r = above.first(); r <= above.last(); ++r) {
            const index_t line = (run.plane * down.positions + r) * across.positions;
            const int distance = (top - down.start(r)) * across.kernel;
#pragma unroll 1
            for (int q = beside.first(); q <= beside.last(); ++q) {
                const int number = numbers[line + q];
                const acc_t g = dy[line + q];
                const bool exists = (unsigned)number < (unsigned)(down.kernel * across.kernel);
                // If it chose one of this column: the kernel's width times the row in the window.
                const int chosen = number - across.element_of(q, run.column);
#pragma unroll
                for (int e = 0; e < RUN; ++e)
                    if (exists && chosen == distance + e * across.kernel) sum[e] += g;
            }
        }
        scalar_t* pixels = dx + (run.plane * height + top) * width + run.column;
#pragma unroll
        for (int e = 0; e < RUN; ++e, pixels += width)
            if (top + e < height) *pixels = sum[e];
    }
}

extern "C" __global__ void max_pool_backward_runs(
    const scalar_t* __restrict__ dy,
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    scalar_t* __restrict__ dx,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, 1};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, 1};
    if (small != nullptr) backward_runs(dy, small, dx, planes, down, across);
    else backward_runs(dy, large, dx, planes, down, across);
}

// Third rung: pairs, as max_pool_pairs. A window writes all pixels that it has.
extern "C" __global__ void max_pool_backward_pairs(
    const scalar_t* __restrict__ dy,
    const unsigned char* __restrict__ numbers,
    scalar_t* __restrict__ dx,
    long long count, int out_w) {
    Pair<scalar_t>* pairs = (Pair<scalar_t>*)dx;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t upper = i + quotient(i, out_w) * out_w;
        const int number = numbers[i];
        const scalar_t g = dy[i], zero = acc_t(0);
        pairs[upper] = {number == 0 ? g : zero, number == 1 ? g : zero};
        pairs[upper + out_w] = {number == 2 ? g : zero, number == 3 ? g : zero};
    }
}

// Where in its plane the element lies that a window chose: row width + column, or -1 if `number` names none in the
// image.
__device__ __forceinline__ index_t chosen(const Axis& down, const Axis& across, const Pixel& place, int number) {
    const int clipped = max(0, min(number, down.kernel * across.kernel - 1));
    const int kernel_row = clipped / across.kernel, kernel_column = clipped - kernel_row * across.kernel;
    const int row = down.start(place.row) + kernel_row * down.dilation;
    const int column = across.start(place.column) + kernel_column * across.dilation;
    const bool inside = row >= 0 && row < down.size && column >= 0 && column < across.size;
    return inside ? (index_t)row * across.size + column : -1;
}

// y = the elements of x that `which` names: the adjoint of max_pool_backward.
extern "C" __global__ void max_pool_gather(
    const scalar_t* __restrict__ x,
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    scalar_t* __restrict__ y,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = planes * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, out_h, out_w);
        const index_t at = chosen(down, across, place, number_at(small, large, i));
        y[i] = at < 0 ? (scalar_t)0 : x[place.plane * height * width + at];
    }
}

// The chosen elements' places in their planes. The same for every scalar_t.
extern "C" __global__ void max_pool_indices(
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    long long* __restrict__ y,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = planes * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, out_h, out_w);
        y[i] = chosen(down, across, place, number_at(small, large, i));
    }
}
