// The weight gradient of a convolution with an activation and a maximum pooling behind it, from the gradient of what was
// pooled: Y = f(X * W + b), of which windows of 2 x 2 that lie side by side have chosen the largest, p with their numbers.
//
//   dz = dp f'(z) at the elements that were chosen, 0 at all others
//   dW[o, c, i, j] = sum over n, r, q of dz[n, o, r, q] x[n, c, r + i - corner, q + j - corner],  db[o] = sum of dz
//
// f'(z) follows from p, since p is f(z) at these elements. Of the four elements of a window one counts: so this reads a
// half of what max_pool_slope.cu and conv_sliding.cu would write and read, and multiplies a quarter. It is for few
// channels: each of them reads the gradients again.
//
// A warp has an output, a block 8 of them and one channel, of which rows of one image lie in shared memory, with zeros
// around them, while the next ones are copied. Lanes take the windows in turn; the sums of the lanes are added as a tree.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "accumulate.cuh"
#include "activation.cuh"
#include "convolution.cuh"
#include "shares.cuh"
#include "team.cuh"

constexpr int THREADS = 256;
constexpr int OUTPUTS = THREADS / 32;
constexpr int AT_A_TIME = 4;  // windows of a lane whose gradients are read before the first is used

// Blocks along x share the tiles, `tiles_per_block` each, of `tile_rows` rows of windows: parts (blocks, groups outer
// inner taps + groups outer). Blocks along y have the channels and the outputs. The last of them to come add the parts up.
template <int KERNEL>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dp, const scalar_t* p, const unsigned char* numbers,
    acc_t* parts, unsigned* arrived, scalar_t* dw, scalar_t* db, int tile_rows, int pitch, int tiles_per_block,
    const SlopeOfOutput& slope) {
    extern __shared__ __align__(16) acc_t words[];
    constexpr int TAPS = KERNEL * KERNEL;
    const int channel = blockIdx.y % f.inner, of_outputs = blockIdx.y / f.inner;
    const int blocks_of_group = (f.outer + OUTPUTS - 1) / OUTPUTS, group = of_outputs / blocks_of_group;
    const int first_output = of_outputs % blocks_of_group * OUTPUTS, lane = threadIdx.x % 32;
    const int output = first_output + threadIdx.x / 32, row = group * f.outer + output;
    const int high = f.down.positions / 2, wide = f.across.positions / 2, tiles_down = (high + tile_rows - 1) / tile_rows;
    const index_t tiles = (index_t)f.images * tiles_down, first_tile = (index_t)blockIdx.x * tiles_per_block;
    const int own_tiles = min((index_t)tiles_per_block, tiles - first_tile);
    const int rows = 2 * tile_rows + KERNEL - 1, columns = 2 * wide + KERNEL - 1, buffer = rows * pitch;

    const auto load = [&](index_t tile, acc_t* to) {
        const index_t image = tile / tiles_down;
        const int top = (tile - image * tiles_down) * 2 * tile_rows - f.down.corner;
        const index_t plane = (image * f.groups + group) * f.inner + channel;
        bring_rows(x + plane * f.down.size * f.across.size, 0, true, f.down, f.across, top, -f.across.corner, 1, rows,
                   columns, pitch, 0, to);
        cp_async_commit();
    };

    acc_t sums[TAPS + 1] = {};  // the last one is that of dz
    load(first_tile, words);
    for (int n = 0; n < own_tiles; ++n) {
        if (n + 1 < own_tiles) {
            load(first_tile + n + 1, words + (n + 1) % 2 * buffer);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const index_t image = (first_tile + n) / tiles_down;
        const int top = (first_tile + n - image * tiles_down) * tile_rows;
        const int count = output < f.outer ? min(tile_rows, high - top) * wide : 0;
        const index_t first = ((image * f.groups * f.outer + row) * high + top) * wide;
        const acc_t* piece = words + n % 2 * buffer;
        Walk walk = walk_from(lane, 32, tile_rows, wide);
        for (int begin = lane; begin < count; begin += 32 * AT_A_TIME) {
            acc_t gradient[AT_A_TIME], result[AT_A_TIME];
            int number[AT_A_TIME];
#pragma unroll
            for (int k = 0; k < AT_A_TIME; ++k) {
                const bool exists = begin + 32 * k < count;
                const index_t at = first + begin + 32 * k;
                gradient[k] = exists ? acc_t(dp[at]) : acc_t(0);
                result[k] = exists ? acc_t(p[at]) : acc_t(0);
                number[k] = exists ? numbers[at] : 0;
            }
#pragma unroll
            for (int k = 0; k < AT_A_TIME; ++k, walk.next()) {
                if (begin + 32 * k >= count) break;
                const acc_t g = scalar_t(slope.times(gradient[k], result[k]));
                const acc_t* corner =
                    piece + (2 * walk.row + number[k] / 2) * pitch + 2 * walk.column + number[k] % 2;
#pragma unroll
                for (int tap = 0; tap < TAPS; ++tap)
                    sums[tap] = fma(g, corner[tap / KERNEL * pitch + tap % KERNEL], sums[tap]);
                sums[TAPS] += g;
            }
        }
        __syncthreads();  // before this half is overwritten
    }

    const int depth = f.inner * TAPS, outputs = f.groups * f.outer;
    const bool bias = db != nullptr;
    const index_t weights = (index_t)outputs * depth, step = weights + (bias ? outputs : 0);
    acc_t* part = parts + blockIdx.x * step;
    const acc_t own = sum_of_lanes(sums, lane);
    if (output < f.outer) {
        if (lane < TAPS) part[(index_t)row * depth + channel * TAPS + lane] = own;
        else if (lane == TAPS && bias && channel == 0) part[weights + row] = own;
    }
    add_up_weights(parts, step, arrived, dw, db, outputs, depth, group * f.outer + first_output,
                   min(OUTPUTS, f.outer - first_output), channel * TAPS, TAPS, bias && channel == 0);
}

extern "C" __global__ void __launch_bounds__(THREADS, sizeof(acc_t) == 8 ? 2 : 3) conv2d_pooled_weight_grad_three(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,
    const unsigned char* __restrict__ numbers,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int tile_rows, int pitch, int tiles_per_block, int kind, acc_t parameter) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const SlopeOfOutput slope(kind, parameter);
    weight_grad<3>({images, groups, inner, outer, down, across}, x, dp, p, numbers, parts, arrived, dw, db, tile_rows,
                   pitch, tiles_per_block, slope);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) conv2d_pooled_weight_grad_five(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,
    const unsigned char* __restrict__ numbers,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int tile_rows, int pitch, int tiles_per_block, int kind, acc_t parameter) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const SlopeOfOutput slope(kind, parameter);
    weight_grad<5>({images, groups, inner, outer, down, across}, x, dp, p, numbers, parts, arrived, dw, db, tile_rows,
                   pitch, tiles_per_block, slope);
}
