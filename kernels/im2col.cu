// im2col (unfold): the patches of images as columns, so that a convolution becomes a matrix product. col2im.cu has the
// adjoint.
//
//   columns[n, (c, i, j), (r, q)] = image[n, c, r stride - corner + i dilation, q stride - corner + j dilation]
//
// and 0 outside the image (n, c, h, w). Here `planes` is n c: channels are not told apart from images. What an element
// is does not matter, only its size.
//
// Memory bounds both kernels: every element is written to kernel_h kernel_w places. It is read from memory once, if the
// cache keeps the few rows that a patch is high.
//
// compiled for element_t = uint8, int16, int32, int64
#include "windows.cuh"

// First rung: naive. One thread copies one element of the columns. What that costs beyond memory are the divisions that
// find its place.
extern "C" __global__ void im2col_naive(
    const element_t* __restrict__ image,
    element_t* __restrict__ columns,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const index_t count = planes * kernel_h * kernel_w * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        index_t rest = i;
        const int q = rest % out_w;
        rest /= out_w;
        const int r = rest % out_h;
        rest /= out_h;
        const int kernel_column = rest % kernel_w;
        rest /= kernel_w;
        const int kernel_row = rest % kernel_h;
        const index_t plane = rest / kernel_h;
        const int row = r * stride_h - corner_h + kernel_row * dilation_h;
        const int column = q * stride_w - corner_w + kernel_column * dilation_w;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        columns[i] = inside ? image[(plane * height + row) * width + column] : (element_t)0;
    }
}

// Second rung: patches. One thread copies a whole patch of a plane, so that it divides once for all its elements, and
// knows which rows of it lie outside the image. Neighbouring threads have neighbouring positions: at each step a warp
// writes 32 neighbours, and with a stride of 1 it reads 32. It costs threads: kernel_h kernel_w times fewer.
extern "C" __global__ void im2col_patches(
    const element_t* __restrict__ image,
    element_t* __restrict__ columns,
    long long planes,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const index_t count = planes * out_h * out_w, positions = (index_t)out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const Pixel place(i, out_h, out_w);
        const int top = place.row * stride_h - corner_h, left = place.column * stride_w - corner_w;
        element_t* to = columns + place.plane * (kernel_h * kernel_w - 1) * positions + i;
        for (int kernel_row = 0; kernel_row < kernel_h; ++kernel_row) {
            const int row = top + kernel_row * dilation_h;
            const bool row_inside = row >= 0 && row < height;
            const element_t* line = image + (place.plane * height + row) * width;
            for (int kernel_column = 0; kernel_column < kernel_w; ++kernel_column, to += positions) {
                const int column = left + kernel_column * dilation_w;
                *to = row_inside && column >= 0 && column < width ? line[column] : (element_t)0;
            }
        }
    }
}
