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
#include "convolution.cuh"
#include "quad.cuh"
#include "shares.cuh"

constexpr int NONE = 1 << 30;                          // beyond all rows
constexpr int COPIES = sizeof(scalar_t) == 4 ? 4 : 1;  // of a thread, one behind the other: halves go through registers
constexpr int OCTET = 8;                               // outputs of a thread
constexpr int OCTET_WORDS = 4 * (OCTET + 1);  // their gradients at four positions; the next ones begin in other banks

// How threads share the copies of rows of some planes: `unit` neighbours at once, which begin at a multiple of `unit` in
// shared memory too; first they share a row, then `row_threads` of them the rows, then `sharers` the planes.
struct Sharing {
    int unit, row_threads, sharers;
};

// The tile of the weight gradient: positions of one image, outputs and channels of a block; threads of a block that
// share the rows. `rows_of_thread` rows of a channel's kernel belong to one thread.
//
// In shared memory a row of the image begins `MARGIN` words before its first pixel, and the gradients of all outputs at
// four positions lie together: `quad` words from these to the next four, `gradient_pitch` from row to row.
struct WeightTile {
    int rows, quads, pitch, plane, quad, gradient_pitch, output_threads, channels, row_parts;
    Sharing image, gradient;

    __device__ __forceinline__ int outputs() const { return output_threads * OCTET; }
    __device__ __forceinline__ int image_words() const { return channels * plane; }
    __device__ __forceinline__ int words() const { return image_words() + rows * gradient_pitch; }
};

// The pixels of a row that are under a row of the kernel at four positions: those positions, and a margin on both sides.
template <int KERNEL> struct Pixels {
    static constexpr int EDGE = KERNEL / 2, MARGIN = 4 - EDGE;
    acc_t v[KERNEL + 3];

    // The four positions lie behind the four words where `row` is.
    __device__ __forceinline__ void read(const acc_t* row) {
        const Several<EDGE> before = *(const Several<EDGE>*)(row + MARGIN), behind = *(const Several<EDGE>*)(row + 8);
        const Quad<acc_t> own = *(const Quad<acc_t>*)(row + 4);
#pragma unroll
        for (int e = 0; e < EDGE; ++e) {
            v[e] = before.v[e];
            v[e + EDGE + 4] = behind.v[e];
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e + EDGE] = own.v[e];
    }
};

// All terms of one of four positions.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void add_position(
    Several<OCTET> (&sum)[ROWS][KERNEL], const Pixels<KERNEL> (&pixels)[ROWS], const Quad<acc_t> (&g)[OCTET], int p) {
    Several<OCTET> gradient;
#pragma unroll
    for (int o = 0; o < OCTET; ++o) gradient.v[o] = g[o].v[p];
#pragma unroll
    for (int n = 0; n < ROWS * KERNEL; ++n)
        sum[n / KERNEL][n % KERNEL].add_multiple(pixels[n / KERNEL].v[p + n % KERNEL], gradient);
}

// All terms of `left` positions, 4 or fewer: at the edge nothing else may be multiplied: an infinite pixel beside them
// would make it NaN.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void add_positions(
    Several<OCTET> (&sum)[ROWS][KERNEL], const acc_t* image, int pitch, const acc_t* gradient, int left) {
    Pixels<KERNEL> pixels[ROWS];
    Quad<acc_t> g[OCTET];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) pixels[i].read(image + i * pitch);
#pragma unroll
    for (int o = 0; o < OCTET; ++o) g[o] = *(const Quad<acc_t>*)(gradient + 4 * o);
#pragma unroll
    for (int p = 0; p < 4; ++p)
        if (p < left) add_position(sum, pixels, g, p);
}

// UNIT neighbours on their way to shared memory at once, zeros where they are not `valid`.
template <int UNIT> __device__ __forceinline__ void bring_unit(acc_t* to, const scalar_t* from, bool valid) {
    if constexpr (UNIT == 1) bring(to, from, valid);
    else if constexpr (UNIT == 4) bring_quad(to, from, valid);
    else bring_pair(to, from, valid);
}

// What a thread copies of each tile: from which row and column on, to which word of the first plane, and from which plane.
struct Share {
    const scalar_t* from;
    Two place, word_and_plane;

    // Word (0, 0) of the first plane is for element (top, left) of `image`, whose rows are `wide`, and planes `step` apart.
    __device__ __forceinline__ Share(
        const Sharing& all, const scalar_t* image, index_t step, int wide, int top, int left, int first, int columns,
        int pitch, int quad)
        : place(0, 0), word_and_plane(0, 0) {
        const int begin = first / all.unit * all.unit, units = (first + columns - begin + all.unit - 1) / all.unit;
        const int rest = threadIdx.x / units, at = begin + (threadIdx.x - rest * units) * all.unit;
        const int plane = rest / all.row_threads, row = rest - plane * all.row_threads;
        place = Two(top + row, left + at);
        word_and_plane = Two(row * pitch + at / 4 * quad + at % 4, plane < all.sharers ? plane : 0x7fff);
        from = image + ((index_t)(top + row) * wide + left + at + plane * step);
    }

    // Those of a tile from (top, left) on, up to row `end`: zeros around (down, across), and from plane `exist` on.
    template <class WordOfPlane>
    __device__ __forceinline__ void bring(
        const Sharing& all, index_t step, const Axis& down, const Axis& across, int top, int left, int end, int planes,
        int exist, acc_t* to, int pitch, const WordOfPlane& word_of_plane) const {
        const index_t next = all.sharers * step;
        const bool in_row = (unsigned)(place.low() + left) < (unsigned)across.size;
        const scalar_t* own_row = from + ((index_t)top * across.size + left);
        acc_t* there = to + word_and_plane.high();
        for (int r = place.high() + top; r < end; r += all.row_threads) {
            const int exist_here = in_row && (unsigned)r < (unsigned)down.size ? exist : 0;
            const scalar_t* own = own_row;
            const auto word = [&](int n) { return there + word_of_plane(n); };
            int n = word_and_plane.low();
            if (all.unit == 4)
#pragma unroll COPIES
                for (; n < planes; n += all.sharers, own += next) bring_unit<4>(word(n), own, n < exist_here);
            else if (all.unit == 2)
#pragma unroll COPIES
                for (; n < planes; n += all.sharers, own += next) bring_unit<2>(word(n), own, n < exist_here);
            else
#pragma unroll COPIES
                for (; n < planes; n += all.sharers, own += next) bring_unit<1>(word(n), own, n < exist_here);
            own_row += all.row_threads * across.size;
            there += all.row_threads * pitch;
        }
    }
};

// Blocks along x share the tiles, each as many as the others or one more: parts (blocks, groups outer inner taps + groups
// outer). Blocks along y have the outputs and the channels. Where it is `counted`, the last of them to come add the parts
// up, else split_k.cu does.
template <int KERNEL, int ROWS>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dz, acc_t* parts, unsigned* arrived, scalar_t* dw,
    scalar_t* db, bool bias, bool counted, const WeightTile& tile, acc_t* words) {
    constexpr int TAPS = KERNEL * KERNEL, OWN = ROWS * KERNEL, LANES = KERNEL / ROWS, MARGIN = Pixels<KERNEL>::MARGIN;
    const int depth = f.inner * TAPS, chunks = (f.inner + tile.channels - 1) / tile.channels;
    const int blocks_of_group = (f.outer + tile.outputs() - 1) / tile.outputs();
    const int first_channel = blockIdx.y % chunks * tile.channels, channels = min(tile.channels, f.inner - first_channel);
    const int of_outputs = blockIdx.y / chunks, group = of_outputs / blocks_of_group;
    const int block_output = of_outputs % blocks_of_group * tile.outputs();
    const int outputs = min(tile.outputs(), f.outer - block_output), first_row = group * f.outer + block_output;
    const int tiles_down = (f.down.positions + tile.rows - 1) / tile.rows;
    const int tiles_across = (f.across.positions + 4 * tile.quads - 1) / (4 * tile.quads);
    const index_t tiles = (index_t)f.images * tiles_down * tiles_across;
    const index_t first_tile = quotient(tiles * blockIdx.x, gridDim.x);
    const int own_tiles = quotient(tiles * (blockIdx.x + 1), gridDim.x) - first_tile;
    const int buffer = tile.words();

    // dz has no zeros around it, but ends there: the positions are its rows and columns.
    const Axis down = {f.down.positions}, across = {f.across.positions};
    const index_t size = (index_t)f.down.size * f.across.size;
    const Pixel place(first_tile, tiles_down, tiles_across);
    int top = place.row * tile.rows, left = place.column * 4 * tile.quads;
    Share of_pixels(tile.image, x + ((place.plane * f.groups + group) * f.inner + first_channel) * size, size,
                    f.across.size, -f.down.corner, -f.across.corner - MARGIN, MARGIN, 4 * tile.quads + KERNEL - 1,
                    tile.pitch, 4);
    Share of_gradients(tile.gradient, dz + (place.plane * f.groups * f.outer + first_row) * f.positions(), f.positions(),
                       f.across.positions, 0, 0, 0, 4 * tile.quads, tile.gradient_pitch, tile.quad);
    const auto load = [&](acc_t* to) {
        of_pixels.bring(tile.image, size, f.down, f.across, top, left, top - f.down.corner + tile.rows + KERNEL - 1,
                        channels, channels, to, tile.pitch, [&](int n) { return n * tile.plane; });
        of_gradients.bring(tile.gradient, f.positions(), down, across, top, left, top + tile.rows, tile.outputs(), outputs,
                           to + tile.image_words(), tile.gradient_pitch,
                           [](unsigned n) { return 4 * (n + n / OCTET); });
    };

    // Threads: parts of the rows, outputs, channels, rows of the kernel; the last ones of these are neighbours. Who has no
    // row takes none: NONE is beyond all of them.
    const int of_row = tile.channels * TAPS, own_taps = channels * TAPS;  // of an output
    const int lanes = tile.channels * LANES, lane = threadIdx.x % lanes, rest = threadIdx.x / lanes;
    const int output_thread = rest % tile.output_threads, channel = lane % tile.channels;
    const int kernel_row = lane / tile.channels * ROWS;
    const int own_image = channel * tile.plane + kernel_row * tile.pitch, own_gradient = output_thread * OCTET_WORDS;
    const bool works = channel < channels && rest < tile.output_threads * tile.row_parts;
    const int row_part = works ? rest / tile.output_threads : NONE;
    const int own_sums = rest * OCTET * of_row + channel * TAPS + kernel_row * KERNEL;
    // Those who add up the gradients of an output, for its bias.
    const bool adds = bias && first_channel == 0;
    const int members = blockDim.x / tile.outputs(), bias_output = threadIdx.x % tile.outputs();
    const int of_bias = 4 * (bias_output + bias_output / OCTET);
    const int member = adds && threadIdx.x < members * tile.outputs() ? threadIdx.x / tile.outputs() : NONE;
    Several<OCTET> sum[ROWS][KERNEL] = {};
    acc_t sum_of_gradients = 0;
    int rows = 0, columns = 0;  // of the tile before
    for (int n = 0; n <= own_tiles; ++n) {
        if (n < own_tiles) load(words + n % 2 * buffer);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        const acc_t* piece = words + (n + 1) % 2 * buffer;
        const acc_t* gradients = piece + tile.image_words();
        for (int row = row_part; row < rows; row += tile.row_parts) {
            const acc_t* of_image = piece + own_image + row * tile.pitch;
            const acc_t* of_outputs = gradients + own_gradient + row * tile.gradient_pitch;
#pragma unroll 1
            for (int quad = 0; quad < columns / 4; ++quad, of_image += 4, of_outputs += tile.quad)
                add_positions(sum, of_image, tile.pitch, of_outputs, 4);
            if (columns % 4) add_positions(sum, of_image, tile.pitch, of_outputs, columns % 4);
        }
        for (int row = member; row < rows; row += members)  // beyond the positions are zeros
            for (int quad = 0; 4 * quad < columns; ++quad) {
                const acc_t* four = gradients + of_bias + row * tile.gradient_pitch + quad * tile.quad;
                const Quad<acc_t> g = *(const Quad<acc_t>*)four;
                sum_of_gradients += g.v[0] + g.v[1] + (g.v[2] + g.v[3]);
            }
        __syncthreads();  // before this half is overwritten
        rows = min(tile.rows, f.down.positions - top);
        columns = min(4 * tile.quads, f.across.positions - left);
        left += 4 * tile.quads;
        if (left >= f.across.positions) {
            left = 0;
            top += tile.rows;
        }
        if (top >= f.down.positions) {
            top = 0;
            of_pixels.from += size * f.groups * f.inner;
            of_gradients.from += (index_t)f.positions() * f.groups * f.outer;
        }
    }

    const index_t weights = (index_t)f.groups * f.outer * depth, step = weights + (bias ? f.groups * f.outer : 0);
    acc_t* part = parts + blockIdx.x * step;
    if (row_part < tile.row_parts) {
        acc_t* to = words + own_sums;
#pragma unroll
        for (int o = 0; o < OCTET; ++o, to += of_row)
#pragma unroll
            for (int n = 0; n < OWN; ++n) to[n] = sum[n / KERNEL][n % KERNEL].v[o];
    }
    __syncthreads();
    for (int output = threadIdx.x / 32; output < outputs; output += blockDim.x / 32) {
        acc_t* to = part + (index_t)(first_row + output) * depth + first_channel * TAPS;
        for (int column = threadIdx.x % 32; column < own_taps; column += 32) {
            const acc_t* own = words + output * of_row + column;
            acc_t total = 0;
#pragma unroll 2
            for (int p = 0; p < tile.row_parts; ++p, own += tile.outputs() * of_row) total += *own;
            to[column] = total;
        }
    }
    if (adds) {
        __syncthreads();
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
                   own_taps, adds);
}

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
