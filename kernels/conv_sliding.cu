// Convolution with a stride of 1 and a kernel of 3 x 3 or 5 x 5, and its weight gradient: the windows slide over rows of
// the image that a thread has in registers. The formulas are in conv.cu; the general way, a matrix product of patches,
// is conv_implicit.cu.
//
// A matrix product brings an element of the image into shared memory once for each element of the kernel, and reads two
// numbers from there for each few multiplications. Here a piece of the image lies in shared memory once, with zeros
// around it. A thread computes 8 outputs at 2 x 4 pixels: for a row of a channel's kernel it reads 8 pixels of the next
// row of the image, and 8 weights for each element of the kernel's row; of these it makes 64 multiplications for each
// element. So 9 of 10 instructions of the loop are multiplications, and shared memory is busy for a third of the time.
//
// In the weight gradient a thread has 8 outputs times a row of a channel's kernel (in 3 x 3 all three rows), and goes
// over the positions, four at a time.
//
// While one chunk of channels (or one tile of positions) is worked on, the next one is copied.
//
// The two rows and two columns of a window of 2 x 2 are in one thread: so a maximum pooling of such windows behind the
// activation costs nothing, and only its result is written, and the numbers of the elements that were chosen.
//
// It costs that images have to be wide enough: where the width is no multiple of four, or the height is odd, threads at
// the edge compute what is not there. An element of Y is the sum over channels, and in each over the kernel, in order.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "convolution.cuh"
#include "ptx.cuh"
#include "quad.cuh"
#include "shares.cuh"

constexpr int OUTPUTS = 8;
constexpr int GRADIENT_THREADS = 128;

// 8 pixels of a row that a thread reads at once for a kernel of 5 elements, 6 for 3.
template <int KERNEL> struct Window {
    acc_t v[KERNEL + 3];

    __device__ __forceinline__ void read(const acc_t* row) {
        const Quad<acc_t> first = *(const Quad<acc_t>*)row;
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] = first.v[e];
#pragma unroll
        for (int e = 4; e < KERNEL + 3; e += 2) {
            const Pair<acc_t> next = *(const Pair<acc_t>*)(row + e);
            v[e] = next.v[0];
            v[e + 1] = next.v[1];
        }
    }
};

// An element on its way to shared memory, zero where it is not `valid`: by itself where it need not be converted.
__device__ __forceinline__ void bring(acc_t* to, const scalar_t* from, bool valid) {
    if constexpr (sizeof(scalar_t) == 4) cp_async_4(to, from, valid);
    else *to = valid ? acc_t(*from) : acc_t(0);
}

// Rows and columns of `planes` images that lie `step` apart in x and `plane` in shared memory, rows there `pitch`: from
// (top, left) of each on, with zeros around it. A thread finds its place once for all planes.
__device__ __forceinline__ void bring_rows(
    const scalar_t* x, index_t step, bool exists, const Axis& down, const Axis& across, int top, int left, int planes,
    int rows, int columns, int pitch, int plane, acc_t* to) {
    for (int e = threadIdx.x; e < rows * columns; e += blockDim.x) {
        const int r = e / columns, c = e - r * columns, row = top + r, column = left + c;
        const bool inside = exists && (unsigned)row < (unsigned)down.size && (unsigned)column < (unsigned)across.size;
        const scalar_t* from = x + (inside ? (index_t)row * across.size + column : 0);
        acc_t* own = to + r * pitch + c;
#pragma unroll 4
        for (int n = 0; n < planes; ++n, own += plane, from += inside ? step : 0) bring(own, from, inside);
    }
}

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
    bool turned, const Tile& tile, int part_channels) {
    extern __shared__ __align__(16) acc_t words[];
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
#pragma unroll 1
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

// The tile of the weight gradient: positions of one image, outputs and channels of a block; threads of a block that
// share the rows. `rows_of_thread` rows of a channel's kernel belong to one thread.
struct WeightTile {
    int rows, quads, pitch, plane, gradient_pitch, gradient_plane, output_threads, channels, row_parts;

    __device__ __forceinline__ int outputs() const { return output_threads * OUTPUTS; }
    __device__ __forceinline__ int image_words() const { return channels * plane; }
    __device__ __forceinline__ int words() const { return image_words() + outputs() * gradient_plane; }
};

// All terms of one quad of positions: of `left` positions, 4 or fewer at the edge, where nothing else may be multiplied:
// an infinite pixel beside them would make it NaN.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void add_position(
    Several<OUTPUTS> (&sum)[ROWS][KERNEL], const Window<KERNEL> (&window)[ROWS], const Quad<acc_t> (&g)[OUTPUTS],
    int p) {
    Several<OUTPUTS> gradient;
#pragma unroll
    for (int o = 0; o < OUTPUTS; ++o) gradient.v[o] = g[o].v[p];
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
    scalar_t* db, bool bias, bool counted, const WeightTile& tile, int tiles_per_block) {
    extern __shared__ __align__(16) acc_t words[];
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
    Several<OUTPUTS> sum[ROWS][KERNEL] = {};
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
        const acc_t* of_outputs = gradient + output_thread * OUTPUTS * tile.gradient_plane;
        for (int row = works ? row_part : own_rows; row < own_rows; row += tile.row_parts) {
#pragma unroll 1
            for (int column = 0; column < own_columns; column += 4) {
                Window<KERNEL> window[ROWS];
                Quad<acc_t> g[OUTPUTS];
#pragma unroll
                for (int i = 0; i < ROWS; ++i) window[i].read(image + (row + i) * tile.pitch + column);
#pragma unroll
                for (int o = 0; o < OUTPUTS; ++o)
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
    for (int o = 0; o < OUTPUTS; ++o) {
        if (row_part < tile.row_parts) {
            acc_t* to = words + (row_part * tile.output_threads + output_thread) * of_row + channel * TAPS;
#pragma unroll
            for (int n = 0; n < OWN; ++n) to[kernel_row * KERNEL + n] = sum[n / KERNEL][n % KERNEL].v[o];
        }
        __syncthreads();
        Walk walk = walk_from(threadIdx.x, blockDim.x, tile.output_threads, of_row);
        for (; walk.layer == 0; walk.next()) {
            const int output = walk.row * OUTPUTS + o;
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
    const int of_output = own_taps + (bias && first_channel == 0 ? 1 : 0);
    const auto place_of = [=](int n) {
        const int row = first_row + n / of_output, column = n % of_output;
        return column < own_taps ? (index_t)row * depth + first_channel * TAPS + column : weights + row;
    };
    const auto put = [=](index_t place, acc_t sum) {
        if (place < weights) dw[place] = sum;
        else db[place - weights] = sum;
    };
    unsigned* counters = arrived + blockIdx.y * counters_of(gridDim.x);
    add_up_shares(parts, step, blockIdx.x, gridDim.x, counters, outputs * of_output, place_of, put);
}

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
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Tile tile = {tile_images, tile_pairs, tile_quads, pitch, plane, output_threads, slices, tile_channels};
    const Destination to = {y, numbers, parts, bias, kind, parameter, vector};
    forward<3>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, tile, part_channels);
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
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Tile tile = {tile_images, tile_pairs, tile_quads, pitch, plane, output_threads, slices, tile_channels};
    const Destination to = {y, numbers, parts, bias, kind, parameter, vector};
    forward<5>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, tile, part_channels);
}

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
    bool with_bias, bool counted, int tile_rows, int tile_quads, int pitch, int plane, int gradient_pitch, int gradient_plane,
    int output_threads, int tile_channels, int row_parts, int tiles_per_block) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const WeightTile tile = {
        tile_rows, tile_quads, pitch, plane, gradient_pitch, gradient_plane, output_threads, tile_channels, row_parts};
    weight_grad<3, sizeof(acc_t) == 4 ? 3 : 1>({images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, with_bias, counted, tile,
                      tiles_per_block);
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
    bool with_bias, bool counted, int tile_rows, int tile_quads, int pitch, int plane, int gradient_pitch, int gradient_plane,
    int output_threads, int tile_channels, int row_parts, int tiles_per_block) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const WeightTile tile = {
        tile_rows, tile_quads, pitch, plane, gradient_pitch, gradient_plane, output_threads, tile_channels, row_parts};
    weight_grad<5, 1>({images, groups, inner, outer, down, across}, x, dz, parts, arrived, dw, db, with_bias, counted, tile,
                      tiles_per_block);
}
