// Convolution and its weight gradient on images whose channels lie last, as matrix products whose patches are never in
// memory. The formulas are in conv.cu; there is one group of channels.
//
//   Y = f(P W^T + b)      P (pixels, terms)  W (outer, terms)  b (outer)  Y (pixels, outer)
//   dW = dZ^T P           dZ (pixels, outer)  dW (outer, terms)           db = sum of dZ over the pixels
//
// A pixel is (image, r, q), a term (i, j, c): X (images, height, width, inner), W (outer, kernel_h, kernel_w, inner) and
// Y (images, out_h, out_w, outer) lie as the matrices here. P is described in images_last.cuh; a block computes a tile
// of Y or dW as in gemm.cuh.
//
// Against conv_implicit.cu, whose images have their channels first, four terms are copied at once for dW, and one check
// of bounds is enough for them; the rows of Y are written as they lie. It costs that the sums have another order: for Y
// that of the terms, for dW that of the pixels.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, blocks
// along y share the sums, `part_depth` terms each, and split_k.cu adds up what they find.
// `vectors` says what can be moved four elements at a time: 1 channels of x, 2 lines of w or dz, 4 those of the result.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"
#include "patches_last.cuh"

typedef Tile<128, 128, 8, 8, Large::DEPTH, 1, UNROLLED> Square;  // 256 threads
typedef Tile<128, 64, 8, 8, Large::DEPTH, 1, UNROLLED> High;     // 128 threads
typedef Tile<128, 32, 8, 4, 16, 1, UNROLLED> Narrow;             // 128 threads, for few outputs
typedef Tile<64, 64, 8, 8, Large::DEPTH, 1, UNROLLED> Half;      // 64 threads, for the weight gradient

// A block's tile of a matrix of so many columns. It is found again after the product: what is kept meanwhile takes
// registers.
template <class T> struct TileOf {
    int first_row, first_column;

    __device__ __forceinline__ TileOf(int columns) {
        const int tiles_across = tiles_of<T>(1, columns);
        int block = blockIdx.x;
        keep_here(block);
        first_row = block / tiles_across * T::ROWS;
        first_column = block % tiles_across * T::COLUMNS;
    }
};

template <class T>
__device__ __forceinline__ void forward(
    const Images& f, const scalar_t* w, const scalar_t* bias, scalar_t* y, acc_t* parts, int outer, int part_depth,
    int kind, acc_t parameter, int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    __shared__ PixelsOfTile<T::ROWS> pixels_of_tile;
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    {
        const TileOf<T> tile(outer);
        const int terms = f.terms(), k_begin = blockIdx.y * part_depth, k_end = min(terms, k_begin + part_depth);
        PixelRows<T> patches(f, tile.first_row, k_begin, pixels_of_tile);
        Stage<T, T::COLUMNS> weights({w, outer, terms, true, (vectors & 2) != 0}, tile.first_column, k_begin);
        acc_t unused = 0;
        multiply_stages<T>(patches, weights, k_end - k_begin, false, words, c, unused);
    }
    const TileOf<T> tile(outer);
    const int pixels = f.pixels();
    acc_t* part = parts == nullptr ? nullptr : parts + (index_t)blockIdx.y * pixels * outer;
    const Result to = {y, part, pixels, outer, false, (vectors & 4) != 0, bias, kind, parameter};
    write_tile<T>(c, to, tile.first_row, tile.first_column, words);
}

// With parts, each is (outer, terms), and behind it are `outer` sums of dz, if there is a bias.
template <class T>
__device__ __forceinline__ void weight_grad(
    const Images& f, const scalar_t* dz, scalar_t* dw, scalar_t* db, acc_t* parts, int outer, int part_depth,
    int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    acc_t sum = 0;
    {
        const TileOf<T> tile(f.terms());
        const int k_begin = blockIdx.y * part_depth, k_end = min(f.pixels(), k_begin + part_depth);
        Stage<T, T::ROWS> gradients({dz, outer, outer, false, (vectors & 2) != 0}, tile.first_row, k_begin);
        TermColumns<T> patches(f, tile.first_column, k_begin);
        const bool sums = tile.first_column == 0 && db != nullptr;
        multiply_stages<T>(gradients, patches, k_end - k_begin, sums, words, c, sum);
    }
    const int terms = f.terms();
    const TileOf<T> tile(terms);
    const bool has_sums = tile.first_column == 0 && db != nullptr;
    if (has_sums) sum = sum_of_row<T>(sum, words);
    acc_t* part = nullptr;
    if (parts != nullptr) part = parts + blockIdx.y * ((index_t)outer * terms + (db == nullptr ? 0 : outer));
    const Result to = {dw, part, outer, terms, false, (vectors & 4) != 0};
    write_tile<T>(c, to, tile.first_row, tile.first_column, words);
    const int output = tile.first_row + threadIdx.x;
    if (!has_sums || threadIdx.x >= T::ROWS || output >= outer) return;
    if (part != nullptr) part[(index_t)outer * terms + output] = sum;
    else db[output] = sum;
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) conv2d_channels_last_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, acc_t parameter, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    forward<Square>(f, w, bias, y, parts, outer, part_depth, kind, parameter, vectors);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) conv2d_channels_last_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, acc_t parameter, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    forward<High>(f, w, bias, y, parts, outer, part_depth, kind, parameter, vectors);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 3 : 5) conv2d_channels_last_narrow(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, acc_t parameter, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    forward<Narrow>(f, w, bias, y, parts, outer, part_depth, kind, parameter, vectors);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) conv2d_weight_grad_channels_last_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: no bias
    acc_t* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    weight_grad<Square>(f, dz, dw, db, parts, outer, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(64, sizeof(acc_t) == 8 ? 3 : 6) conv2d_weight_grad_channels_last_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: no bias
    acc_t* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    weight_grad<Half>(f, dz, dw, db, parts, outer, part_depth, vectors);
}
