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
// Where the norm of a batch is behind it, the mean and the variance of each channel of Y are found on the way too: a
// thread has 8 numbers of a channel, a block a tile of them, and the last blocks to come join the tiles (moments.cuh).
//
// It costs that images have to be wide enough: where the width is no multiple of four, or the height is odd, threads at
// the edge compute what is not there. An element of Y is the sum over channels, and in each over the kernel, in order.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "convolution.cuh"
#include "largest.cuh"
#include "moments.cuh"
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

// Leaves the moments of the outputs of a block, as they are stored, where they are joined. Of a thread's pixels so many
// rows and columns exist. Each thread finds those of its 8 pixels of each output, and then 8 threads those of an output.
__device__ __forceinline__ void leave_moments(
    const Several<OUTPUTS> (&z)[2][4], const Tile& tile, const Convolution& f, const Place& place,
    const Statistics& statistics, int rows, int columns, acc_t* words) {
    const int members = tile.slice(), spots = tile.spots();
    if (threadIdx.x < members) {
        acc_t* own = words + threadIdx.x;
        const acc_t count = min(2, rows) * min(4, max(0, columns)), share = count > 0 ? 1 / count : acc_t(0);
        own[2 * OUTPUTS * members] = count;
#pragma unroll
        for (int o = 0; o < OUTPUTS; ++o) {
            const acc_t first = scalar_t(z[0][0].v[o]);  // less it the numbers are small
            acc_t sum = 0, squares = 0;
#pragma unroll
            for (int n = 1; n < 8; ++n)
                if (n / 4 < rows && n % 4 < columns) sum += acc_t(scalar_t(z[n / 4][n % 4].v[o])) - first;
            const acc_t mean = fma(sum, share, first);
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                const acc_t off = acc_t(scalar_t(z[n / 4][n % 4].v[o])) - mean;
                if (n / 4 < rows && n % 4 < columns) squares = fma(off, off, squares);
            }
            own[2 * o * members] = mean;
            own[(2 * o + 1) * members] = squares;
        }
    }
    __syncthreads();
    const int lane = threadIdx.x % 32, eighth = lane % 8;
    const auto of_eight = [=](acc_t value) {
        for (int distance = 4; distance > 0; distance /= 2) value += from_lane(value, lane ^ distance);
        return value;
    };
    const int tiles_of_outputs = f.groups * ((f.outer + tile.outputs() - 1) / tile.outputs());
    for (int n = threadIdx.x / 8; n < tile.outputs(); n += blockDim.x / 8) {
        const acc_t* counts = words + 2 * OUTPUTS * members + n / OUTPUTS * spots;
        const acc_t* means = words + n % OUTPUTS * 2 * members + n / OUTPUTS * spots;
        const acc_t* squares = means + members;
        acc_t count = 0, step = 0, sum = 0;
        for (int s = eighth; s < spots; s += 8) {
            count += counts[s];
            step = fma(counts[s], means[s] - means[0], step);
        }
        count = of_eight(count);
        const acc_t mean = means[0] + of_eight(step) / count;
        for (int s = eighth; s < spots; s += 8) {
            const acc_t off = means[s] - mean;
            sum += fma(counts[s] * off, off, squares[s]);
        }
        sum = of_eight(sum);
        if (eighth > 0 || place.output + n >= f.outer) continue;
        statistics.keep({count, mean, sum}, blockIdx.x / tiles_of_outputs, gridDim.x / tiles_of_outputs,
                        place.group * f.outer + place.output + n);
    }
}

// What of a thread's pixels and outputs exists to where it belongs.
__device__ __forceinline__ void store(
    const Several<OUTPUTS> (&z)[2][4], const Convolution& f, Destination to, int image, int first_output, int outputs,
    int row, int column) {
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

// Blocks along y share the channels, `part_channels` each, and conv2d_add_parts adds up what they find: parts (blocks,
// images, groups outer, positions).
template <int KERNEL>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, const Destination& to, const Statistics& statistics,
    int w_output, int w_channel, bool turned, const Tile& tile, int part_channels) {
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
    const bool exists = slice == 0 && image < f.images && row < f.down.positions && column < f.across.positions;
    if (statistics.parts != nullptr) {
        const int rows = exists ? f.down.positions - row : 0, columns = f.across.positions - column;
        leave_moments(z, tile, f, place, statistics, rows, columns, words);
    }
    if (exists) store(z, f, to, image, first_output, outputs, row, column);
    if (statistics.parts != nullptr) {
        const int blocks_of_outputs = f.groups * ((f.outer + tile.outputs() - 1) / tile.outputs());
        const int shares = gridDim.x / blocks_of_outputs;
        unsigned* counters = statistics.arrived + blockIdx.x % blocks_of_outputs * counters_of(shares);
        statistics.join(blockIdx.x / blocks_of_outputs, shares, counters, place.group * f.outer + place.output,
                        min(tile.outputs(), f.outer - place.output));
    }
}

extern "C" __global__ void __launch_bounds__(256, sizeof(scalar_t) == 4 ? 2 : 1) conv2d_sliding_three(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ numbers,  // null: Y is not pooled
    acc_t* __restrict__ parts,            // null: no parts
    acc_t* __restrict__ moments,          // null: no statistics
    unsigned* __restrict__ arrived,       // null: no statistics, or one block has a channel
    acc_t* __restrict__ mean, acc_t* __restrict__ var,  // null: no statistics
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share,
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
    const Statistics statistics = {
        moments, arrived, mean, var,
        {run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share}, groups * outer};
    forward<3>({images, groups, inner, outer, down, across}, x, w, to, statistics, w_output, w_channel, turned, tile,
               part_channels);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv2d_sliding_five(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    unsigned char* __restrict__ numbers,  // null: Y is not pooled
    acc_t* __restrict__ parts,            // null: no parts
    acc_t* __restrict__ moments,          // null: no statistics
    unsigned* __restrict__ arrived,       // null: no statistics, or one block has a channel
    acc_t* __restrict__ mean, acc_t* __restrict__ var,  // null: no statistics
    const acc_t* run_mean, const acc_t* run_var,  // null: there are no running statistics
    const long long* batches,                    // null: they are not counted
    acc_t* new_mean, acc_t* new_var,             // null: there are no running statistics
    long long* new_batches,                      // null: they are not counted
    acc_t keep, acc_t mean_share, acc_t var_share,
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
    const Statistics statistics = {
        moments, arrived, mean, var,
        {run_mean, run_var, batches, new_mean, new_var, new_batches, keep, mean_share, var_share}, groups * outer};
    forward<5>({images, groups, inner, outer, down, across}, x, w, to, statistics, w_output, w_channel, turned, tile,
               part_channels);
}
