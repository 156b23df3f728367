// A block's tile of the weight gradient of a convolution by rows of the image in registers; conv_sliding_weight.cu says
// how.
#pragma once
#include "convolution.cuh"
#include "quad.cuh"
#include "shares.cuh"

constexpr int OCTET = 8;  // outputs of a thread

// The tile of the weight gradient: positions of one image, outputs and channels of a block; threads of a block that
// share the rows. `rows_of_thread` rows of a channel's kernel belong to one thread.
struct WeightTile {
    int rows, quads, pitch, plane, gradient_pitch, gradient_plane, output_threads, channels, row_parts;

    __device__ __forceinline__ int outputs() const { return output_threads * OCTET; }
    __device__ __forceinline__ int image_words() const { return channels * plane; }
    __device__ __forceinline__ int words() const { return image_words() + outputs() * gradient_plane; }
};

// All terms of one quad of positions: of `left` positions, 4 or fewer at the edge, where nothing else may be multiplied:
// an infinite pixel beside them would make it NaN.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void add_position(
    Several<OCTET> (&sum)[ROWS][KERNEL], const Window<KERNEL> (&window)[ROWS], const Quad<acc_t> (&g)[OCTET],
    int p) {
    Several<OCTET> gradient;
#pragma unroll
    for (int o = 0; o < OCTET; ++o) gradient.v[o] = g[o].v[p];
#pragma unroll
    for (int n = 0; n < ROWS * KERNEL; ++n)
        sum[n / KERNEL][n % KERNEL].add_multiple(window[n / KERNEL].v[p + n % KERNEL], gradient);
}

// Blocks along x share the tiles, `tiles_per_block` each: parts (blocks, groups outer inner taps + groups outer). Blocks
// along y have the outputs and the channels. Where it is `counted`, the last of them to come add the parts up, else
// split_k.cu does.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dz, acc_t* parts, unsigned* arrived, scalar_t* dw,
    scalar_t* db, bool bias, bool counted, const WeightTile& tile, int tiles_per_block,
    acc_t* words) {
    constexpr int TAPS = KERNEL * KERNEL, OWN = ROWS * KERNEL, LANES = KERNEL / ROWS;
    const int depth = f.inner * TAPS, chunks = (f.inner + tile.channels - 1) / tile.channels;
    const int blocks_of_group = (f.outer + tile.outputs() - 1) / tile.outputs();
    const int first_channel = blockIdx.y % chunks * tile.channels, channels = min(tile.channels, f.inner - first_channel);
    const int of_outputs = blockIdx.y / chunks, group = of_outputs / blocks_of_group;
    const int block_output = of_outputs % blocks_of_group * tile.outputs();
    const int outputs = min(tile.outputs(), f.outer - block_output), first_row = group * f.outer + block_output;
    const int tiles_down = (f.down.positions + tile.rows - 1) / tile.rows;
    const int tiles_across = (f.across.positions + 4 * tile.quads - 1) / (4 * tile.quads);
    const index_t tiles = (index_t)f.images * tiles_down * tiles_across, first_tile = (index_t)blockIdx.x * tiles_per_block;
    const int own_tiles = min((index_t)tiles_per_block, tiles - first_tile);
    const int rows = tile.rows + KERNEL - 1, columns = 4 * tile.quads + KERNEL - 1, buffer = tile.words();

    const auto load = [&](index_t number, acc_t* to) {
        const Pixel place(number, tiles_down, tiles_across);
        const int top = place.row * tile.rows, left = place.column * 4 * tile.quads;
        const index_t plane = (place.plane * f.groups + group) * f.inner + first_channel;
        const index_t size = (index_t)f.down.size * f.across.size;
        bring_rows(x + plane * size, size, true, f.down, f.across, top - f.down.corner, left - f.across.corner,
                   channels, rows, columns, tile.pitch, tile.plane, to);
        // dz has no zeros around it, but ends there: the positions are its rows and columns.
        const Axis down = {f.down.positions}, across = {f.across.positions};
        const scalar_t* of_image = dz + (place.plane * f.groups * f.outer + first_row) * f.positions();
        acc_t* gradient = to + tile.image_words();
        bring_rows(of_image, f.positions(), true, down, across, top, left, outputs, tile.rows, 4 * tile.quads,
                   tile.gradient_pitch, tile.gradient_plane, gradient);
        bring_rows(dz, 0, false, down, across, top, left, tile.outputs() - outputs, tile.rows, 4 * tile.quads,
                   tile.gradient_pitch, tile.gradient_plane, gradient + outputs * tile.gradient_plane);
        cp_async_commit();
    };

    // Threads: parts of the rows, outputs, channels, rows of the kernel; the last ones of these are neighbours.
    const int lanes = tile.channels * LANES, lane = threadIdx.x % lanes, rest = threadIdx.x / lanes;
    const int output_thread = rest % tile.output_threads, row_part = rest / tile.output_threads;
    const int channel = lane % tile.channels, kernel_row = lane / tile.channels * ROWS;
    const bool works = row_part < tile.row_parts && channel < channels;
    const int members = blockDim.x / tile.outputs(), bias_output = threadIdx.x % tile.outputs();
    const int member = threadIdx.x / tile.outputs();
    Several<OCTET> sum[ROWS][KERNEL] = {};
    acc_t sum_of_gradients = 0;
    load(first_tile, words);
    for (int n = 0; n < own_tiles; ++n) {
        if (n + 1 < own_tiles) {
            load(first_tile + n + 1, words + (n + 1) % 2 * buffer);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const Pixel place(first_tile + n, tiles_down, tiles_across);
        const int own_rows = min(tile.rows, f.down.positions - place.row * tile.rows);
        const int own_columns = min(4 * tile.quads, f.across.positions - place.column * 4 * tile.quads);
        const acc_t* image = words + n % 2 * buffer + channel * tile.plane + kernel_row * tile.pitch;
        const acc_t* gradient = words + n % 2 * buffer + tile.image_words();
        const acc_t* of_outputs = gradient + output_thread * OCTET * tile.gradient_plane;
        for (int row = works ? row_part : own_rows; row < own_rows; row += tile.row_parts) {
#pragma unroll 1
            for (int column = 0; column < own_columns; column += 4) {
                Window<KERNEL> window[ROWS];
                Quad<acc_t> g[OCTET];
#pragma unroll
                for (int i = 0; i < ROWS; ++i) window[i].read(image + (row + i) * tile.pitch + column);
#pragma unroll
                for (int o = 0; o < OCTET; ++o)
                    g[o] = *(const Quad<acc_t>*)(of_outputs + o * tile.gradient_plane + row * tile.gradient_pitch + column);
                const int left = own_columns - column;
                add_position(sum, window, g, 0);
                if (left > 1) add_position(sum, window, g, 1);
                if (left > 2) add_position(sum, window, g, 2);
                if (left > 3) add_position(sum, window, g, 3);
            }
        }
        if (bias && first_channel == 0 && member < members && bias_output < outputs)  // beyond the positions are zeros
            for (int row = member; row < own_rows; row += members)
                for (int column = 0; column < own_columns; column += 4) {
                    const acc_t* four = gradient + bias_output * tile.gradient_plane + row * tile.gradient_pitch + column;
                    const Quad<acc_t> g = *(const Quad<acc_t>*)four;
                    sum_of_gradients += g.v[0] + g.v[1] + (g.v[2] + g.v[3]);
                }
        __syncthreads();  // before this half is overwritten
    }

    const index_t weights = (index_t)f.groups * f.outer * depth, step = weights + (bias ? f.groups * f.outer : 0);
    acc_t* part = parts + blockIdx.x * step;
    const int of_row = tile.channels * TAPS, own_taps = channels * TAPS;  // of an output
#pragma unroll
    for (int o = 0; o < OCTET; ++o) {
        if (row_part < tile.row_parts) {
            acc_t* to = words + (row_part * tile.output_threads + output_thread) * of_row + channel * TAPS;
#pragma unroll
            for (int n = 0; n < OWN; ++n) to[kernel_row * KERNEL + n] = sum[n / KERNEL][n % KERNEL].v[o];
        }
        __syncthreads();
        Walk walk = walk_from(threadIdx.x, blockDim.x, tile.output_threads, of_row);
        for (; walk.layer == 0; walk.next()) {
            const int output = walk.row * OCTET + o;
            if (walk.column >= own_taps || output >= outputs) continue;
            acc_t total = 0;
            for (int p = 0; p < tile.row_parts; ++p)
                total += words[(p * tile.output_threads + walk.row) * of_row + walk.column];
            part[(index_t)(first_row + output) * depth + first_channel * TAPS + walk.column] = total;
        }
        __syncthreads();
    }
    if (bias && first_channel == 0) {
        words[threadIdx.x] = sum_of_gradients;
        __syncthreads();
        if (threadIdx.x < outputs) {
            acc_t total = 0;
            for (int m = 0; m < members; ++m) total += words[m * tile.outputs() + threadIdx.x];
            part[weights + first_row + threadIdx.x] = total;
        }
    }
    if (!counted) return;
    add_up_weights(parts, step, arrived, dw, db, f.groups * f.outer, depth, first_row, outputs, first_channel * TAPS,
                   own_taps, bias && first_channel == 0);
}
