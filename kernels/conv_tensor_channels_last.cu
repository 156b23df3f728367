// Convolution and its weight gradient on tensor cores, of images whose channels lie last: conv_channels_last.cu in
// float16 and bfloat16, and in float32 where factors may be rounded to TF32, from sm_80 on.
//
//   Y = f(P W^T + b)      P (pixels, terms)  W (outer, terms)  b (outer)  Y (pixels, outer)
//   dW = dZ^T P           dZ (pixels, outer)  dW (outer, terms)
//
// Pixels and terms are those of images_last.cuh, what a warp multiplies and how it lies in shared memory is in
// tensor.cuh. Where the channels are a multiple of a chunk, chunks of patches come by cp.async like those of W and dZ,
// some steps ahead, and pass no registers: what conv_tensor.cu can't do, where neighbours in a patch lie apart.
//
// Products of factors are exact, sums are in float, and the result is rounded once. Where the blocks are too few for a
// GPU, blocks along y share the sums, `part_depth` terms each, and split_k.cu adds up what they find. `vectors` says what
// can be moved at once: 1 chunks of channels of x, 2 chunks of lines of w or dz, 4 pairs of the result.
//
// compiled for scalar_t = float16, bfloat16, float32
#include "images_last.cuh"
#include "tensor.cuh"

// The chunk of a patch from its first element on, or zeros where that is in the padding, or nowhere.
__device__ __forceinline__ void copy_chunk(
    const Images& f, const scalar_t* first, int row, int column, const Term& term, int left, scalar_t* chunk) {
    if (f.vector) {
        const bool inside = left > 0 && f.has(row + term.down(f), column + term.right(f));
        cp_async_16(chunk, inside ? first + term.offset(f) : f.x, inside);
        return;
    }
    Term next = term;
#pragma unroll 1
    for (int e = 0; e < CHUNK; ++e) {
        const bool inside = e < left && f.has(row + next.down(f), column + next.right(f));
        chunk[e] = inside ? first[next.offset(f)] : scalar_t(0.0f);
        next.advance(f, 1);
    }
}

// P, in the tile's rows: a thread has one chunk of terms, of some pixels.
template <class T> struct PixelRows {
    static constexpr int PER_LINE = T::DEPTH / CHUNK, APART = T::THREADS / PER_LINE, OWN = T::ROWS / APART;
    const Images f;
    Term term;  // of the next step
    const scalar_t* first[OWN];
    Two corner[OWN];  // row and column: the host sees to it that they have 16 bits

    static __device__ __forceinline__ int line() { return threadIdx.x / PER_LINE; }
    static __device__ __forceinline__ int position() { return threadIdx.x % PER_LINE; }

    // Beyond the last pixel that one is read again: what comes of it is not written.
    __device__ __forceinline__ PixelRows(const Images& f, int first_pixel, int first_k)
        : f(f), term(f, first_k + position() * CHUNK) {
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const Pixel pixel(min(first_pixel + line() + own * APART, f.pixels() - 1), f.down.positions, f.across.positions);
            const int row = f.down.start(pixel.row), column = f.across.start(pixel.column);
            corner[own] = Two(row, column);
            first[own] = f.at(pixel.plane, row, column);
        }
    }
};

template <class T, int WIDTH, bool ALONG_K>
__device__ __forceinline__ void fetch(PixelRows<T>& from, int, int first_k, int k_end, scalar_t* to) {
    static_assert(ALONG_K && WIDTH == T::ROWS, "its lines are patches");
    const int left = k_end - first_k - from.position() * CHUNK;
#pragma unroll
    for (int own = 0; own < from.OWN; ++own) {
        scalar_t* chunk = to + chunk_at<WIDTH, true>(from.line() + own * from.APART, from.position());
        const Two corner = from.corner[own];
        copy_chunk(from.f, from.first[own], corner.high(), corner.low(), from.term, left, chunk);
    }
    from.term.advance(from.f, T::DEPTH);
}

// P, in the tile's columns, which are terms: a thread has one chunk of them, of some pixels.
template <class T> struct TermColumns {
    static constexpr int PER_LINE = T::COLUMNS / CHUNK, APART = T::THREADS / PER_LINE, OWN = T::DEPTH / APART;
    const Images f;
    const int left;  // so many terms there are from its own on
    const Term term;
    Walk pixels[OWN];  // of the next step

    static __device__ __forceinline__ int line() { return threadIdx.x / PER_LINE; }
    static __device__ __forceinline__ int position() { return threadIdx.x % PER_LINE; }

    __device__ __forceinline__ TermColumns(const Images& f, int first_term, int first_k)
        : f(f), left(f.terms() - first_term - position() * CHUNK), term(f, first_term + position() * CHUNK) {
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            pixels[own] = walk_from(first_k + line() + own * APART, T::DEPTH, f.down.positions, f.across.positions);
    }
};

template <class T, int WIDTH, bool ALONG_K>
__device__ __forceinline__ void fetch(TermColumns<T>& from, int, int first_k, int k_end, scalar_t* to) {
    static_assert(!ALONG_K && WIDTH == T::COLUMNS, "its lines are pixels");
    const Images& f = from.f;
#pragma unroll
    for (int own = 0; own < from.OWN; ++own) {
        const int line = from.line() + own * from.APART, left = first_k + line < k_end ? from.left : 0;
        Walk& pixel = from.pixels[own];
        const int row = f.down.start(pixel.row), column = f.across.start(pixel.column);
        scalar_t* chunk = to + chunk_at<WIDTH, false>(line, from.position());
        copy_chunk(f, f.at(pixel.layer, row, column), row, column, from.term, left, chunk);
        pixel.next();
    }
}

template <class T>
__device__ __forceinline__ void forward(
    const Images& f, const scalar_t* w, const scalar_t* bias, scalar_t* y, float* parts, int outer, int part_depth,
    int kind, float parameter, int vectors) {
    __shared__ __align__(16) unsigned memory[T::SIZE * sizeof(scalar_t) / 4];  // of scalar_t
    const Work<T> work(outer, blockIdx.x, f.terms(), part_depth);
    const Operand weights = {w, outer, f.terms(), (vectors & 2) != 0};
    PixelRows<T> patches(f, work.first_row, work.k_begin);
    float c[T::DOWN][T::ACROSS][4] = {};
    multiply_tile<T, true, true>(patches, weights, work, (scalar_t*)memory, c);
    float* part = parts == nullptr ? nullptr : parts + (index_t)blockIdx.y * f.pixels() * outer;
    const Result to = {y, part, f.pixels(), outer, (vectors & 4) != 0, bias, kind, parameter};
    write_tile<T>(c, to, work.first_row + work.row, work.first_column + work.column, (float*)memory);
}

template <class T>
__device__ __forceinline__ void weight_grad(
    const Images& f, const scalar_t* dz, scalar_t* dw, float* parts, int outer, int part_depth, int vectors) {
    __shared__ __align__(16) unsigned memory[T::SIZE * sizeof(scalar_t) / 4];  // of scalar_t
    const Work<T> work(f.terms(), blockIdx.x, f.pixels(), part_depth);
    const Operand gradients = {dz, outer, outer, (vectors & 2) != 0};
    TermColumns<T> patches(f, work.first_column, work.k_begin);
    float c[T::DOWN][T::ACROSS][4] = {};
    multiply_tile<T, false, false>(gradients, patches, work, (scalar_t*)memory, c);
    float* part = parts == nullptr ? nullptr : parts + (index_t)blockIdx.y * outer * f.terms();
    const Result to = {dw, part, outer, f.terms(), (vectors & 4) != 0, nullptr, 0, 0.0f};
    write_tile<T>(c, to, work.first_row + work.row, work.first_column + work.column, (float*)memory);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_channels_last_tensor_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,           // null: the parts alone
    float* __restrict__ parts,          // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, float parameter, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    forward<Large>(f, w, bias, y, parts, outer, part_depth, kind, parameter, vectors);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv2d_channels_last_tensor_small(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,           // null: the parts alone
    float* __restrict__ parts,          // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, float parameter, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    forward<Small>(f, w, bias, y, parts, outer, part_depth, kind, parameter, vectors);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_grad_channels_last_tensor_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,  // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    weight_grad<Large>(f, dz, dw, parts, outer, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv2d_weight_grad_channels_last_tensor_small(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,  // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    int images, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int vectors) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images f = {x, images, inner, down, across, (vectors & 1) != 0};
    weight_grad<Small>(f, dz, dw, parts, outer, part_depth, vectors);
}
