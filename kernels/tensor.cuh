// One block's tile of a matrix product on tensor cores, in half precision or of floats in TF32; matmul_tensor.cu is made
// of it.
//
//   C (rows, columns) = A (rows, depth) B (depth, columns), sums in float
//
// A warp computes WARP_ROWS x WARP_COLUMNS elements of C, of fragments of 16 x 8 in registers: one instruction of all
// its lanes multiplies 16 x TERMS elements of A with TERMS x 8 of B (mma.sync). A block goes along the axis that is
// summed over in steps of DEPTH. What the registers hold of a step they read from shared memory by ldmatrix, and there it
// comes by cp.async: copies from global memory that pass no registers, and are under way while STAGES - 1 steps before
// them wait and are multiplied. One barrier a step.
//
// A chunk of 16 bytes, eight halves or four floats, is what is copied and what a row of an ldmatrix is. Chunks lie
// swizzled, so that neither the eight rows of a matrix that is read nor eight chunks that are written meet in a bank.
//
// Floats are rounded to TF32 on their way from shared memory: 8 bits of exponent and 10 of mantissa, to nearest, ties
// away from zero (PTX ISA, "cvt": .rna.tf32.f32). ldmatrix transposes pairs of bytes only; where their lines do not run
// along k, floats are read one by one.
//
// How lines run is known at compile time: a branch in the loop would come between the instructions.
#pragma once
#include "activation.cuh"
#include "common.cuh"
#include "quad.cuh"

constexpr int CHUNK = 16 / sizeof(scalar_t);  // elements that are copied at once
constexpr int TERMS = 2 * CHUNK;              // of the sums, in one mma
constexpr bool TRANSPOSES = sizeof(scalar_t) == 2;  // whether ldmatrix does

// Where an operand's step of WIDTH x DEPTH elements has a chunk: of line i chunk c along k, or of line k chunk c along
// i. A line along k has CHUNKS of them, which are 128 bytes or half of that; a line along i is a multiple of 128 bytes.
// Of floats along i, four lines of two chunks are read together.
template <int WIDTH, bool ALONG_K, int CHUNKS = 4> __device__ __forceinline__ int chunk_at(int line, int c) {
    static_assert(CHUNKS == 4 || CHUNKS == 8, "a line or two in all banks");
    if (ALONG_K) return (line * CHUNKS + (c ^ (line / (8 / CHUNKS) & CHUNKS - 1))) * CHUNK;
    return (line * (WIDTH / CHUNK) + (c ^ (TRANSPOSES ? line & 7 : (line & 3) * 2))) * CHUNK;
}

// OF_CHUNKS: it is for operands whose lines are made of whole chunks alone.
template <int R, int C, int WR, int WC, int S = 3, int CHUNKS = 4, bool OF_CHUNKS = false> struct Tile {
    static constexpr bool WHOLE = OF_CHUNKS;
    static constexpr int ROWS = R, COLUMNS = C, WARP_ROWS = WR, WARP_COLUMNS = WC, DEPTH = CHUNKS * CHUNK, STAGES = S;
    static constexpr int WARPS_ACROSS = C / WC, THREADS = R / WR * WARPS_ACROSS * 32;
    static constexpr int DOWN = WR / 16, ACROSS = WC / 8;  // fragments of a warp
    static constexpr int SIZE_A = R * DEPTH, SIZE_B = C * DEPTH, SIZE = STAGES * (SIZE_A + SIZE_B);
    static_assert(ACROSS % 2 == 0, "an ldmatrix brings two fragments of B");

    template <int WIDTH, bool ALONG_K> static __device__ __forceinline__ int chunk_at(int line, int c) {
        return ::chunk_at<WIDTH, ALONG_K, CHUNKS>(line, c);
    }
    // Where element i of k is in a step of lines along k or along i.
    template <int WIDTH, bool ALONG_K> static __device__ __forceinline__ int place_of(int i, int k) {
        if (ALONG_K) return chunk_at<WIDTH, true>(i, k / CHUNK) + k % CHUNK;
        return chunk_at<WIDTH, false>(k, i / CHUNK) + i % CHUNK;
    }
};
typedef Tile<128, 128, 64, 32> Large;  // 256 threads, 48 KiB
typedef Tile<64, 64, 32, 32> Small;    // 128 threads, 24 KiB
typedef Tile<128, 128, 64, 64, 2, 8> Quarters;    // 128 threads, 64 KiB
typedef Tile<128, 256, 64, 64, 2, 8, true> Wide;  // 256 threads, 96 KiB

// A or B. Its axis i is the one that the product keeps, its axis k is summed over. Its lines, `pitch` elements apart,
// run along k or along i.
struct Operand {
    const scalar_t* x;
    int size;  // of axis i
    int pitch;
    bool chunks;  // whether its lines are made of chunks that can be copied at once
};

// The step from first_k on, up to k_end, on its way to shared memory. What is not there is 0. All chunks that are not
// whole, or can't be copied at once, make a step slow.
template <class T, int WIDTH, bool ALONG_K>
__device__ __forceinline__ void fetch(const Operand& from, int first_i, int first_k, int k_end, scalar_t* to) {
    constexpr int PER_LINE = (ALONG_K ? T::DEPTH : WIDTH) / CHUNK, LINES = T::THREADS / PER_LINE;
    constexpr int OWN = WIDTH * T::DEPTH / CHUNK / T::THREADS;
    static_assert(OWN * T::THREADS * CHUNK == WIDTH * T::DEPTH, "every thread has as many chunks");
    static_assert(T::THREADS % PER_LINE == 0, "and they have one place in their lines");
    const int line = threadIdx.x / PER_LINE, c = threadIdx.x % PER_LINE;
    const int i = first_i + (ALONG_K ? line : c * CHUNK), k = first_k + (ALONG_K ? c * CHUNK : line);
    const int lines = ALONG_K ? from.size - i : k_end - k, inside = ALONG_K ? k_end - k : from.size - i;
    const scalar_t* x = from.x + (ALONG_K ? (index_t)i * from.pitch + k : (index_t)k * from.pitch + i);
    const index_t apart = (index_t)LINES * from.pitch;
    if (T::WHOLE || (from.chunks && (ALONG_K ? k_end : from.size) % CHUNK == 0)) {
#pragma unroll
        for (int own = 0; own < OWN; ++own, x += apart)
            cp_async_16(to + T::template chunk_at<WIDTH, ALONG_K>(line + own * LINES, c), x,
                        inside > 0 && own * LINES < lines);
        return;
    }
    if constexpr (!T::WHOLE) {
        constexpr int LENGTH = ALONG_K ? T::DEPTH : WIDTH;
        int n = threadIdx.x;
        keep_here(n);
#pragma unroll 1
        for (; n < WIDTH * T::DEPTH; n += T::THREADS) {
            const int own_i = ALONG_K ? n / LENGTH : n % LENGTH, own_k = ALONG_K ? n % LENGTH : n / LENGTH;
            const int here_i = first_i + own_i, here_k = first_k + own_k;
            const bool there = here_i < from.size && here_k < k_end;
            const index_t at = (index_t)(ALONG_K ? here_i : here_k) * from.pitch + (ALONG_K ? here_k : here_i);
            scalar_t* place = to + T::template place_of<WIDTH, ALONG_K>(own_i, own_k);
            if constexpr (sizeof(scalar_t) == 4) cp_async_4(place, from.x + at, there);
            else *place = there ? from.x[at] : scalar_t(0.0f);
        }
    }
}

// What comes from memory, as mma takes it.
__device__ __forceinline__ void as_factors(unsigned (&)[4], const void*) {}
__device__ __forceinline__ void as_factors(unsigned (&words)[4], const float*) {
#pragma unroll
    for (int e = 0; e < 4; ++e) words[e] = float_to_tf32(__uint_as_float(words[e]));
}

// Of a step of floats whose lines run along i: line k + lane % 4, element first + 8 n + lane / 4, where `first` is a
// multiple of 32. The chunk is that of `chunk_at`, written so that a lane has one of four distances for all n.
template <int WIDTH> __device__ __forceinline__ unsigned word_at(const scalar_t* step, int first, int n, int k) {
    const int lane = threadIdx.x % 32, line = lane % 4;
    return *(const unsigned*)(step + (k + line) * WIDTH + first + n / 4 * 32 + (n % 4 ^ line) * 8 + lane / 4);
}

// Fragment m of A (16 rows from first + 16 m on, TERMS k from k on): lane l brings the address of a row of an 8 x 8
// matrix, those of i before those of k.
template <class T, int WIDTH, bool ALONG_K>
__device__ __forceinline__ void load_a(unsigned (&a)[4], const scalar_t* step, int first, int m, int k) {
    const int lane = threadIdx.x % 32, i = first + m * 16;
    if (ALONG_K) {
        ldmatrix_x4(a, step + T::template chunk_at<WIDTH, true>(i + lane % 16, k / CHUNK + lane / 16));
    } else if (TRANSPOSES) {
        ldmatrix_x4_trans(a, step + T::template chunk_at<WIDTH, false>(k + lane % 8 + lane / 16 * 8, i / CHUNK + lane / 8 % 2));
    } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) a[e] = word_at<WIDTH>(step, first, m * 2 + e % 2, k + e / 2 * 4);
    }
    as_factors(a, (const scalar_t*)nullptr);
}

// Fragments 2 n and 2 n + 1 of B (8 columns each from first + 16 n on, TERMS k from k on): those of k before those of i.
template <class T, int WIDTH, bool ALONG_K>
__device__ __forceinline__ void load_b(unsigned (&b)[4], const scalar_t* step, int first, int n, int k) {
    const int lane = threadIdx.x % 32, i = first + n * 16;
    if (ALONG_K) {
        ldmatrix_x4(b, step + T::template chunk_at<WIDTH, true>(i + lane % 8 + lane / 16 * 8, k / CHUNK + lane / 8 % 2));
    } else if (TRANSPOSES) {
        ldmatrix_x4_trans(b, step + T::template chunk_at<WIDTH, false>(k + lane % 16, i / CHUNK + lane / 16));
    } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) b[e] = word_at<WIDTH>(step, first, n * 2 + e / 2, k + e % 2 * 4);
    }
    as_factors(b, (const scalar_t*)nullptr);
}

__device__ __forceinline__ void multiply_add(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const half_t*) {
    mma_m16n8k16_f16(d, a, b);
}
__device__ __forceinline__ void multiply_add(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const bfloat16_t*) {
    mma_m16n8k16_bf16(d, a, b);
}
__device__ __forceinline__ void multiply_add(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float*) {
    mma_m16n8k8_tf32(d, a, b);
}

// c += A B for one step, which lies in shared memory; the warp's fragments.
template <class T, bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void multiply_step(
    const scalar_t* step_a, const scalar_t* step_b, int row, int column, float (&c)[T::DOWN][T::ACROSS][4]) {
#pragma unroll
    for (int k = 0; k < T::DEPTH; k += TERMS) {
        unsigned a[T::DOWN][4], b[T::ACROSS / 2][4];
#pragma unroll
        for (int m = 0; m < T::DOWN; ++m) load_a<T, T::ROWS, A_ALONG_K>(a[m], step_a, row, m, k);
#pragma unroll
        for (int n = 0; n < T::ACROSS / 2; ++n) load_b<T, T::COLUMNS, B_ALONG_K>(b[n], step_b, column, n, k);
#pragma unroll
        for (int m = 0; m < T::DOWN; ++m)
#pragma unroll
            for (int n = 0; n < T::ACROSS; ++n) {
                const unsigned half[2] = {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]};
                multiply_add(c[m][n], a[m], half, (const scalar_t*)nullptr);
            }
    }
}

// Where C goes, rows x columns in row-major order.
struct Result {
    __device__ __forceinline__ index_t at(int row, int column) const { return (index_t)row * columns + column; }
    __device__ __forceinline__ float bias_at(int row, int column) const { return bias[column]; }

    scalar_t* y;
    float* part;  // null: C is complete. Else this is one part of its sum, and goes here, without bias and activation
    int rows, columns;
    bool pairs;  // whether two neighbours of a row can be written at once
    const scalar_t* bias;  // null: none. One for each column
    int kind;
    float parameter;
    const scalar_t* behind;  // null: nothing. Else a ReLU's results, like y: y is multiplied by its derivative (`pairs`)
};

// f(c + bias), or c itself where it is a part, to where C lies. Fragments of 16 rows at a time go through shared memory,
// where each thread has a word for each of its values: registers have no index, and unrolled the switch over all
// functions would stand there for every value.
template <class T, class To>
__device__ __forceinline__ void write_tile(
    const float (&c)[T::DOWN][T::ACROSS][4], const To& to, int first_row, int first_column, float* words) {
    constexpr int VALUES = T::ACROSS * 4;
    static_assert(VALUES * T::THREADS * 4 <= T::SIZE * sizeof(scalar_t), "a word for each value");
    float* own = words + threadIdx.x;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < T::DOWN; ++m) {
#pragma unroll
        for (int n = 0; n < VALUES; ++n) own[n * T::THREADS] = c[m][n / 4][n % 4];
#pragma unroll 1
        for (int n = 0; n < VALUES; n += 2) {
            const int row = first_row + m * 16 + n / 2 % 2 * 8 + lane / 4;
            const int column = first_column + n / 4 * 8 + lane % 4 * 2, inside = to.columns - column;
            if (row >= to.rows || inside <= 0) continue;
            const index_t at = to.at(row, column);
            if (to.part != nullptr) {
                if (to.pairs) {
                    *(Pair<float>*)(to.part + at) = {{own[n * T::THREADS], own[(n + 1) * T::THREADS]}};
                } else {
                    to.part[at] = own[n * T::THREADS];
                    if (inside > 1) to.part[to.at(row, column + 1)] = own[(n + 1) * T::THREADS];
                }
                continue;
            }
            Pair<scalar_t> y = {};
#pragma unroll 1
            for (int e = 0; e < 2; ++e) {
                float z = own[(n + e) * T::THREADS];
                if (to.bias != nullptr && e < inside) z += to.bias_at(row, column + e);
                own[(n + e) * T::THREADS] = activation(z, to.kind, to.parameter);
            }
            y.v[0] = own[n * T::THREADS];
            y.v[1] = own[(n + 1) * T::THREADS];
            if (to.pairs) {
                *(Pair<scalar_t>*)(to.y + at) = y;
            } else {
                to.y[at] = y.v[0];
                if (inside > 1) to.y[to.at(row, column + 1)] = y.v[1];
            }
        }
    }
}

// The same straight from registers, for functions of one instruction, and rows of whole pairs. BACK: the gradient of the
// function instead, whose results are `to.behind`, of c rounded.
template <int KIND, class T, bool BACK = false, class Y>
__device__ __forceinline__ void write_pairs(
    const float (&c)[T::DOWN][T::ACROSS][4], const Result& to, Y* y, const scalar_t* bias, int first_row,
    int first_column) {
    const int lane = threadIdx.x % 32, column = first_column + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < T::DOWN * 2; ++half) {
        const int row = first_row + half * 8 + lane / 4;
        if (row >= to.rows) continue;
#pragma unroll
        for (int n = 0; n < T::ACROSS; ++n) {
            if (column + n * 8 >= to.columns) continue;
            const index_t at = to.at(row, column + n * 8);
            Pair<Y> pair;
            if constexpr (BACK) pair = *(const Pair<Y>*)(to.behind + at);
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float z = c[half / 2][n][half % 2 * 2 + e];
                if (bias != nullptr) z += bias[column + n * 8 + e];
                if constexpr (BACK) pair.v[e] = activation_gradient(Y(z), pair.v[e], KIND, 0.0f, true);
                else pair.v[e] = activation(z, KIND, 0.0f);
            }
            *(Pair<Y>*)(y + at) = pair;
        }
    }
}

// In the one way or the other. `words` is as for `write_tile`.
template <class T>
__device__ __forceinline__ void write_sums(
    const float (&c)[T::DOWN][T::ACROSS][4], const Result& to, int row, int column, float* words) {
    if (to.behind != nullptr)
        write_pairs<ACTIVATION_RELU, T, true>(c, to, to.y, nullptr, row, column);
    else if (to.pairs && to.part != nullptr)
        write_pairs<ACTIVATION_NONE, T>(c, to, to.part, nullptr, row, column);
    else if (to.pairs && to.kind == ACTIVATION_NONE)
        write_pairs<ACTIVATION_NONE, T>(c, to, to.y, to.bias, row, column);
    else if (to.pairs && to.kind == ACTIVATION_RELU)
        write_pairs<ACTIVATION_RELU, T>(c, to, to.y, to.bias, row, column);
    else
        write_tile<T>(c, to, row, column, words);
}

// The number of tiles of a matrix.
template <class T> __device__ __forceinline__ int tiles_of(int rows, int columns) {
    return (rows + T::ROWS - 1) / T::ROWS * ((columns + T::COLUMNS - 1) / T::COLUMNS);
}

// What a block does for a product: a tile of C, counted row by row, and as its part of the sum the k from blockIdx.y
// part_depth on.
template <class T> struct Work {
    int first_row, first_column;  // of the block
    int row, column;              // of the warp, in the block
    int k_begin, k_end;
    __device__ __forceinline__ Work(int columns, int tile, int depth, int part_depth) {
        const int tiles_across = tiles_of<T>(1, columns), warp = threadIdx.x / 32;
        first_row = tile / tiles_across * T::ROWS, first_column = tile % tiles_across * T::COLUMNS;
        row = warp / T::WARPS_ACROSS * T::WARP_ROWS, column = warp % T::WARPS_ACROSS * T::WARP_COLUMNS;
        k_begin = blockIdx.y * part_depth, k_end = min(depth, k_begin + part_depth);
    }
};

// c += A B for the tile, of operands that `fetch` brings, step by step. `memory` is shared, of T::SIZE elements, and free
// again after the call.
template <class T, bool A_ALONG_K, bool B_ALONG_K, class A, class B>
__device__ __forceinline__ void multiply_tile(
    A& a, B& b, const Work<T>& work, scalar_t* memory, float (&c)[T::DOWN][T::ACROSS][4]) {
    const int steps = (work.k_end - work.k_begin + T::DEPTH - 1) / T::DEPTH;
    scalar_t* memory_b = memory + T::STAGES * T::SIZE_A;
    // The copies of a step that is not there are a group too, so that as many groups are under way in every round.
#pragma unroll
    for (int step = 0; step < T::STAGES - 1; ++step) {
        if (step < steps) {
            const int k = work.k_begin + step * T::DEPTH;
            fetch<T, T::ROWS, A_ALONG_K>(a, work.first_row, k, work.k_end, memory + step * T::SIZE_A);
            fetch<T, T::COLUMNS, B_ALONG_K>(b, work.first_column, k, work.k_end, memory_b + step * T::SIZE_B);
        }
        cp_async_commit();
    }
    int stage = 0, free = T::STAGES - 1;  // the stage that is multiplied, and the one that was before
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<T::STAGES - 2>();
        __syncthreads();
        if (step + T::STAGES - 1 < steps) {
            const int k = work.k_begin + (step + T::STAGES - 1) * T::DEPTH;
            fetch<T, T::ROWS, A_ALONG_K>(a, work.first_row, k, work.k_end, memory + free * T::SIZE_A);
            fetch<T, T::COLUMNS, B_ALONG_K>(b, work.first_column, k, work.k_end, memory_b + free * T::SIZE_B);
        }
        cp_async_commit();
        multiply_step<T, A_ALONG_K, B_ALONG_K>(
            memory + stage * T::SIZE_A, memory_b + stage * T::SIZE_B, work.row, work.column, c);
        free = stage;
        stage = stage + 1 == T::STAGES ? 0 : stage + 1;
    }
    __syncthreads();
}
