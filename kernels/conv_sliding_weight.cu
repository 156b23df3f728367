// The weight gradient of a convolution with a stride of 1 and a kernel of 3 x 3 or 5 x 5, by rows of the image that a
// thread has in registers, as conv_sliding.cu, from which this differs in what is summed over. The formulas are in conv.cu.
//
// A thread has 8 outputs times a row of a channel's kernel (in 3 x 3 all three rows), and goes over the positions, four at
// a time: of 4 x 8 gradients and 6 x 3 or 8 pixels it makes 288 or 160 multiplications. While one tile of positions is
// worked on, the next one is copied, four or two neighbours at once where rows allow.
//
// An element is the sum of what blocks find, in order; in a block that of threads that share rows, in order; there over
// tiles, rows and columns.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "sliding_weight.cuh"

constexpr int GRADIENT_THREADS = 128;

extern "C" __global__ void __launch_bounds__(GRADIENT_THREADS, sizeof(acc_t) == 8 ? 2 : 3) conv2d_weight_grad_sliding_three(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles, or the parts are left to another launch
    scalar_t* __restrict__ dw,       // null: they are
    scalar_t* __restrict__ db,       // null: likewise, or not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    bool with_bias, bool counted, int tile_rows, int tile_quads, int pitch, int plane, int quad, int gradient_pitch,
    int output_threads, int tile_channels, int row_parts, int image_unit, int image_rows,
    int image_sharers, int gradient_unit, int gradient_rows, int gradient_sharers) {
    extern __shared__ __align__(16) acc_t words[];
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const WeightTile tile = {
        tile_rows, tile_quads, pitch, plane, quad, gradient_pitch, output_threads, tile_channels,
        row_parts, {image_unit, image_rows, image_sharers}, {gradient_unit, gradient_rows, gradient_sharers}};
    weight_grad<3, sizeof(acc_t) == 4 ? 3 : 1>(
        {images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, with_bias, counted, tile,
        words);
}

extern "C" __global__ void __launch_bounds__(GRADIENT_THREADS, 2) conv2d_weight_grad_sliding_five(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles, or the parts are left to another launch
    scalar_t* __restrict__ dw,       // null: they are
    scalar_t* __restrict__ db,       // null: likewise, or not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    bool with_bias, bool counted, int tile_rows, int tile_quads, int pitch, int plane, int quad, int gradient_pitch,
    int output_threads, int tile_channels, int row_parts, int image_unit, int image_rows,
    int image_sharers, int gradient_unit, int gradient_rows, int gradient_sharers) {
    extern __shared__ __align__(16) acc_t words[];
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const WeightTile tile = {
        tile_rows, tile_quads, pitch, plane, quad, gradient_pitch, output_threads, tile_channels,
        row_parts, {image_unit, image_rows, image_sharers}, {gradient_unit, gradient_rows, gradient_sharers}};
    weight_grad<5, 1>(
        {images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, with_bias, counted, tile,
        words);
}
