// Max pooling of images (planes, height, width), where planes are images times channels, and what it takes to go back.
//
//   y[p, r, q] = the largest element of the window at (r, q) of plane p;  which[p, r, q] = i kernel_w + j, its number
//   dx = dy, added at those elements
//
// Of equal elements the first is taken, of NaNs the last. The numbers are bytes, or ints for windows of more than 256
// elements: of the two pointers to them one is null.
//
// One thread computes one element of a result. In both directions this gathers, so no two threads write to one place,
// and the sums of overlapping windows go in a fixed order. Memory bounds all kernels here: forward it reads x once, if the
// cache keeps the rows that a window is high.
//
// compiled for scalar_t = float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64
#include "scalar.cuh"
#include "windows.cuh"

// `lowest` is what no element is below.
extern "C" __global__ void max_pool(
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

__device__ __forceinline__ int number_at(const unsigned char* small, const int* large, index_t i) {
    return small != nullptr ? small[i] : large[i];
}

// Each pixel asks the windows that it lies in, row by row, whether they chose it.
extern "C" __global__ void max_pool_backward(
    const scalar_t* __restrict__ dy,
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    scalar_t* __restrict__ dx,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = planes * height * width;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, height, width);
        const int bottom = down.last_window(place.row), right = across.last_window(place.column);
        const int left = across.first_window(place.column);
        acc_t sum = 0;
        for (int r = down.first_window(place.row); r <= bottom; ++r) {
            const int row = down.element_of(r, place.row);
            const index_t line = (place.plane * out_h + r) * out_w;
            for (int q = left; q <= right; ++q) {
                const int column = across.element_of(q, place.column);
                const bool inside = row >= 0 && column >= 0;
                if (inside && number_at(small, large, line + q) == row * kernel_w + column) sum += dy[line + q];
            }
        }
        dx[i] = sum;
    }
}

// Where in its plane the element lies that a window chose: row width + column, or -1 if `number` names none in the image.
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
