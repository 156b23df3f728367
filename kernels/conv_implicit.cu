// Convolution and its weight gradient as matrix products whose columns are never in memory, the last rung: implicit
// GEMM (Chetlur et al. 2014, "cuDNN: efficient primitives for deep learning", section 3). The formulas are in conv.cu.
//
//   Y = f(W P + b)      W (outer, depth)  P (depth, images positions)  Y (outer, images positions)      in each group
//   dW = dZ P^T         dZ (outer, images positions)                   db = sum of dZ over the positions
//
// P is described in spots.cuh; a block computes a tile of Y or dW as in gemm.cuh.
//
// Against the second rung it saves to write and read the columns, kernel_h kernel_w times the image. It costs that
// their elements can't be read four at a time: each has an address of its own, and comes by a copy of its own.
//
// The sum of an element goes along k in order: over (c, i, j) for Y, over the pixels for dW.
// `turned` is for the input gradient with a stride of 1: the convolution of dz with the kernels turned around.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, blocks
// along y share the sums, `part_depth` terms each, and another launch adds up what they find: conv2d_add_parts for Y,
// split_k.cu for dW.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"
#include "patches.cuh"

typedef Tile<128, 128, 8, 8, Large::DEPTH, 1, UNROLLED> Square;  // 256 threads
typedef Tile<64, 128, 8, 8, Large::DEPTH, 1, UNROLLED> Low;      // 128 threads
typedef Tile<32, 128, 4, 8, Large::DEPTH, 1, UNROLLED> Flat;     // 128 threads, for few outputs
typedef Tile<64, 64, 8, 8, Large::DEPTH, 1, UNROLLED> Half;      // 64 threads, for the weight gradient

// Where the tiles of Y go.
struct Destination {
    scalar_t* y;
    acc_t* part;  // null: Y is complete. Else this is one part of its sum, and goes here, without bias and activation
    const scalar_t* bias;
    int kind;
    acc_t parameter;
    bool vector;  // whether quads of pixels can be written at once
};

// f(c), where f is neither the identity nor a ReLU. Some values at a time go through shared memory, where a thread has a
// word for each of them: so the loop over them need not be unrolled, which would inline the switch over all functions
// for every value.
template <class T>
__device__ __forceinline__ void activate(
    Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], int kind, acc_t parameter, acc_t* words) {
    constexpr int ROWS = 16 / T::ACROSS;
    static_assert(16 * T::THREADS <= T::WORDS, "a word for each value");
    acc_t* own = words + threadIdx.x;
#pragma unroll
    for (int i = 0; i < T::DOWN; i += ROWS) {
#pragma unroll
        for (int n = 0; n < 16; ++n) own[n * T::THREADS] = c[i + n / T::ACROSS][n % T::ACROSS / 4].v[n % 4];
#pragma unroll 1
        for (int n = 0; n < 16; ++n) own[n * T::THREADS] = activation(own[n * T::THREADS], kind, parameter);
#pragma unroll
        for (int n = 0; n < 16; ++n) c[i + n / T::ACROSS][n % T::ACROSS / 4].v[n % 4] = own[n * T::THREADS];
    }
}

// c to images of Y: its rows are outputs of the group from `first_output` on, its columns are pixels, of which four may
// be of several images.
template <class T, class V>
__device__ __forceinline__ void write_images(
    const Convolution& f, const Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], V* y, bool vector, int group, int first_row,
    index_t first_pixel) {
    const int positions = f.positions();
    const index_t of_image = (index_t)f.groups * f.outer * positions;
#pragma unroll
    for (int q = 0; q < T::ACROSS / 4; ++q) {
        const index_t pixel = first_pixel + Place<T>::column_of(4 * q);
        const index_t image = quotient(pixel, positions);
        const int left = min(f.pixels() - pixel, (index_t)4);
        int position = pixel - image * positions;
        V* at[4];
        at[0] = y + (image * f.groups + group) * f.outer * positions + position;
#pragma unroll
        for (int e = 1; e < 4; ++e) {
            const bool another = ++position == positions;
            at[e] = at[e - 1] + (another ? of_image - positions + 1 : 1);
            if (another) position = 0;
        }
#pragma unroll
        for (int i = 0; i < T::DOWN; ++i) {
            const int row = first_row + Place<T>::row_of(i);
            const index_t plane = (index_t)row * positions;
            if (row >= f.outer) continue;
            if (vector) {
                store_quad(at[0] + plane, c[i][q].v, left, true);
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (e < left) at[e][plane] = c[i][q].v[e];
        }
    }
}

template <class T>
__device__ __forceinline__ void write_pixels(
    const Convolution& f, Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Destination& to, int group, int first_row,
    index_t first_pixel, acc_t* words) {
    if (to.part != nullptr) {
        write_images<T>(f, c, to.part, to.vector, group, first_row, first_pixel);
        return;
    }
    Result rows = {nullptr, nullptr, 0, f.outer, true};
    rows.bias = to.bias == nullptr ? nullptr : to.bias + group * f.outer;
    rows.kind = to.kind;
    add_bias<T>(c, rows, first_row, 0);
    if (to.kind != ACTIVATION_NONE && to.kind != ACTIVATION_RELU) activate<T>(c, to.kind, to.parameter, words);
    write_images<T>(f, c, to.y, to.vector, group, first_row, first_pixel);
}

// The tile that belongs to a block: of Y, those of one group side by side for the same pixels; of dW. It is found again
// after the product: what is kept meanwhile takes registers.
template <class T> struct TileOfY {
    int group, first_row;
    index_t first_pixel;

    __device__ __forceinline__ TileOfY(const Convolution& f) {
        const int tiles_down = tiles_of<T>(f.outer, 1);
        int block = blockIdx.x;
        keep_here(block);
        const int column = block / (tiles_down * f.groups), row = block - column * tiles_down * f.groups;
        group = row / tiles_down;
        first_row = (row - group * tiles_down) * T::ROWS;
        first_pixel = (index_t)column * T::COLUMNS;
    }
};
template <class T> struct TileOfWeights {
    int group, first_row, first_column;

    __device__ __forceinline__ TileOfWeights(const Convolution& f) {
        const int tiles_down = tiles_of<T>(f.outer, 1), tiles_across = tiles_of<T>(1, f.inner * f.taps());
        int block = blockIdx.x;
        keep_here(block);
        const int row = block / tiles_across;
        group = row / tiles_down;
        first_row = (row - group * tiles_down) * T::ROWS;
        first_column = (block - row * tiles_across) * T::COLUMNS;
    }
};

template <class T>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, Destination to, int w_output, int w_channel,
    bool turned, int part_depth) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    __shared__ ElementsOfStep<T> steps[2];
    __shared__ Walks<T> walks;
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    {
        const TileOfY<T> tile(f);
        const int depth = f.inner * f.taps();
        const int k_begin = blockIdx.y * part_depth, k_end = min(depth, k_begin + part_depth);
        const scalar_t* first = w + (index_t)tile.group * f.outer * depth + (index_t)tile.first_row * w_output;
        AlongElements<T> ks({f, w_channel, turned}, k_begin, k_end, steps, walks);
        Left<T, AlongElements<T>> weights(ks, first, w_output, f.outer - tile.first_row);
        PixelColumns<T> patches(f, ks, x + f.of_group(tile.group), tile.first_pixel);
        acc_t unused = 0;
        multiply_stages<T>(weights, patches, k_end - k_begin, false, words, c, unused);
    }
    const TileOfY<T> tile(f);
    if (to.part != nullptr) to.part += blockIdx.y * f.pixels() * f.groups * f.outer;
    write_pixels<T>(f, c, to, tile.group, tile.first_row, tile.first_pixel, words);
}

// With parts, each is (groups outer, depth), and behind it are the sums of dz, if there is a bias.
template <class T>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dz, scalar_t* dw, scalar_t* db, acc_t* parts,
    int part_depth, bool vector) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    __shared__ PixelsOfStep<T> steps[2];
    __shared__ Walks<T> walks;
    __shared__ Taps<T::COLUMNS> taps;
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    acc_t sum = 0;
    {
        const TileOfWeights<T> tile(f);
        const index_t k_begin = (index_t)blockIdx.y * part_depth, k_end = min(f.pixels(), k_begin + part_depth);
        const scalar_t* first = dz + ((index_t)tile.group * f.outer + tile.first_row) * f.positions();
        AlongPixels<T> ks({f}, k_begin, k_end, steps, walks);
        Left<T, AlongPixels<T>> gradients(ks, first, f.positions(), f.outer - tile.first_row);
        ElementColumns<T> patches(f, ks, x + f.of_group(tile.group), tile.first_column, taps);
        const bool sums = tile.first_column == 0 && db != nullptr;
        multiply_stages<T>(gradients, patches, k_end - k_begin, sums, words, c, sum);
    }
    const TileOfWeights<T> tile(f);
    const bool has_sums = tile.first_column == 0 && db != nullptr;
    if (has_sums) sum = sum_of_row<T>(sum, words);
    const int depth = f.inner * f.taps(), outputs = f.groups * f.outer;
    acc_t* part = nullptr;
    if (parts != nullptr) part = parts + blockIdx.y * ((index_t)outputs * depth + (db == nullptr ? 0 : outputs));
    const index_t of_group = (index_t)tile.group * f.outer * depth;
    const Result to = {dw + of_group, part == nullptr ? nullptr : part + of_group, f.outer, depth, false, vector};
    write_tile<T>(c, to, tile.first_row, tile.first_column, words);
    const int row = tile.first_row + threadIdx.x;
    if (!has_sums || threadIdx.x >= T::ROWS || row >= f.outer) return;
    if (part != nullptr) part[(index_t)outputs * depth + tile.group * f.outer + row] = sum;
    else db[tile.group * f.outer + row] = sum;
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) conv2d_implicit_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned, int part_depth, int kind, acc_t parameter, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Destination to = {y, parts, bias, kind, parameter, vector};
    forward<Square>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, part_depth);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) conv2d_implicit_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned, int part_depth, int kind, acc_t parameter, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Destination to = {y, parts, bias, kind, parameter, vector};
    forward<Low>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, part_depth);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 3 : 5) conv2d_implicit_flat(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int w_output, int w_channel, bool turned, int part_depth, int kind, acc_t parameter, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Destination to = {y, parts, bias, kind, parameter, vector};
    forward<Flat>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, part_depth);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) conv2d_weight_grad_implicit_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: no bias
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<Square>({images, groups, inner, outer, down, across}, x, dz, dw, db, parts, part_depth, vector);
}

extern "C" __global__ void __launch_bounds__(64, sizeof(acc_t) == 8 ? 4 : 8) conv2d_weight_grad_implicit_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: no bias
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<Half>({images, groups, inner, outer, down, across}, x, dz, dw, db, parts, part_depth, vector);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 3 : 5) conv2d_weight_grad_implicit_flat(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: no bias
    acc_t* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, bool vector) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<Flat>({images, groups, inner, outer, down, across}, x, dz, dw, db, parts, part_depth, vector);
}
