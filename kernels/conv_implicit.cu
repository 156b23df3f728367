// Convolution and its weight gradient as matrix products whose columns are never in memory, the last rung: implicit
// GEMM (Chetlur et al. 2014, "cuDNN: efficient primitives for deep learning", section 3). The formulas are in conv.cu.
//
//   Y = f(W P + b)      W (outer, depth)  P (depth, images positions)  Y (outer, images positions)      in each group
//   dW = dZ P^T         dZ (outer, images positions)                   db = sum of dZ over the positions
//
// P is described in spots.cuh; a block computes a tile of Y or dW as in gemm.cuh.
//
// Against the second rung it saves to write and read the columns, kernel_h kernel_w times the image. It costs that
// their elements can't be read four at a time.
//
// `turned` is for the input gradient with a stride of 1: the convolution of dz with the kernels turned around.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"
#include "spots.cuh"

typedef Tile<128, 128, 8, 8, 8, 1, 1> Wide;   // 256 threads
typedef Tile<64, 64, 4, 4, 16> Square;  // 256 threads
typedef Tile<32, 64, 4, 4, 16> Flat;    // 128 threads, for few outputs

// The left matrix step by step: rows are `pitch` apart. Where the tile reaches beyond it, its last row is read in the
// place of what is not there: what comes of it is not written.
template <class T> struct Left {
    static constexpr int OWN = T::ROWS * T::DEPTH / T::THREADS, APART = AlongK<T>::APART;
    const char* row[OWN];
    scalar_t values[OWN];
    acc_t sums[OWN];  // over k

    __device__ __forceinline__ Left(const scalar_t* matrix, int pitch, int rows) : sums() {
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            row[own] = (const char*)(matrix + (index_t)min(AlongK<T>::line() + own * APART, rows - 1) * pitch);
    }
    __device__ __forceinline__ void fetch(const Step<T>& step) {
        const index_t left = step.left[AlongK<T>::k()];
#pragma unroll
        for (int own = 0; own < OWN; ++own) values[own] = left >= 0 ? *(const scalar_t*)(row[own] + left) : (scalar_t)0;
    }
    __device__ __forceinline__ void place(acc_t* tile) {
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const acc_t value = values[own];
            sums[own] += value;
            tile[T::template word_of<T::ROWS>(AlongK<T>::k()) + AlongK<T>::line() + own * APART] = value;
        }
    }
};

// c = A B over k_begin <= k < k_end. While one step is multiplied, the next one comes from memory, and the spots of the
// one after it are found.
template <class T, class Ks, class K, bool ALONG_K>
__device__ __forceinline__ void multiply(
    const Ks& ks, Left<T>& a, Patches<T, ALONG_K>& b, K k_begin, K k_end, acc_t* words,
    Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4]) {
    __shared__ Step<T> steps[2];
    const int own = threadIdx.x;
    if (own < T::DEPTH) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const K k = k_begin + half * T::DEPTH + own;
            steps[half].set(ks, ks.walk(k, 2 * T::DEPTH), k < k_end);
        }
    }
    __syncthreads();
    a.fetch(steps[0]);
    b.fetch(steps[0]);
    a.place(words);
    b.place(words + T::WORDS_A);
    __syncthreads();
    const acc_t *tile_a = words + Place<T>::row_of(0), *tile_b = words + T::WORDS_A + Place<T>::column_of(0);
    int to_next = T::WORDS / 2, half = 0;
    for (K k = k_begin; k < k_end; k += T::DEPTH, half ^= 1) {
        const bool more = k + T::DEPTH < k_end;
        if (more) {
            a.fetch(steps[half ^ 1]);
            b.fetch(steps[half ^ 1]);
        }
        if (own < T::DEPTH) {
            Walk walk = steps[half].k[own].walk;
            walk.next();
            steps[half].set(ks, walk, k + 2 * T::DEPTH + own < k_end);
        }
        multiply_step<T>(tile_a, tile_b, c);
        if (more) {
            acc_t* next = words + max(to_next, 0);
            a.place(next);
            b.place(next + T::WORDS_A);
        }
        __syncthreads();
        tile_a += to_next;
        tile_b += to_next;
        to_next = -to_next;
    }
}

// Where the tiles of Y go.
struct Destination {
    scalar_t* y;
    acc_t* part;  // null: Y is complete. Else this is one part of its sum, and goes here, without bias and activation
    const scalar_t* bias;
    int kind;
    acc_t parameter;
    bool vector;  // whether quads of pixels can be written at once
};

// f(c + b) to where it belongs: rows are outputs of the group, columns are pixels. Pieces of 4 x 4 go through shared
// memory, where a thread has a word for each of its values: so the loop over them need not be unrolled, which would
// inline the switch over all functions for every value.
template <class T>
__device__ __forceinline__ void write_pixels(
    const Convolution& f, const Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Destination& to, int group, int first_row,
    index_t first_pixel, acc_t* words) {
    static_assert(16 * T::THREADS <= T::WORDS, "a word for each value");
    acc_t* own = words + threadIdx.x;
    const int positions = f.positions(), outputs = f.groups * f.outer;
#pragma unroll
    for (int piece = 0; piece < T::DOWN * T::ACROSS / 16; ++piece) {
        const int down = piece / (T::ACROSS / 4), across = piece % (T::ACROSS / 4);
#pragma unroll
        for (int n = 0; n < 16; ++n) own[n * T::THREADS] = c[4 * down + n / 4][across].v[n % 4];
        const index_t pixel = first_pixel + Place<T>::column_of(4 * across), image = quotient(pixel, positions);
        const int position = pixel - image * positions, left = min(f.pixels() - pixel, (index_t)4);
#pragma unroll 1
        for (int i = 0; i < 4; ++i) {
            const int row = first_row + Place<T>::row_of(4 * down) + i, output = group * f.outer + row;
            if (row >= f.outer) break;
            acc_t* z = own + 4 * i * T::THREADS;
            if (to.part == nullptr) {
                const acc_t bias = to.bias != nullptr ? acc_t(to.bias[output]) : acc_t(0);
#pragma unroll 1
                for (int e = 0; e < 4; ++e)
                    z[e * T::THREADS] = activation(z[e * T::THREADS] + bias, to.kind, to.parameter);
            }
            const index_t at = (image * outputs + output) * positions + position;
            if (to.vector) {
                acc_t values[4];
#pragma unroll
                for (int e = 0; e < 4; ++e) values[e] = z[e * T::THREADS];
                if (to.part != nullptr) store_quad(to.part + at, values, left, true);
                else store_quad(to.y + at, values, left, true);
                continue;
            }
#pragma unroll 1
            for (int e = 0; e < left; ++e) {
                const index_t images_on = quotient(position + e, positions);  // the four may be of several images
                const index_t there = at + e + images_on * (outputs - 1) * positions;
                if (to.part != nullptr) to.part[there] = z[e * T::THREADS];
                else to.y[there] = z[e * T::THREADS];
            }
        }
    }
}

// Where the blocks are too few for a GPU, blocks along y share the sums, `part_depth` terms each, and conv2d_add_parts
// adds up what they find: parts (blocks, images, groups outer, positions).
template <class T>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, Destination to, int w_output, int w_channel,
    bool turned, int part_depth) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const int tiles_down = (f.outer + T::ROWS - 1) / T::ROWS;
    const int tile = blockIdx.x % (tiles_down * f.groups), group = tile / tiles_down;
    const int first_row = tile % tiles_down * T::ROWS, depth = f.inner * f.taps();
    const index_t first_pixel = (index_t)(blockIdx.x / (tiles_down * f.groups)) * T::COLUMNS;
    const int k_begin = blockIdx.y * part_depth, k_end = min(depth, k_begin + part_depth);
    if (to.part != nullptr) to.part += blockIdx.y * f.pixels() * f.groups * f.outer;
    Left<T> a(w + (index_t)group * f.outer * depth + (index_t)first_row * w_output, w_output, f.outer - first_row);
    Patches<T, false> b(f);
    const index_t own_pixel = first_pixel + b.column_of(0);
    const Pixel pixel(own_pixel, f.down.positions, f.across.positions);
    b.set(0, x + f.of_group(group), spot_of_pixel(f, pixel.plane, pixel.row, pixel.column), own_pixel < f.pixels());
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    multiply(Elements{f, w_channel, turned}, a, b, k_begin, k_end, words, c);
    write_pixels<T>(f, c, to, group, first_row, first_pixel, words);
}

// Blocks along y share the pixels, `part_depth` each, and split_k.cu adds up what they find: parts (blocks, groups
// outer inner taps + groups outer).
template <class T>
__device__ __forceinline__ void weight_grad(
    const Convolution& f, const scalar_t* x, const scalar_t* dz, acc_t* parts, bool bias, int part_depth) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const int depth = f.inner * f.taps(), outputs = f.groups * f.outer;
    const int tiles_down = (f.outer + T::ROWS - 1) / T::ROWS, tiles_across = (depth + T::COLUMNS - 1) / T::COLUMNS;
    const int tile = blockIdx.x % (tiles_down * tiles_across), group = blockIdx.x / (tiles_down * tiles_across);
    const int first_row = tile / tiles_across * T::ROWS, first_column = tile % tiles_across * T::COLUMNS;
    const index_t k_begin = (index_t)blockIdx.y * part_depth, k_end = min(f.pixels(), k_begin + part_depth);
    const index_t first_plane = (index_t)group * f.outer + first_row;
    Left<T> a(dz + first_plane * f.positions(), f.positions(), f.outer - first_row);
    Patches<T, true> b(f);
#pragma unroll
    for (int n = 0; n < b.SPOTS; ++n) {
        const int column = first_column + b.column_of(n);
        const Walk element = walk_from(column, 0, f.down.kernel, f.across.kernel);
        const Spot spot = spot_of_element(f, element.layer, element.row, element.column);
        b.set(n, x + f.of_group(group), spot, column < depth);
    }
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    multiply(Pixels{f}, a, b, k_begin, k_end, words, c);
    acc_t* part = parts + blockIdx.y * ((index_t)outputs * depth + (bias ? outputs : 0));
#pragma unroll
    for (int i = 0; i < T::DOWN; ++i) {
        const int row = first_row + Place<T>::row_of(i);
        if (row >= f.outer) continue;
#pragma unroll
        for (int q = 0; q < T::ACROSS / 4; ++q) {
            const int column = first_column + Place<T>::column_of(4 * q);
            store_quad(part + ((index_t)group * f.outer + row) * depth + column, c[i][q].v, depth - column, false);
        }
    }
    if (!bias || first_column != 0) return;
#pragma unroll
    for (int own = 0; own < a.OWN; ++own)
        words[T::template word_of<T::ROWS>(AlongK<T>::k()) + AlongK<T>::line() + own * a.APART] = a.sums[own];
    __syncthreads();
    const int row = threadIdx.x;
    if (row >= T::ROWS || first_row + row >= f.outer) return;
    acc_t sum = 0;
    for (int k = 0; k < T::DEPTH; ++k) sum += words[T::template word_of<T::ROWS>(k) + row];
    part[(index_t)outputs * depth + group * f.outer + first_row + row] = sum;
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
    forward<Wide>({images, groups, inner, outer, down, across}, x, w, to, w_output, w_channel, turned, part_depth);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_implicit_square(
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

extern "C" __global__ void __launch_bounds__(128, 4) conv2d_implicit_flat(
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

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_grad_implicit(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    acc_t* __restrict__ parts,
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    bool bias, int part_depth) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    weight_grad<Square>({images, groups, inner, outer, down, across}, x, dz, parts, bias, part_depth);
}
