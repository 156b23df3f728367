// im2col (unfold) and its adjoint col2im (fold). First rung: naive.
//
//   image (batch, channels, height, width)  <->  columns (batch, channels * kernel_h * kernel_w, out_h * out_w)
//
// Column l of a sample is the patch under the kernel at position l, so a convolution is the matrix product of the
// weights with the columns. Layout and meaning are those of torch.nn.functional.unfold and fold. For each axis
//
//   out = floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
//   position in the image = out index * stride - padding + kernel index * dilation
//
// One thread computes one element of the result. Both kernels are bound by memory; what they cost above that is the
// integer divisions that find the element's place.
#include "common.cuh"

extern "C" __global__ void im2col_naive(
    const float* __restrict__ image,
    float* __restrict__ columns,
    int batch, int channels, int height, int width,
    int kernel_h, int kernel_w, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w,
    int out_h, int out_w) {
    const index_t count = (index_t)batch * channels * kernel_h * kernel_w * out_h * out_w;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        index_t rest = i;
        const int ow = rest % out_w;
        rest /= out_w;
        const int oh = rest % out_h;
        rest /= out_h;
        const int kw = rest % kernel_w;
        rest /= kernel_w;
        const int kh = rest % kernel_h;
        const index_t plane = rest / kernel_h;  // sample * channels + channel
        const int h = oh * stride_h - padding_h + kh * dilation_h;
        const int w = ow * stride_w - padding_w + kw * dilation_w;
        const bool inside = h >= 0 && h < height && w >= 0 && w < width;
        columns[i] = inside ? image[(plane * height + h) * width + w] : 0.0f;
    }
}

// Gathers: each pixel adds up, in a fixed order, the elements of the columns that im2col would have copied it to. So no
// two threads write to one place, no atomics are needed, and the sum has the same bits on every run.
extern "C" __global__ void col2im_naive(
    const float* __restrict__ columns,
    float* __restrict__ image,
    int batch, int channels, int height, int width,
    int kernel_h, int kernel_w, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w,
    int out_h, int out_w) {
    const index_t count = (index_t)batch * channels * height * width;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const int w = i % width;
        const int h = i / width % height;
        const index_t plane = i / width / height;
        float sum = 0.0f;
        for (int kh = 0; kh < kernel_h; ++kh) {
            const int top = h + padding_h - kh * dilation_h;
            if (top < 0 || top % stride_h != 0 || top / stride_h >= out_h) continue;
            for (int kw = 0; kw < kernel_w; ++kw) {
                const int left = w + padding_w - kw * dilation_w;
                if (left < 0 || left % stride_w != 0 || left / stride_w >= out_w) continue;
                const index_t row = (plane * kernel_h + kh) * kernel_w + kw;
                sum += columns[(row * out_h + top / stride_h) * out_w + left / stride_w];
            }
        }
        image[i] = sum;
    }
}
