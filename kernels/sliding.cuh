// A block's tile of a convolution by windows that slide over rows of the image in registers; conv_sliding.cu says how.
#pragma once
#include "activation.cuh"
#include "convolution.cuh"
#include "ptx.cuh"
#include "quad.cuh"

constexpr int OUTPUTS = 8;

// The tile of positions and outputs of a block: images, pairs of rows and quads of columns; threads for each 8 outputs;
// and so many threads for each of these, which share the channels.
struct Tile {
    int images, pairs, quads, pitch, plane, output_threads, slices, channels;

    __device__ __forceinline__ int spots() const { return images * pairs * quads; }
    __device__ __forceinline__ int slice() const { return spots() * output_threads; }
    __device__ __forceinline__ int outputs() const { return output_threads * OUTPUTS; }
    // Of the weights of one element of the kernel: neighbouring elements lie in other banks.
    __device__ __forceinline__ int weight_pitch() const { return outputs() + 4; }
    __device__ __forceinline__ int image_words() const { return channels * images * plane; }
    __device__ __forceinline__ int words(int taps) const { return image_words() + channels * taps * weight_pitch(); }
};

// The first of the images, positions and outputs of a block. In shared memory it takes no registers.
struct Place {
    int image, row, column, group, output;

    __device__ __forceinline__ void set(const Convolution& f, const Tile& tile) {
        const int blocks_of_group = (f.outer + tile.outputs() - 1) / tile.outputs();
        const int tiles_down = (f.down.positions + 2 * tile.pairs - 1) / (2 * tile.pairs);
        const int tiles_across = (f.across.positions + 4 * tile.quads - 1) / (4 * tile.quads);
        const int of_outputs = blockIdx.x % (f.groups * blocks_of_group);
        const Pixel of_positions(blockIdx.x / (f.groups * blocks_of_group), tiles_down, tiles_across);
        image = of_positions.plane * tile.images;
        row = of_positions.row * 2 * tile.pairs;
        column = of_positions.column * 4 * tile.quads;
        group = of_outputs / blocks_of_group;
        output = of_outputs % blocks_of_group * tile.outputs();
    }
};

// Where Y goes: complete, or one part of its sums, or pooled.
struct Destination {
    scalar_t* y;
    unsigned char* numbers;  // null: Y is not pooled
    acc_t* part;             // null: Y is complete
    const scalar_t* bias;
    int kind;
    acc_t parameter;
    bool vector;  // whether quads of pixels can be written at once
};

// The sums of the first slice of a block and those of the others, in order, for the threads of the first one.
__device__ __forceinline__ void add_slices(Several<OUTPUTS> (&z)[2][4], const Tile& tile, acc_t* words) {
    const int slice = threadIdx.x / tile.slice(), member = threadIdx.x - slice * tile.slice();
    for (int other = 1; other < tile.slices; ++other) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
#pragma unroll
            for (int n = 0; n < 4 * OUTPUTS; ++n)
                if (slice == other) words[n * tile.slice() + member] = z[row][n / 8].v[n % 8];
            __syncthreads();
#pragma unroll
            for (int n = 0; n < 4 * OUTPUTS; ++n)
                if (slice == 0) z[row][n / 8].v[n % 8] += words[n * tile.slice() + member];
            __syncthreads();  // before the words are overwritten
        }
    }
}

// f(z + b) for 8 outputs of a thread's pixels. In registers the switch over all functions would be there once for each
// value; so the loop goes through shared memory, where a thread has a word for each of half of them.
__device__ __forceinline__ void activate(
    Several<OUTPUTS> (&z)[2][4], const Destination& to, int first_output, int outputs, acc_t* words) {
    if (to.bias != nullptr) {
#pragma unroll
        for (int o = 0; o < OUTPUTS; ++o) {
            const acc_t bias = o < outputs ? acc_t(to.bias[first_output + o]) : acc_t(0);
#pragma unroll
            for (int n = 0; n < 8; ++n) z[n / 4][n % 4].v[o] += bias;
        }
    }
    if (to.kind == ACTIVATION_NONE) return;
    if (to.kind == ACTIVATION_RELU) {
#pragma unroll
        for (int n = 0; n < 8 * OUTPUTS; ++n) {
            acc_t& value = z[n / 32][n / 8 % 4].v[n % 8];
            value = activation(value, ACTIVATION_RELU, to.parameter);
        }
        return;
    }
    acc_t* own = words + threadIdx.x;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
        for (int n = 0; n < 4 * OUTPUTS; ++n) own[n * blockDim.x] = z[row][n / 8].v[n % 8];
#pragma unroll 1
        for (int n = 0; n < 4 * OUTPUTS; ++n) own[n * blockDim.x] = activation(own[n * blockDim.x], to.kind, to.parameter);
#pragma unroll
        for (int n = 0; n < 4 * OUTPUTS; ++n) z[row][n / 8].v[n % 8] = own[n * blockDim.x];
    }
}

// Of two neighbours in a row and those below them the largest, as max_pool.cu has it, and its number.
__device__ __forceinline__ acc_t largest(const acc_t (&window)[4], int& number) {
    acc_t best = scalar_t(window[0]);
    number = 0;
#pragma unroll
    for (int k = 1; k < 4; ++k) {
        const acc_t value = scalar_t(window[k]);
        if (value > best || value != value) {
            best = value;
            number = k;
        }
    }
    return best;
}

// Blocks along y share the channels, `part_channels` each, and conv2d_add_parts adds up what they find: parts (blocks,
// images, groups outer, positions).
template <int KERNEL>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, Destination to, int w_output, int w_channel,
    bool turned, const Tile& tile, int part_channels, acc_t* words) {
    constexpr int TAPS = KERNEL * KERNEL;
    __shared__ Place place;
    if (threadIdx.x == 0) place.set(f, tile);
    __syncthreads();
    const int rows = 2 * tile.pairs + KERNEL - 1, columns = 4 * tile.quads + KERNEL - 1, buffer = tile.words(TAPS);
    const int channel_begin = blockIdx.y * part_channels, channel_end = min(f.inner, channel_begin + part_channels);

    const auto load = [&](int first_channel, acc_t* to) {
        const int channels = min(tile.channels, channel_end - first_channel);
        const index_t size = (index_t)f.down.size * f.across.size;
        for (int n = 0; n < tile.images; ++n) {
            const index_t plane = ((index_t)(place.image + n) * f.groups + place.group) * f.inner + first_channel;
            const bool exists = place.image + n < f.images;
            bring_rows(x + (exists ? plane * size : 0), size, exists, f.down, f.across, place.row - f.down.corner,
                       place.column - f.across.corner, channels, rows, columns, tile.pitch, tile.images * tile.plane,
                       to + n * tile.plane);
        }
        // A warp takes eight neighbours of memory, a sector, of four outputs, which lie in 32 banks.
        const scalar_t* first = w + (index_t)place.group * f.outer * f.inner * TAPS + (index_t)place.output * w_output;
        const int lane = threadIdx.x % 32, left = f.outer - place.output - lane / 8;
        for (int k = threadIdx.x / 32 * 8 + lane % 8; k < channels * TAPS; k += blockDim.x / 4) {
            const int channel = k / TAPS, tap = k - channel * TAPS;
            const scalar_t* from = first + (index_t)(lane / 8) * w_output +
                                   (index_t)(first_channel + channel) * w_channel + (turned ? TAPS - 1 - tap : tap);
            acc_t* own = to + tile.image_words() + k * tile.weight_pitch() + lane / 8;
#pragma unroll 4
            for (int n = 0; n < tile.outputs(); n += 4, own += 4) {
                bring(own, n < left ? from : w, n < left);
                from += 4 * w_output;
            }
        }
        cp_async_commit();
    };

    const int slice = threadIdx.x / tile.slice(), member = threadIdx.x - slice * tile.slice();
    const int output_thread = member / tile.spots();
    const Pixel spot(member - output_thread * tile.spots(), tile.pairs, tile.quads);
    const bool works = slice < tile.slices;
    const int corner = works ? spot.plane * tile.plane + 2 * spot.row * tile.pitch + 4 * spot.column : 0;
    const int own_weights = works ? output_thread * OUTPUTS : 0;
    Several<OUTPUTS> z[2][4] = {};
    load(channel_begin, words);
    int half = 0;
    for (int first_channel = channel_begin; first_channel < channel_end; first_channel += tile.channels, half ^= 1) {
        if (first_channel + tile.channels < channel_end) {
            load(first_channel + tile.channels, words + (half ^ 1) * buffer);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const int channels = min(tile.channels, channel_end - first_channel);
        for (int c = works ? slice : channels; c < channels; c += tile.slices) {
            const acc_t* image = words + half * buffer + corner + c * tile.images * tile.plane;
            const acc_t* weights =
                words + half * buffer + tile.image_words() + own_weights + c * TAPS * tile.weight_pitch();
            Window<KERNEL> window[2];
            window[0].read(image);
#pragma unroll KERNEL == 3 ? 3 : 1
            for (int i = 0; i < KERNEL; ++i) {
                window[1].read(image + (i + 1) * tile.pitch);
#pragma unroll
                for (int j = 0; j < KERNEL; ++j) {
                    const Several<OUTPUTS> weight = *(const Several<OUTPUTS>*)weights;
                    weights += tile.weight_pitch();
#pragma unroll
                    for (int n = 0; n < 8; ++n) z[n / 4][n % 4].add_multiple(window[n / 4].v[n % 4 + j], weight);
                }
                window[0] = window[1];
            }
        }
        __syncthreads();  // before this half is overwritten
    }

    const int first_output = place.group * f.outer + place.output + own_weights;
    const int outputs = min(OUTPUTS, f.outer - place.output - own_weights);
    const int image = place.image + spot.plane, row = place.row + 2 * spot.row, column = place.column + 4 * spot.column;
    add_slices(z, tile, words);
    if (to.part == nullptr) activate(z, to, first_output, outputs, words);
    if (slice > 0 || image >= f.images || row >= f.down.positions || column >= f.across.positions) return;
    const int wide = f.across.positions;
    const index_t first_plane = (index_t)image * f.groups * f.outer + first_output;
    if (to.numbers != nullptr) {
        const index_t windows = (index_t)f.positions() / 4;
        index_t at = first_plane * windows + row / 2 * (wide / 2) + column / 2;
#pragma unroll
        for (int o = 0; o < OUTPUTS; ++o, at += windows) {
            if (o >= outputs) break;
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                if (column + 2 * n >= wide) break;
                const acc_t window[4] = {z[0][2 * n].v[o], z[0][2 * n + 1].v[o], z[1][2 * n].v[o], z[1][2 * n + 1].v[o]};
                int number;
                to.y[at + n] = largest(window, number);
                to.numbers[at + n] = number;
            }
        }
        return;
    }
    const index_t count = (index_t)f.images * f.groups * f.outer * f.positions();
    if (to.part != nullptr) to.part += blockIdx.y * count;
    index_t at = first_plane * f.positions() + (index_t)row * wide + column;
#pragma unroll
    for (int o = 0; o < OUTPUTS; ++o, at += f.positions()) {
        if (o >= outputs) break;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            if (row + n >= f.down.positions) break;
            const acc_t values[4] = {z[n][0].v[o], z[n][1].v[o], z[n][2].v[o], z[n][3].v[o]};
            if (to.part != nullptr) store_quad(to.part + at + n * wide, values, wide - column, to.vector);
            else store_quad(to.y + at + n * wide, values, wide - column, to.vector);
        }
    }
}
