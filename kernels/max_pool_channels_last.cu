// Max pooling of images whose channels lie last, (images, height, width, channels), and its gradient. The formulas, and
// what of equal elements is taken, are in max_pool.cu.
//
// Neighbouring threads have neighbouring channels of one window, or of one pixel: they read and write neighbours, and go
// the same way through the windows. Memory bounds both kernels, as there.
//
// compiled for scalar_t = float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64
#include "scalar.cuh"
#include "windows.cuh"

// One thread for each window of each channel. `lowest` is what no element is below.
extern "C" __global__ void max_pool_channels_last(
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ small,  // null: the numbers go to `large`
    int* __restrict__ large,            // null: the numbers go to `small`
    long long images, int channels, acc_t lowest,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const index_t count = images * out_h * out_w * channels;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t window = quotient(i, channels);
        const Pixel place(window, out_h, out_w);
        const int top = down.start(place.row), left = across.start(place.column);
        const int first_row = down.first_inside(top), first_column = across.first_inside(left);
        const int end_row = down.end_inside(top), end_column = across.end_inside(left);
        const scalar_t* image = x + place.plane * height * width * channels + (i - window * channels);
        acc_t best = lowest;
        int number = first_row * kernel_w + first_column;
        for (int row = first_row; row < end_row; ++row) {
            const index_t line = (index_t)(top + row * dilation_h) * width + left;
            for (int column = first_column; column < end_column; ++column) {
                const acc_t value = image[(line + column * dilation_w) * channels];
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

// One thread for each pixel of each channel, which asks the windows that reach it, row by row, whether they chose it.
extern "C" __global__ void max_pool_backward_channels_last(
    const scalar_t* __restrict__ dy,
    const unsigned char* __restrict__ small,  // null: the numbers are in `large`
    const int* __restrict__ large,            // null: the numbers are in `small`
    scalar_t* __restrict__ dx,
    long long images, int channels,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    for (index_t i = first_index(); i < images * height * width * channels; i += index_stride()) {
        const index_t at = quotient(i, channels);
        const Pixel pixel(at, height, width);
        const Windows above(down, pixel.row), beside(across, pixel.column);
        const index_t channel = i - at * channels;
        acc_t sum = 0;
        for (int r = above.first(); r <= above.last(); ++r) {
            const int kernel_row = down.element_of(r, pixel.row);
            const index_t line = (pixel.plane * out_h + r) * out_w;
            for (int q = beside.first(); q <= beside.last(); ++q) {
                const int kernel_column = across.element_of(q, pixel.column);
                const index_t window = (line + q) * channels + channel;
                const int number = small != nullptr ? small[window] : large[window];
                const bool element = kernel_row >= 0 && kernel_column >= 0;
                if (element && number == kernel_row * kernel_w + kernel_column) sum += dy[window];
            }
        }
        dx[i] = sum;
    }
}
