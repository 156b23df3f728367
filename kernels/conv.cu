// Convolution and its two gradients, the first rung: naive. The second one is im2col.cu and a matrix product; the
// ladder goes on in conv_direct.cu and conv_implicit.cu.
//
//   y[n, o, r, q] = f(b[o] + sum over c, i, j of w[o, c, i, j] x[n, c, r s + i d - p, q s + j d - p])
//   dx = the sum over all positions of w dz, at their places;  dw = the sum over n, r, q of dz x;  db = the sum of dz
//   (Goodfellow et al. 2016, 9.5; s, d, p are stride, dilation and the corner's padding; x is 0 outside the image)
//
//   x (images, groups inner, height, width)  w (groups outer, inner, kernel_h, kernel_w)  b (groups outer)
//   y, dz (images, groups outer, out_h, out_w)
//
// The channels of a group are convolved by themselves. One thread computes one element of a result: the formula and
// nothing else. It reads two elements from memory (or cache) for each multiplication.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "shares.cuh"
#include "windows.cuh"

extern "C" __global__ void conv2d_forward_naive(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int kind, acc_t parameter) {
    const index_t count = (index_t)images * groups * outer * out_h * out_w;
    for (index_t t = first_index(); t < count; t += index_stride()) {
        const Pixel place(t, out_h, out_w);
        const int output = place.plane % (groups * outer), group = output / outer;
        const index_t image = place.plane / (groups * outer);
        const int top = place.row * stride_h - corner_h, left = place.column * stride_w - corner_w;
        acc_t z = 0;
        for (int c = 0; c < inner; ++c) {
            const scalar_t* plane = x + ((image * groups + group) * inner + c) * height * width;
            const scalar_t* kernel = w + ((index_t)output * inner + c) * kernel_h * kernel_w;
            for (int i = 0; i < kernel_h; ++i) {
                const int row = top + i * dilation_h;
                if (row < 0 || row >= height) continue;
                for (int j = 0; j < kernel_w; ++j) {
                    const int column = left + j * dilation_w;
                    if (column < 0 || column >= width) continue;
                    z = fma(acc_t(plane[(index_t)row * width + column]), acc_t(kernel[i * kernel_w + j]), z);
                }
            }
        }
        if (bias != nullptr) z += bias[output];
        y[t] = activation(z, kind, parameter);
    }
}

// Gathers: a pixel of dx goes over the windows that it lies in.
extern "C" __global__ void conv2d_input_grad_naive(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ w,
    scalar_t* __restrict__ dx,
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = (index_t)images * groups * inner * height * width;
    for (index_t t = first_index(); t < count; t += index_stride()) {
        const Pixel place(t, height, width);
        const int channel = place.plane % (groups * inner), group = channel / inner, c = channel % inner;
        const index_t image = place.plane / (groups * inner);
        const Windows above(down, place.row), beside(across, place.column);
        acc_t sum = 0;
        for (int output = group * outer; output < (group + 1) * outer; ++output) {
            const scalar_t* plane = dz + (image * groups * outer + output) * out_h * out_w;
            const scalar_t* kernel = w + ((index_t)output * inner + c) * kernel_h * kernel_w;
            for (int r = above.first(); r <= above.last(); ++r) {
                const int i = down.element_of(r, place.row);
                if (i < 0) continue;
                for (int q = beside.first(); q <= beside.last(); ++q) {
                    const int j = across.element_of(q, place.column);
                    if (j >= 0) sum = fma(acc_t(plane[(index_t)r * out_w + q]), acc_t(kernel[i * kernel_w + j]), sum);
                }
            }
        }
        dx[t] = sum;
    }
}

// The bias is the weight of one more element of x, which is always 1.
extern "C" __global__ void conv2d_weight_grad_naive(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const int depth = inner * kernel_h * kernel_w, elements = depth + (db != nullptr ? 1 : 0);
    const index_t count = (index_t)groups * outer * elements;
    for (index_t t = first_index(); t < count; t += index_stride()) {
        const int output = t / elements, element = t % elements, group = output / outer;
        const int c = element / (kernel_h * kernel_w), i = element / kernel_w % kernel_h, j = element % kernel_w;
        acc_t sum = 0;
        for (int image = 0; image < images; ++image) {
            const scalar_t* plane = x + (((index_t)image * groups + group) * inner + c) * height * width;
            const scalar_t* gradient = dz + ((index_t)image * groups * outer + output) * out_h * out_w;
            for (int r = 0; r < out_h; ++r) {
                const int row = r * stride_h - corner_h + i * dilation_h;
                for (int q = 0; q < out_w; ++q) {
                    const int column = q * stride_w - corner_w + j * dilation_w;
                    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
                    const acc_t of_image =
                        element == depth ? acc_t(1) : inside ? acc_t(plane[(index_t)row * width + column]) : acc_t(0);
                    sum = fma(of_image, acc_t(gradient[(index_t)r * out_w + q]), sum);
                }
            }
        }
        if (element < depth) dw[(index_t)output * depth + element] = sum;
        else db[output] = sum;
    }
}

// y = f(sum of the parts + bias), the parts in order. parts (parts, images, outputs, positions), y without the first
// axis. The second rung, im2col.cu and a matrix product, has one part.
extern "C" __global__ void conv2d_add_parts(
    const acc_t* __restrict__ part,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    int parts, long long count, int outputs, int positions, int kind, acc_t parameter) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        acc_t z = sum_of_parts(part + i, count, parts);
        if (bias != nullptr) z += bias[quotient(i, positions) % outputs];
        y[i] = activation(z, kind, parameter);
    }
}
