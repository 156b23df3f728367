// col2im (fold), the adjoint of im2col.cu: the sum of all patches, each at its place in an image of zeros.
//
//   image[n, c, h, w] = sum of columns[n, (c, i, j), (r, q)] over all i, j, r, q with
//                       r stride - corner + i dilation = h and q stride - corner + j dilation = w
//
// Each thread gathers the sum of one pixel. So no two threads write to one place, no atomics are needed, and the sum
// goes in a fixed order: over i, then j. Memory bounds all kernels: every element of the columns is read once.
//
// compiled for scalar_t = float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64
#include "scalar.cuh"
#include "windows.cuh"

// First rung: naive. It tries each element of the kernel, and skips those that no patch has here: with a stride of s
// all but one of s s.
extern "C" __global__ void col2im_naive(
    const scalar_t* __restrict__ columns,
    scalar_t* __restrict__ image,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const index_t count = planes * height * width;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const int column = i % width, row = i / width % height;
        const index_t plane = i / width / height;
        acc_t sum = 0;
        for (int kernel_row = 0; kernel_row < kernel_h; ++kernel_row) {
            const int top = row + corner_h - kernel_row * dilation_h;
            if (top < 0 || top % stride_h != 0 || top / stride_h >= out_h) continue;
            for (int kernel_column = 0; kernel_column < kernel_w; ++kernel_column) {
                const int left = column + corner_w - kernel_column * dilation_w;
                if (left < 0 || left % stride_w != 0 || left / stride_w >= out_w) continue;
                const index_t line = (plane * kernel_h + kernel_row) * kernel_w + kernel_column;
                sum += columns[(line * out_h + top / stride_h) * out_w + left / stride_w];
            }
        }
        image[i] = sum;
    }
}

// Second rung: windows. It goes over the windows that reach the pixel, so that nothing is tried in vain (but for
// dilated kernels), and a thread has a run of pixels, one below the other: it divides once for all of them.
extern "C" __global__ void col2im_windows(
    const scalar_t* __restrict__ columns,
    scalar_t* __restrict__ image,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const int runs = (height + RUN - 1) / RUN;
    for (index_t i = first_index(); i < planes * runs * width; i += index_stride()) {
        const Pixel run(i, runs, width);
        const Windows beside(across, run.column);
        Windows above(down, run.row * RUN);
        for (int row = run.row * RUN; row < min(run.row * RUN + RUN, height); ++row, above.next()) {
            acc_t sum = 0;
            for (int k = 0; k < above.count(); ++k) {
                const int r = above.last() - k;
                const int kernel_row = down.element_of(r, row);
                if (kernel_row < 0) continue;
                for (int l = 0; l < beside.count(); ++l) {
                    const int q = beside.last() - l;
                    const int kernel_column = across.element_of(q, run.column);
                    if (kernel_column < 0) continue;
                    const index_t line = (run.plane * kernel_h + kernel_row) * kernel_w + kernel_column;
                    sum += columns[(line * out_h + r) * out_w + q];
                }
            }
            image[(run.plane * height + row) * width + run.column] = sum;
        }
    }
}

// Third rung: steps. From one window to the next, to the left or above, it is always as far in memory where the kernel is
// not dilated: nothing is worked out anew, and the elements of several windows are on their way at once.
constexpr int SIDE_BY_SIDE = 4;

extern "C" __global__ void col2im_steps(
    const scalar_t* __restrict__ columns,
    scalar_t* __restrict__ image,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, 1};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, 1};
    const int runs = (height + RUN - 1) / RUN;
    const index_t positions = (index_t)out_h * out_w, of_kernel_row = kernel_w * positions;
    const index_t left = stride_w * positions - 1, up = stride_h * of_kernel_row - out_w;
    for (index_t i = first_index(); i < planes * runs * width; i += index_stride()) {
        const Pixel run(i, runs, width);
        const Windows beside(across, run.column);
        Windows above(down, run.row * RUN);
        const int q = beside.last(), count = beside.count();
        const index_t begin = run.plane * kernel_h * of_kernel_row + across.element_of(q, run.column) * positions + q;
        for (int row = run.row * RUN; row < min(run.row * RUN + RUN, height); ++row, above.next()) {
            const int r = above.last();
            index_t at = begin + down.element_of(r, row) * of_kernel_row + (index_t)r * out_w;
            acc_t sum = 0;
#pragma unroll 1
            for (int k = 0; k < above.count(); ++k, at += up) {
#pragma unroll 1
                for (int l = 0; l < count; l += SIDE_BY_SIDE) {
                    acc_t next[SIDE_BY_SIDE];
#pragma unroll
                    for (int e = 0; e < SIDE_BY_SIDE; ++e)
                        next[e] = l + e < count ? acc_t(columns[at + (l + e) * left]) : acc_t(0);
#pragma unroll
                    for (int e = 0; e < SIDE_BY_SIDE; ++e) sum += next[e];
                }
            }
            image[(run.plane * height + row) * width + run.column] = sum;
        }
    }
}
