// Convolution with a stride of 1 and a kernel of 3 x 3 or 5 x 5: the windows slide over rows of the image that a thread
// has in registers. The formulas are in conv.cu; the general way, a matrix product of patches, is conv_implicit.cu. The
// weight gradient is conv_sliding_weight.cu.
//
// A matrix product brings an element of the image into shared memory once for each element of the kernel, and reads two
// numbers from there for each few multiplications. Here a piece of the image lies in shared memory once, with zeros
// around it. A thread computes 8 outputs at 2 x 4 pixels: for a row of a channel's kernel it reads 8 pixels of the next
// row of the image, and 8 weights for each element of the kernel's row; of these it makes 64 multiplications for each
// element. So 9 of 10 instructions of the loop are multiplications, and shared memory is busy for a third of the time.
//
// While one chunk of channels is worked on, the next one is copied.
//
// The two rows and two columns of a window of 2 x 2 are in one thread: so a maximum pooling of such windows behind the
// activation costs nothing, and only its result is written, and the numbers of the elements that were chosen.
//
// It costs that images have to be wide enough: where the width is no multiple of four, or the height is odd, threads at
// the edge compute what is not there. An element of Y is the sum over channels, and in each over the kernel, in order.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "sliding.cuh"

extern "C" __global__ void __launch_bounds__(256, sizeof(scalar_t) == 4 ? 2 : 1) conv2d_sliding_three(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ numbers,  // null: Y is not pooled
    acc_t* __restrict__ parts,            // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned,
    int tile_images, int tile_pairs, int tile_quads, int pitch, int plane, int output_threads, int slices,
    int tile_channels, int part_channels, int kind, acc_t parameter, bool vector) {
    extern __shared__ __align__(16) acc_t words[];
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Tile tile = {tile_images, tile_pairs, tile_quads, pitch, plane, output_threads, slices, tile_channels};
    const Destination to = {y, numbers, parts, bias, kind, parameter, vector};
    forward<3>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, tile, part_channels,
               words);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv2d_sliding_five(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ numbers,  // null: Y is not pooled
    acc_t* __restrict__ parts,            // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned,
    int tile_images, int tile_pairs, int tile_quads, int pitch, int plane, int output_threads, int slices,
    int tile_channels, int part_channels, int kind, acc_t parameter, bool vector) {
    extern __shared__ __align__(16) acc_t words[];
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Tile tile = {tile_images, tile_pairs, tile_quads, pitch, plane, output_threads, slices, tile_channels};
    const Destination to = {y, numbers, parts, bias, kind, parameter, vector};
    forward<5>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, tile, part_channels,
               words);
}
