// Convolution and its weight gradient for few channels, the third rung: direct. The formulas are in conv.cu; the rung
// before, columns of patches and a matrix product, is im2col.cu, the next one conv_implicit.cu.
//
// A block brings the piece of an image that it needs into shared memory, with zeros around it, and the weights. There
// an element of the image is read for each element of the kernel, with no bounds to check; from memory it is read once,
// and no columns are ever written. A thread computes OUT channels of the result at PIXELS positions: for each element
// of the kernel of a channel it reads PIXELS + OUT words, OUT of them four at a time, and does PIXELS OUT
// multiplications.
//
// It costs shared memory: the host fits the piece into it, and what does not fit is left to the next rung. And each OUT
// channels of the result bring the image in again, where a matrix product makes more of it; so this is for few
// channels. Where a group has one or two outputs, OUT is 1.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "convolution.cuh"
#include "shares.cuh"

// What a thread has: channels of the result, positions, and elements of the kernels in the weight gradient. The host
// has the same numbers.
constexpr int OUTPUTS = 8;
constexpr int PIXELS = 4;
constexpr int ELEMENTS = 2;
// Threads of a block, at most
constexpr int FORWARD_THREADS = 128;
constexpr int GRADIENT_THREADS = 256;

// Which positions and which outputs of which image a block works on. `tile` counts tiles of positions, image by image.
struct Work {
    int image, group, first_output, top, left, rows, columns;

    __device__ __forceinline__ Work(
        const Convolution& f, index_t tile, int output_block, int out, int tile_h, int tile_w) {
        const int blocks_of_group = (f.outer + out - 1) / out;
        group = output_block / blocks_of_group;
        first_output = output_block % blocks_of_group * out;
        const Pixel place(tile, (f.down.positions + tile_h - 1) / tile_h, (f.across.positions + tile_w - 1) / tile_w);
        image = place.plane;
        top = place.row * tile_h;
        left = place.column * tile_w;
        rows = min(tile_h, f.down.positions - top);
        columns = min(tile_w, f.across.positions - left);
    }
};

// The elements of an image under all windows of a tile of positions, for some channels, with zeros around the image.
struct Piece {
    int rows, pitch;

    __device__ __forceinline__ Piece(const Convolution& f, int tile_h, int tile_w)
        : rows((tile_h - 1) * f.down.stride + (f.down.kernel - 1) * f.down.dilation + 1),
          pitch((tile_w - 1) * f.across.stride + (f.across.kernel - 1) * f.across.dilation + 1) {}

    __device__ __forceinline__ int size() const { return rows * pitch; }
    __device__ __forceinline__ int place(const Convolution& f, int r, int q) const {
        return r * f.down.stride * pitch + q * f.across.stride;
    }

    __device__ __forceinline__ void load(
        const Convolution& f, const Work& work, const scalar_t* x, int first_channel, int channels, acc_t* to) const {
        const int top = f.down.start(work.top), left = f.across.start(work.left);
        const index_t channel = ((index_t)work.image * f.groups + work.group) * f.inner + first_channel;
        Walk walk = walk_from(threadIdx.x, blockDim.x, rows, pitch);
        for (int e = threadIdx.x; e < channels * size(); e += blockDim.x, walk.next()) {
            const int row = top + walk.row, column = left + walk.column;
            const bool inside = row >= 0 && row < f.down.size && column >= 0 && column < f.across.size;
            const index_t line = (channel + walk.layer) * f.down.size + row;
            to[e] = inside ? acc_t(x[line * f.across.size + column]) : acc_t(0);
        }
    }
};

// f(z) for the values of a thread. In registers the switch over all functions would be there once for each value; so
// the loop goes through shared memory, where a thread has a word for each.
template <int N> __device__ __forceinline__ void activate(acc_t (&z)[N], int kind, acc_t parameter, acc_t* words) {
    if (kind == ACTIVATION_NONE) return;
    if (kind == ACTIVATION_RELU) {
#pragma unroll
        for (int n = 0; n < N; ++n) z[n] = activation(z[n], ACTIVATION_RELU, parameter);
        return;
    }
#pragma unroll
    for (int n = 0; n < N; ++n) words[n * blockDim.x + threadIdx.x] = z[n];
#pragma unroll 1
    for (int n = 0; n < N; ++n) {
        acc_t* word = &words[n * blockDim.x + threadIdx.x];
        *word = activation(*word, kind, parameter);
    }
#pragma unroll
    for (int n = 0; n < N; ++n) z[n] = words[n * blockDim.x + threadIdx.x];
}

// Channels come in chunks that fit into shared memory. Where `turned`, the kernel is turned around, and `w_output` and
// `w_channel` are the distances in w between outputs and between channels: so the input gradient for a stride of 1 is
// the convolution of dz with the weights turned around.
template <int OUT>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, const scalar_t* bias, scalar_t* y, int w_output,
    int w_channel, bool turned, int tile_h, int tile_w, int chunk, int kind, acc_t parameter) {
    extern __shared__ __align__(16) acc_t words[];
    const int blocks_of_outputs = f.groups * ((f.outer + OUT - 1) / OUT), taps = f.taps();
    const index_t tile = blockIdx.x / blocks_of_outputs;
    const Work work(f, tile, blockIdx.x - tile * blocks_of_outputs, OUT, tile_h, tile_w);
    const Piece piece(f, tile_h, tile_w);
    acc_t* weights = words;  // [channel][tap][output]
    acc_t* image = words + chunk * taps * OUT;

    int row[PIXELS], column[PIXELS];  // of the tile; beyond it the thread's results are not written
    const acc_t* corner[PIXELS];
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        const int position = threadIdx.x + p * blockDim.x;
        row[p] = position / tile_w;
        column[p] = position - row[p] * tile_w;
        corner[p] = image + (row[p] < tile_h ? piece.place(f, row[p], column[p]) : 0);
    }
    Several<OUT> z[PIXELS] = {};
    w += (index_t)work.group * f.outer * f.inner * taps + (index_t)work.first_output * w_output;
    for (int first_channel = 0; first_channel < f.inner; first_channel += chunk) {
        const int channels = min(chunk, f.inner - first_channel);
        __syncthreads();  // before the chunk before is overwritten
        piece.load(f, work, x, first_channel, channels, image);
        Walk walk = walk_from(threadIdx.x, blockDim.x, taps, OUT);
        for (int e = threadIdx.x; e < channels * taps * OUT; e += blockDim.x, walk.next()) {
            const index_t channel = first_channel + walk.layer, output = walk.column;
            const index_t at = output * w_output + channel * w_channel + (turned ? taps - 1 - walk.row : walk.row);
            weights[e] = work.first_output + output < f.outer ? acc_t(w[at]) : acc_t(0);
        }
        __syncthreads();
        const Several<OUT>* of_tap = (const Several<OUT>*)weights;
        for (int c = 0; c < channels; ++c) {
            for (int i = 0; i < f.down.kernel; ++i) {
                int offset = c * piece.size() + i * f.down.dilation * piece.pitch;
#pragma unroll OUT == 1 ? 2 : 4  // by itself ptxas unrolls short bodies until registers spill
                for (int j = 0; j < f.across.kernel; ++j, offset += f.across.dilation) {
                    const Several<OUT> weight = *of_tap++;
#pragma unroll
                    for (int p = 0; p < PIXELS; ++p) z[p].add_multiple(corner[p][offset], weight);
                }
            }
        }
    }
    __syncthreads();  // before `activate` takes the shared memory
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        const int first = work.group * f.outer + work.first_output;
        if (bias != nullptr) {
#pragma unroll
            for (int o = 0; o < OUT; ++o)
                if (work.first_output + o < f.outer) z[p].v[o] += bias[first + o];
        }
        activate(z[p].v, kind, parameter, words);
        if (row[p] >= work.rows || column[p] >= work.columns) continue;
        const index_t positions = (index_t)f.down.positions * f.across.positions;
        scalar_t* to = y + ((index_t)work.image * f.groups * f.outer + first) * positions +
                       (index_t)(work.top + row[p]) * f.across.positions + work.left + column[p];
#pragma unroll
        for (int o = 0; o < OUT; ++o)
            if (work.first_output + o < f.outer) to[o * positions] = z[p].v[o];
    }
}

// The weight gradient: a thread has two elements of the kernels in a chunk of channels, and OUT outputs of each, in
// registers, and goes over the positions of tile after tile. Threads that are left share the positions, row by row:
// `row_parts` of them have the same elements. The bias is the weight of one more element, which is always 1.
//
// Blocks share the tiles, `tiles_per_block` each: parts (tile blocks, groups outer inner taps + groups outer). The last
// of them to come add the parts up.
template <int OUT>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dz, acc_t* parts, unsigned* arrived, scalar_t* dw,
    scalar_t* db, int tile_h, int tile_w, int chunk, int row_parts, int tiles_per_block) {
    extern __shared__ __align__(16) acc_t words[];
    const int taps = f.taps(), depth = f.inner * taps;
    const int chunks = (f.inner + chunk - 1) / chunk, output_block = blockIdx.y / chunks;
    const int first_channel = blockIdx.y % chunks * chunk, channels = min(chunk, f.inner - first_channel);
    const bool bias = db != nullptr;
    const int elements = channels * taps + (bias ? 1 : 0), lanes = (elements + ELEMENTS - 1) / ELEMENTS;
    const Piece piece(f, tile_h, tile_w);
    const Several<OUT>* gradient = (const Several<OUT>*)words;  // [position]
    acc_t* image = words + tile_h * tile_w * OUT;
    acc_t* one = image + chunk * piece.size();

    const int row_part = threadIdx.x / lanes, lane = threadIdx.x - row_part * lanes;
    const acc_t* from[ELEMENTS];
    int row_step[ELEMENTS], column_step[ELEMENTS];
#pragma unroll
    for (int n = 0; n < ELEMENTS; ++n) {
        const int element = lane + n * lanes, c = element / taps, tap = element - c * taps, i = tap / f.across.kernel;
        const bool in_image = c < channels;
        from[n] = in_image ? image + (c * piece.rows + i * f.down.dilation) * piece.pitch +
                                 (tap - i * f.across.kernel) * f.across.dilation
                           : one;
        row_step[n] = in_image ? f.down.stride * piece.pitch : 0;
        column_step[n] = in_image ? f.across.stride : 0;
    }
    Several<OUT> sum[ELEMENTS] = {};
    const index_t positions = (index_t)f.down.positions * f.across.positions;
    const index_t tiles = (index_t)f.images * ((f.down.positions + tile_h - 1) / tile_h) *
                          ((f.across.positions + tile_w - 1) / tile_w);
    const index_t first_tile = (index_t)blockIdx.x * tiles_per_block;
    const int own_tiles = min((index_t)tiles_per_block, tiles - first_tile);
    if (threadIdx.x == 0) *one = 1;
    for (int tile = 0; tile < own_tiles; ++tile) {
        const Work work(f, first_tile + tile, output_block, OUT, tile_h, tile_w);
        __syncthreads();  // before the tile before is overwritten
        piece.load(f, work, x, first_channel, channels, image);
        const index_t plane = ((index_t)work.image * f.groups + work.group) * f.outer + work.first_output;
        Walk walk = walk_from(threadIdx.x, blockDim.x, work.columns, OUT);
        for (int e = threadIdx.x; e < work.rows * work.columns * OUT; e += blockDim.x, walk.next()) {
            const int row = work.top + walk.layer, column = work.left + walk.row;
            const index_t at = (plane + walk.column) * positions + (index_t)row * f.across.positions + column;
            words[e] = work.first_output + walk.column < f.outer ? acc_t(dz[at]) : acc_t(0);
        }
        __syncthreads();
        for (int row = row_part; row < (row_part < row_parts ? work.rows : 0); row += row_parts) {
            const Several<OUT>* of_position = gradient + row * work.columns;
            int at[ELEMENTS];
#pragma unroll
            for (int n = 0; n < ELEMENTS; ++n) at[n] = row * row_step[n];
            for (int column = 0; column < work.columns; ++column) {
                const Several<OUT> g = *of_position++;
#pragma unroll
                for (int n = 0; n < ELEMENTS; ++n) {
                    sum[n].add_multiple(from[n][at[n]], g);
                    at[n] += column_step[n];
                }
            }
        }
    }
    __syncthreads();
    Several<OUT>* of_thread = (Several<OUT>*)words;
#pragma unroll
    for (int n = 0; n < ELEMENTS; ++n) of_thread[n * blockDim.x + threadIdx.x] = sum[n];
    __syncthreads();
    const int outputs = f.groups * f.outer;
    const Work work(f, 0, output_block, OUT, tile_h, tile_w);
    const index_t weights = (index_t)outputs * depth, step = weights + (bias ? outputs : 0);
    acc_t* part = parts + blockIdx.x * step;
    for (int e = threadIdx.x; e < lanes * OUT; e += blockDim.x) {
        const int output = work.first_output + e % OUT, row = work.group * f.outer + output;
        if (output >= f.outer) continue;
#pragma unroll
        for (int n = 0; n < ELEMENTS; ++n) {
            const Several<OUT>* of_lane = of_thread + n * blockDim.x + e / OUT;
            const int element = e / OUT + n * lanes;
            acc_t total = 0;
            for (int p = 0; p < row_parts; ++p) total += of_lane[p * lanes].v[e % OUT];
            if (element < channels * taps) part[(index_t)row * depth + first_channel * taps + element] = total;
            else if (element < elements && first_channel == 0) part[weights + row] = total;
        }
    }
    const int first_row = work.group * f.outer + work.first_output, own = min(OUT, f.outer - work.first_output);
    add_up_weights(parts, step, arrived, dw, db, outputs, depth, first_row, own, first_channel * taps, channels * taps,
                   bias && first_channel == 0);
}

extern "C" __global__ void __launch_bounds__(FORWARD_THREADS, sizeof(acc_t) == 8 ? 2 : 4) conv2d_direct_eight(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned, int tile_h, int tile_w, int chunk, int kind, acc_t parameter) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    forward<OUTPUTS>({images, groups, inner, outer, down, across}, x, w, bias, y, w_output, w_channel, turned, tile_h,
                     tile_w, chunk, kind, parameter);
}

extern "C" __global__ void __launch_bounds__(FORWARD_THREADS, 4) conv2d_direct_one(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned, int tile_h, int tile_w, int chunk, int kind, acc_t parameter) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    forward<1>({images, groups, inner, outer, down, across}, x, w, bias, y, w_output, w_channel, turned, tile_h, tile_w,
               chunk, kind, parameter);
}

extern "C" __global__ void __launch_bounds__(GRADIENT_THREADS, sizeof(acc_t) == 8 ? 1 : 2)
conv2d_weight_grad_direct_eight(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int tile_h, int tile_w, int chunk, int row_parts, int tiles_per_block) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<OUTPUTS>({images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, tile_h, tile_w,
                         chunk, row_parts, tiles_per_block);
}

extern "C" __global__ void __launch_bounds__(GRADIENT_THREADS, 2) conv2d_weight_grad_direct_one(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    acc_t* __restrict__ parts,
    unsigned* __restrict__ arrived,  // null: a block has all tiles
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int tile_h, int tile_w, int chunk, int row_parts, int tiles_per_block) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<1>({images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, tile_h, tile_w, chunk,
                   row_parts, tiles_per_block);
}
