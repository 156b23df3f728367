// Convolution and its weight gradient on tensor cores, as matrix products whose columns are never in memory: the rung
// above conv_implicit.cu from sm_80 on, for float16 and bfloat16, and for float32 where factors may be rounded to TF32.
//
//   Y = f(W P + b)      W (outer, depth)  P (depth, images positions)  Y (outer, images positions)      in each group
//   dW = dZ P^T         dZ (outer, images positions)
//
// P is described in spots.cuh, what a warp multiplies and how it lies in shared memory in tensor.cuh. Lines of W
// and dZ run along the sums, and come by cp.async in chunks of 16 bytes where those are aligned, one step ahead. Elements
// of P pass registers: what is beside one in the result may be elsewhere in the image, or outside of it.
//
// Products of factors are exact, sums are in float, and the result is rounded once. Where the blocks are too few for a
// GPU, blocks along y share the sums, `part_depth` terms each; conv2d_add_parts and split_k.cu add up what they find.
//
// compiled for scalar_t = float16, bfloat16, float32
#include "tensor.cuh"
#include "spots.cuh"

typedef Tile<128, 64, 32, 32, 2> High;   // 256 threads, 24 KiB; twice as high would need more registers than there are
typedef Tile<64, 64, 16, 32, 2> Square;  // 256 threads, 16 KiB
typedef Tile<32, 64, 16, 32, 2> Flat;    // 128 threads, 12 KiB

// The k of a step, for all threads: their spots; and how far they are in a row of the left matrix, negative where there
// is no such k. Nothing lies inside an image where NOWHERE was added to the row.
constexpr int NOWHERE = 1 << 29;
template <class T> struct Step {
    Spot spot[T::DEPTH];
    index_t left[T::DEPTH];

    template <class Ks> __device__ __forceinline__ void set(const Ks& ks, const Walk& walk, bool exists) {
        const int own = threadIdx.x;
        spot[own] = exists ? ks.spot(walk) : Spot{0, NOWHERE, 0};
        left[own] = exists ? ks.left(walk) : -1;
    }
};

// Where Y goes: row r is output first_output + r, column m is pixel m of all images.
struct Images {
    scalar_t* y;
    float* part;  // null: Y is complete. Else this is one part of its sum, and goes here, without bias and activation
    int rows, columns;
    bool pairs;  // whether two neighbours of an image can be written at once
    const scalar_t* bias;  // null: none
    int kind;
    float parameter;
    int first_output, outputs, positions;

    __device__ __forceinline__ index_t at(int row, int column) const {
        const int image = column / positions, position = column - image * positions;
        return ((index_t)image * outputs + first_output + row) * positions + position;
    }
    __device__ __forceinline__ float bias_at(int row, int column) const { return bias[first_output + row]; }
};

// W, in the tile's rows.
template <class T> struct Weights {
    Operand lines;
    int first_row;

    template <class K>
    __device__ __forceinline__ void copy(const Step<T>& step, K k, K k_end, scalar_t* to) const {
        fetch<T, T::ROWS, true>(lines, first_row, k, k_end, to);
    }
};

// dZ, in the tile's rows, which are `pitch` apart. The pixels of a chunk are in one image where `chunks`.
template <class T> struct Gradients {
    const scalar_t* first;
    int rows, pitch;
    bool chunks;

    template <class K>
    __device__ __forceinline__ void copy(const Step<T>& step, K k, K k_end, scalar_t* to) const {
        constexpr int PER_LINE = T::DEPTH / CHUNK;
        static_assert(T::ROWS * PER_LINE % T::THREADS == 0, "every thread has as many chunks");
#pragma unroll
        for (int own = 0; own < T::ROWS * PER_LINE / T::THREADS; ++own) {
            const int n = own * T::THREADS + threadIdx.x, line = n / PER_LINE, c = n % PER_LINE;
            const scalar_t* row = first + (index_t)min(line, rows - 1) * pitch;
            scalar_t* chunk = to + chunk_at<T::ROWS, true>(line, c);
            if (chunks) {
                const index_t left = step.left[c * CHUNK];
                cp_async_16(chunk, row + max(left, (index_t)0), left >= 0);
            } else {
#pragma unroll
                for (int e = 0; e < CHUNK; ++e) {
                    const index_t left = step.left[c * CHUNK + e];
                    chunk[e] = left >= 0 ? row[left] : scalar_t(0.0f);
                }
            }
        }
    }
};

// P or P^T step by step. Neighbouring threads are neighbours in the image: along k where that is pixels.
template <class T, bool ALONG_K> struct Patches {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / T::THREADS;
    static constexpr int APART = ALONG_K ? AlongK<T>::APART : T::THREADS / T::COLUMNS;
    static constexpr int SPOTS = ALONG_K ? OWN : 1;
    const int height, width;
    const scalar_t* at[SPOTS];  // the thread's spots
    int row[SPOTS], column[SPOTS];
    scalar_t values[OWN];

    __device__ __forceinline__ Patches(const Convolution& f) : height(f.down.size), width(f.across.size) {}

    __device__ __forceinline__ void set(int n, const scalar_t* x, const Spot& spot, bool exists) {
        at[n] = x + spot.offset;
        row[n] = exists ? spot.row : -2 * NOWHERE;
        column[n] = spot.column;
    }

    // The column of the tile that belongs to one of the thread's spots.
    static __device__ __forceinline__ int column_of(int n) {
        return ALONG_K ? AlongK<T>::line() + n * APART : threadIdx.x % T::COLUMNS;
    }
    static __device__ __forceinline__ int k_of(int own) {
        return ALONG_K ? AlongK<T>::k() : threadIdx.x / T::COLUMNS + own * APART;
    }
    __device__ __forceinline__ void fetch(const Step<T>& step) {
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const int n = ALONG_K ? own : 0;
            const Spot spot = step.spot[k_of(own)];
            const bool inside = (unsigned)(row[n] + spot.row) < (unsigned)height &&
                                (unsigned)(column[n] + spot.column) < (unsigned)width;
            values[own] = inside ? at[n][spot.offset] : (scalar_t)0;
        }
    }
    template <class V> __device__ __forceinline__ void place(V* tile) const {
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            tile[T::template place_of<T::COLUMNS, ALONG_K>(column_of(ALONG_K ? own : 0), k_of(own))] = values[own];
    }
};

// c = A B over k_begin <= k < k_end, for the warp's fragments. While one step is multiplied, the next one comes from
// memory, and the spots of the one after it are found.
template <class T, class Ks, class A, class K, bool ALONG_K>
__device__ __forceinline__ void multiply(
    const Ks& ks, const A& a, Patches<T, ALONG_K>& b, K k_begin, K k_end, int row, int column, scalar_t* memory,
    float (&c)[T::DOWN][T::ACROSS][4]) {
    __shared__ Step<T> steps[2];
    __shared__ Walks<T> walks;
    scalar_t* memory_b = memory + 2 * T::SIZE_A;
    const int own = threadIdx.x;
    if (own < T::DEPTH) {
        Walk walk = ks.walk(k_begin + own, T::DEPTH);
        steps[0].set(ks, walk, k_begin + own < k_end);
        walk.next();
        steps[1].set(ks, walk, k_begin + T::DEPTH + own < k_end);
        walks.k[own].walk = walk;
    }
    __syncthreads();
    a.copy(steps[0], k_begin, k_end, memory);
    cp_async_commit();
    b.fetch(steps[0]);
    b.place(memory_b);
    cp_async_wait<0>();
    __syncthreads();
    int half = 0;
#pragma unroll 1
    for (K k = k_begin; k < k_end; k += T::DEPTH, half ^= 1) {
        const bool more = k + T::DEPTH < k_end;
        if (more) {
            a.copy(steps[half ^ 1], K(k + T::DEPTH), k_end, memory + (half ^ 1) * T::SIZE_A);
            b.fetch(steps[half ^ 1]);
        }
        cp_async_commit();
        if (own < T::DEPTH) {
            Walk walk = walks.k[own].walk;
            walk.next();
            walks.k[own].walk = walk;
            steps[half].set(ks, walk, k + 2 * T::DEPTH + own < k_end);
        }
        multiply_step<T, true, ALONG_K>(memory + half * T::SIZE_A, memory_b + half * T::SIZE_B, row, column, c);
        if (more) b.place(memory_b + (half ^ 1) * T::SIZE_B);
        cp_async_wait<0>();
        __syncthreads();
    }
}

template <class T>
__device__ __forceinline__ void forward(
    const Convolution& f, const scalar_t* x, const scalar_t* w, Images to, int part_depth, bool chunks) {
    __shared__ __align__(16) unsigned memory[T::SIZE * sizeof(scalar_t) / 4];  // of scalar_t
    const int tiles_down = (f.outer + T::ROWS - 1) / T::ROWS, depth = f.inner * f.taps();
    const int tile = blockIdx.x % (tiles_down * f.groups), group = tile / tiles_down;
    const int first_row = tile % tiles_down * T::ROWS, first_pixel = blockIdx.x / (tiles_down * f.groups) * T::COLUMNS;
    const int k_begin = blockIdx.y * part_depth, k_end = min(depth, k_begin + part_depth), warp = threadIdx.x / 32;
    const int row = warp / T::WARPS_ACROSS * T::WARP_ROWS, column = warp % T::WARPS_ACROSS * T::WARP_COLUMNS;
    to.rows = f.outer, to.columns = f.pixels(), to.positions = f.positions();
    to.first_output = group * f.outer, to.outputs = f.groups * f.outer;
    if (to.part != nullptr) to.part += blockIdx.y * f.pixels() * to.outputs;
    const Weights<T> a = {{w + (index_t)group * f.outer * depth, f.outer, depth, chunks}, first_row};
    Patches<T, false> b(f);
    const index_t own_pixel = first_pixel + b.column_of(0);
    const Pixel pixel(own_pixel, f.down.positions, f.across.positions);
    b.set(0, x + f.of_group(group), spot_of_pixel(f, pixel.plane, pixel.row, pixel.column), own_pixel < f.pixels());
    float c[T::DOWN][T::ACROSS][4] = {};
    multiply(Elements{f, f.taps(), false}, a, b, k_begin, k_end, row, column, (scalar_t*)memory, c);
    write_tile<T>(c, to, first_row + row, first_pixel + column, (float*)memory);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_tensor_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,           // null: the parts alone
    float* __restrict__ parts,          // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, float parameter, bool chunks, bool pairs) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images to = {y, parts, 0, 0, pairs, bias, kind, parameter, 0, 0, 1};
    forward<High>({images, groups, inner, outer, down, across}, x, w, to, part_depth, chunks);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_tensor_square(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,           // null: the parts alone
    float* __restrict__ parts,          // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, float parameter, bool chunks, bool pairs) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images to = {y, parts, 0, 0, pairs, bias, kind, parameter, 0, 0, 1};
    forward<Square>({images, groups, inner, outer, down, across}, x, w, to, part_depth, chunks);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv2d_tensor_flat(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,           // null: the parts alone
    float* __restrict__ parts,          // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, int kind, float parameter, bool chunks, bool pairs) {
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Images to = {y, parts, 0, 0, pairs, bias, kind, parameter, 0, 0, 1};
    forward<Flat>({images, groups, inner, outer, down, across}, x, w, to, part_depth, chunks);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_grad_tensor(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ dz,
    scalar_t* __restrict__ dw,  // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    int images, int groups, int inner, int outer,
    int height, int out_h, int kernel_h, int stride_h, int corner_h, int dilation_h,
    int width, int out_w, int kernel_w, int stride_w, int corner_w, int dilation_w,
    int part_depth, bool chunks, bool pairs) {
    typedef Square T;
    __shared__ __align__(16) unsigned memory[T::SIZE * sizeof(scalar_t) / 4];  // of scalar_t
    const Axis down = {height, out_h, kernel_h, stride_h, corner_h, dilation_h};
    const Axis across = {width, out_w, kernel_w, stride_w, corner_w, dilation_w};
    const Convolution f = {images, groups, inner, outer, down, across};
    const int depth = inner * f.taps(), warp = threadIdx.x / 32;
    const int tiles_down = (outer + T::ROWS - 1) / T::ROWS, tiles_across = (depth + T::COLUMNS - 1) / T::COLUMNS;
    const int tile = blockIdx.x % (tiles_down * tiles_across), group = blockIdx.x / (tiles_down * tiles_across);
    const int first_row = tile / tiles_across * T::ROWS, first_column = tile % tiles_across * T::COLUMNS;
    const int row = warp / T::WARPS_ACROSS * T::WARP_ROWS, column = warp % T::WARPS_ACROSS * T::WARP_COLUMNS;
    const index_t k_begin = (index_t)blockIdx.y * part_depth, k_end = min(f.pixels(), k_begin + part_depth);
    const index_t first_plane = (index_t)group * outer + first_row, size = (index_t)outer * depth;
    const Gradients<T> a = {dz + first_plane * f.positions(), outer - first_row, f.positions(), chunks};
    Patches<T, true> b(f);
#pragma unroll
    for (int n = 0; n < b.SPOTS; ++n) {
        const int own = first_column + b.column_of(n);
        const Walk element = walk_from(own, 0, kernel_h, kernel_w);
        const Spot spot = spot_of_element(f, element.layer, element.row, element.column);
        b.set(n, x + f.of_group(group), spot, own < depth);
    }
    float c[T::DOWN][T::ACROSS][4] = {};
    multiply(Pixels{f}, a, b, k_begin, k_end, row, column, (scalar_t*)memory, c);
    float* part = parts == nullptr ? nullptr : parts + (blockIdx.y * (index_t)groups + group) * size;
    const Result to = {dw == nullptr ? nullptr : dw + group * size, part, outer, depth, pairs, nullptr, 0, 0.0f};
    write_tile<T>(c, to, first_row + row, first_column + column, (float*)memory);
}
