// One block's tile of a matrix product; matmul_vectorised.cu, linear_forward.cu and linear_backward.cu are made of it.
//
//   C (rows, columns) = A (rows, depth) B (depth, columns)
//
// A block computes ROWS x COLUMNS elements of C, each thread SIDE x SIDE of them in registers. The block goes along the
// axis that is summed over in steps of DEPTH; a step of A and of B lies in shared memory, where each element is read by
// many threads. Per step a thread reads 2 SIDE DEPTH elements from there and does SIDE^2 DEPTH multiplications, so the
// larger the side, the less memory is in the way; but few large tiles do not fill a GPU.
//
// What makes it fast beyond that (after Volkov and Demmel 2008 and the kernels of CUTLASS):
//   - while one step is multiplied, the next one is on its way from global memory into registers (fetch), and goes from
//     there to the other half of shared memory (place): one barrier a step, and nobody waits for memory;
//   - memory is read and written four elements at a time, wherever addresses and sizes allow it;
//   - the threads of a warp lie 4 x 8 on the tile: all 32 read 4 different quads of A and 8 of B, in the fewest passes,
//     and store what they have fetched without conflicts between banks;
//   - the loop knows whole steps only: one that is not comes first.
// What it costs: registers (two blocks have to fit a multiprocessor), and tiles at the edges that compute what is not
// wanted.
//
// Layouts and epilogue are chosen at run time: the branches are the same for all threads, a few in each step.
// The sum of an element goes along k in order, from its first product on, whatever the tile and the layouts.
#pragma once
#include "activation.cuh"
#include "common.cuh"
#include "quad.cuh"

// In shared memory a step of an operand lies as [k][i]. A line along k is stored in runs of RUN neighbours, by a thread
// one after the other: at a time a warp stores one element of each of RUNS runs, of as many lines as it has threads.
// With a gap behind each run all 32 lie in different banks.
template <int R, int C, int S, int D, int N = 4> struct Tile {
    static constexpr int ROWS = R, COLUMNS = C, SIDE = S, DEPTH = D, RUN = N, THREADS = R / S * (C / S);
    static constexpr int SLAB = R * C + R;  // words that a part of a tile and of its sums takes
    // Parts that are read before they are added.
    static constexpr int AHEAD = (S == 8 ? 2 : THREADS == 64 ? 8 : 4) * sizeof(float) / sizeof(acc_t);
    static constexpr int RUNS = D / RUN < 8 ? D / RUN : 8, GAP = 128 / sizeof(acc_t) / RUNS;
    static_assert(R * RUN % 32 == 0 && C * RUN % 32 == 0, "runs begin in the same bank but for the gaps");

    // Where the element i = 0 of k is, of an operand that is WIDTH wide.
    template <int WIDTH> static __device__ __forceinline__ constexpr int word_of(int k) {
        return k * WIDTH + k / RUN * GAP;
    }
    // Where element i of k is.
    template <int WIDTH, bool ALONG_K> static __device__ __forceinline__ int place_of(int i, int k) {
        return word_of<WIDTH>(k) + i;
    }
    static constexpr int WORDS_A = D * R + D / RUN * GAP, WORDS_B = D * C + D / RUN * GAP;
    static constexpr int WORDS = 2 * (WORDS_A + WORDS_B);
};
typedef Tile<128, 128, 8, 8, 1> Large;  // 256 threads
typedef Tile<64, 64, 4, sizeof(acc_t) == 8 ? 16 : 32> Medium;  // 256 threads
typedef Tile<16, 64, 4, sizeof(acc_t) == 8 ? 16 : 32> Small;  // 64 threads

// A or B. Its axis i is the one that the product keeps, its axis k is summed over. Its lines, `pitch` elements apart,
// run along k or along i.
struct Operand {
    const scalar_t* x;
    int size;  // of axis i
    int pitch;
    bool along_k;
    bool vector;  // whether its lines are made of quads that can be read at once
};

// What the elements of A are multiplied by on their way: f' as it follows from f's result y, which lies like A. (Where
// it takes f's argument it takes an exponential, too much to be done again by every block that needs the element.)
struct Slopes {
    const scalar_t* y = nullptr;  // null: nothing
    SlopeOfOutput slope = {ACTIVATION_NONE, 0};
    index_t distance = 0;  // from A to y in memory
};

// An operand step by step, WIDTH x DEPTH elements each: those of this thread, as quads. They have the same position in
// lines that lie `apart`. Where the tile reaches beyond the matrix along i, its last line or element is read in the
// place of what is not there: what comes of it is not written.
template <class T, int WIDTH, bool SLOPES = false> struct Stage {
    static constexpr int OWN = WIDTH * T::DEPTH / 4 / T::THREADS;
    static_assert(OWN * 4 * T::THREADS == WIDTH * T::DEPTH, "every thread has as many quads");
    static_assert(T::THREADS / (WIDTH / 4) % T::RUN == 0, "from each of its lines along i to the next as many words");
    const Operand from;
    const Slopes f;
    const int per_line, apart, line, position;
    const int inside;             // so many elements there are from `position` on
    const index_t step;           // of DEPTH k, in memory
    const int word, words_apart;  // where the quads go in shared memory
    const scalar_t* at[OWN];      // the quads of the next step
    Quad<scalar_t> quads[OWN], slopes[SLOPES ? OWN : 1];

    __device__ __forceinline__ Stage(const Operand& from, const Slopes& f, int first_i, int first_k)
        : from(from), f(f), per_line((from.along_k ? T::DEPTH : WIDTH) / 4), apart(T::THREADS / per_line),
          line(threadIdx.x / per_line), position(threadIdx.x % per_line * 4),
          inside(from.along_k ? 4 : from.size - first_i - position),
          step(from.along_k ? T::DEPTH : (index_t)T::DEPTH * from.pitch),
          word(T::template word_of<WIDTH>(from.along_k ? position : line) + (from.along_k ? line : position)),
          words_apart(from.along_k ? apart : T::template word_of<WIDTH>(apart)) {
        const int first_line = from.along_k ? first_i : first_k, lines = from.along_k ? from.size - first_i : T::DEPTH;
        const scalar_t* first = from.x + (from.along_k ? first_k : first_i) + position;
        if (from.vector) first += min(inside - 4, 0);
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            at[own] = first + (index_t)(first_line + min(line + own * apart, lines - 1)) * from.pitch;
    }

    // The next step from global memory: DEPTH k, or the first `count` ones and zeros.
    template <bool WHOLE> __device__ __forceinline__ void fetch(int count) {
        const int k = from.along_k ? position : line, to_line = from.along_k ? 0 : apart, to_element = from.along_k;
        if (!WHOLE) {
#pragma unroll
            for (int own = 0; own < OWN; ++own) quads[own] = slopes[SLOPES ? own : 0] = {};
        }
        if (from.vector) {
#pragma unroll
            for (int own = 0; own < OWN; ++own) {
                if (!WHOLE && k + own * to_line >= count) continue;
                quads[own] = *(const Quad<scalar_t>*)at[own];
                if (SLOPES && f.y != nullptr) slopes[own] = *(const Quad<scalar_t>*)(at[own] + f.distance);
            }
        } else {
#pragma unroll
            for (int own = 0; own < OWN; ++own)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    if (!WHOLE && k + own * to_line + e * to_element >= count) continue;
                    const scalar_t* element = at[own] + min(e, inside - 1);
                    quads[own].v[e] = *element;
                    if (SLOPES && f.y != nullptr) slopes[own].v[e] = element[f.distance];
                }
        }
        const index_t further = WHOLE ? step : from.along_k ? count : (index_t)count * from.pitch;
#pragma unroll
        for (int own = 0; own < OWN; ++own) at[own] += further;
    }

    // To shared memory, as [k][i]. `sums` are over k, for lines along i.
    __device__ __forceinline__ void place(acc_t* tile, acc_t (&sums)[4]) {
        Quad<acc_t> q[OWN];
#pragma unroll
        for (int n = 0; n < 4 * OWN; ++n) q[n / 4].v[n % 4] = quads[n / 4].v[n % 4];
        if (SLOPES && f.y != nullptr) {
            if (f.slope.curved) {
#pragma unroll
                for (int n = 0; n < 4 * OWN; ++n) q[n / 4].v[n % 4] *= f.slope.curve(slopes[n / 4].v[n % 4]);
            } else {
#pragma unroll
                for (int n = 0; n < 4 * OWN; ++n) {
                    acc_t& v = q[n / 4].v[n % 4];
                    v = f.slope.stepped(v, slopes[n / 4].v[n % 4]);
                }
            }
        }
#pragma unroll
        for (int n = 0; n < 4 * OWN; ++n) sums[n % 4] += q[n / 4].v[n % 4];
        if (from.along_k) {
#pragma unroll
            for (int n = 0; n < 4 * OWN; ++n)
                tile[word + n / 4 * words_apart + T::template word_of<WIDTH>(n % 4)] = q[n / 4].v[n % 4];
        } else {
#pragma unroll
            for (int own = 0; own < OWN; ++own) *(Quad<acc_t>*)&tile[word + own * words_apart] = q[own];
        }
    }
};

// Where in the tile a thread's elements lie: four rows and four columns side by side, and where a side is 8, four more
// half a tile further.
//
// The lanes of a warp lie 4 x 8, and numbered so that neighbours (l and l ^ 1) have the same columns, and lanes two
// apart (l and l ^ 2) the same rows:
//
//    0  2  4  6  8 10 12 14
//    1  3  5  7  9 11 13 15
//   16 18 20 22 24 26 28 30
//   17 19 21 23 25 27 29 31
//
// A warp reads quads from shared memory in two passes where it has such pairs, in four where not (an engineer of
// NVIDIA, forums.developer.nvidia.com/t/77228): so it takes two for A, and two for B. CUTLASS has the same order
// (RowMajorInterleaved<2> in default_mma_core_simt.h).
template <class T> struct Place {
    static constexpr int WARPS_ACROSS = T::COLUMNS / T::SIDE / 8;
    static __device__ __forceinline__ int row_of(int i) {
        const int lane = threadIdx.x % 32;
        const int thread = threadIdx.x / 32 / WARPS_ACROSS * 4 + lane / 16 * 2 + lane % 2;
        return i / 4 * (4 * T::ROWS / T::SIDE) + thread * 4 + i % 4;
    }
    static __device__ __forceinline__ int column_of(int j) {
        const int thread = threadIdx.x / 32 % WARPS_ACROSS * 8 + threadIdx.x % 16 / 2;
        return j / 4 * (4 * T::COLUMNS / T::SIDE) + thread * 4 + j % 4;
    }
};

// c += A B for one step, which lies in shared memory: this thread's rows of A from `tile_a` on, its columns of B from
// `tile_b` on. With a side of 8 a k is 64 multiplications, during which other warps wait for shared memory; unrolled,
// ptxas would read so far ahead that registers spill.
template <class T>
__device__ __forceinline__ void multiply_step(
    const acc_t* tile_a, const acc_t* tile_b, Quad<acc_t> (&c)[T::SIDE][T::SIDE / 4]) {
#pragma unroll T::SIDE == 8 ? 1 : T::DEPTH
    for (int k = 0; k < T::DEPTH; ++k) {
        Quad<acc_t> row[T::SIDE / 4], column[T::SIDE / 4];
#pragma unroll
        for (int q = 0; q < T::SIDE / 4; ++q) {
            row[q] = *(const Quad<acc_t>*)&tile_a[q * (4 * T::ROWS / T::SIDE)];
            column[q] = *(const Quad<acc_t>*)&tile_b[q * (4 * T::COLUMNS / T::SIDE)];
        }
        tile_a += T::template word_of<T::ROWS>(k + 1) - T::template word_of<T::ROWS>(k);
        tile_b += T::template word_of<T::COLUMNS>(k + 1) - T::template word_of<T::COLUMNS>(k);
#pragma unroll
        for (int i = 0; i < T::SIDE; ++i)
#pragma unroll
            for (int q = 0; q < T::SIDE / 4; ++q) add_multiple(c[i][q], row[i / 4].v[i % 4], column[q]);
    }
}

// c = A B for the tile at (first_row, first_column), summed over k_begin <= k < k_end. `words` is shared memory, free
// again after the call. `sums` are those of A's elements that pass through this thread. A step that is not whole comes
// first: so the loop knows only whole ones.
template <class T, bool SLOPES>
__device__ __forceinline__ void multiply_tile(
    const Operand& a, const Operand& b, const Slopes& slopes, int first_row, int first_column, int k_begin, int k_end,
    acc_t* words, Quad<acc_t> (&c)[T::SIDE][T::SIDE / 4], acc_t (&sums)[4]) {
    acc_t unused[4] = {};
    Stage<T, T::ROWS, SLOPES> stage_a(a, slopes, first_row, k_begin);
    Stage<T, T::COLUMNS> stage_b(b, {}, first_column, k_begin);
    const int first = (k_end - k_begin - 1) % T::DEPTH + 1;
    stage_a.template fetch<false>(first);
    stage_b.template fetch<false>(first);
    stage_a.place(words, sums);
    stage_b.place(words + T::WORDS_A, unused);
    __syncthreads();
    const acc_t *tile_a = words + Place<T>::row_of(0), *tile_b = words + T::WORDS_A + Place<T>::column_of(0);
    int to_next = T::WORDS / 2;  // from the half of shared memory that holds the current step to the other one
    for (int left = k_end - k_begin - first;; left -= T::DEPTH) {
        if (left > 0) {
            stage_a.template fetch<true>(T::DEPTH);
            stage_b.template fetch<true>(T::DEPTH);
        }
        multiply_step<T>(tile_a, tile_b, c);
        if (left <= 0) break;
        acc_t* next = words + max(to_next, 0);
        stage_a.place(next, sums);
        stage_b.place(next + T::WORDS_A, unused);
        __syncthreads();
        tile_a += to_next;
        tile_b += to_next;
        to_next = -to_next;
    }
    __syncthreads();
}

// Where C goes, rows x columns in row-major order. Where `transposed`, the block's tile is one of C^T.
//
// The sums may be cut into parts, each of which has a block. Either the last one of a tile's blocks to come adds up the
// parts, which lie in `slabs`, a slab of T::SLAB words for each tile and part; or another launch does, to which each
// block leaves its part of C, without bias and activation, in row-major order in `part`. The order is the same.
struct Result {
    scalar_t* y;
    acc_t* part;  // null: not for another launch
    int rows, columns;
    bool transposed;
    bool vector;  // whether quads of a row can be written at once
    const scalar_t* bias = nullptr;  // null: none. One for each column
    int kind = ACTIVATION_NONE;
    acc_t parameter = 0;
    // null: not wanted. The sums of A over k, one for each row; A's lines have to run along the rows. In parts for
    // another launch they go to `part_of_sums`.
    scalar_t* sums = nullptr;
    acc_t* part_of_sums = nullptr;
    acc_t* slabs = nullptr;
    unsigned* arrived = nullptr;  // null: no slabs. How many of a tile's blocks have come; 0 before and after
    int parts = 1;
};

// Four neighbours of a row of the tile's matrix to where they belong.
__device__ __forceinline__ void write_quad(const acc_t (&values)[4], const Result& to, int row, int column) {
    if (!to.transposed) {
        if (row >= to.rows) return;
        const index_t at = (index_t)row * to.columns + column;
        if (to.part != nullptr) store_quad(to.part + at, values, to.columns - column, to.vector);
        else store_quad(to.y + at, values, to.columns - column, to.vector);
        return;
    }
    if (row >= to.columns) return;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (column + e >= to.rows) break;
        const index_t at = (index_t)(column + e) * to.columns + row;
        if (to.part != nullptr) to.part[at] = values[e];
        else to.y[at] = values[e];
    }
}

// f(c + bias), or c itself where it is a part, to where C lies. Some rows at a time go through shared memory, where
// each thread has a word for each of its values. Registers have no index: there the loop would have to be unrolled, and
// the switch over all functions inlined for every value.
template <class T>
__device__ __forceinline__ void write_tile(
    const Quad<acc_t> (&c)[T::SIDE][T::SIDE / 4], const Result& to, int first_row, int first_column, acc_t* words) {
    constexpr int GROUP = T::SIDE == 8 ? 1 : 4;  // rows at a time
    static_assert(GROUP * T::SIDE * T::THREADS <= T::WORDS, "a word for each value");
    acc_t* own = words + threadIdx.x;
#pragma unroll
    for (int i = 0; i < T::SIDE; i += GROUP) {
#pragma unroll
        for (int n = 0; n < GROUP * T::SIDE; ++n) own[n * T::THREADS] = c[i + n / T::SIDE][n % T::SIDE / 4].v[n % 4];
#pragma unroll 1
        for (int n = 0; n < GROUP * T::SIDE; n += 4) {
            const int row = first_row + Place<T>::row_of(i + n / T::SIDE);
            const int column = first_column + Place<T>::column_of(n % T::SIDE);
            if (to.part == nullptr) {
#pragma unroll 1
                for (int e = 0; e < 4; ++e) {
                    const int index = to.transposed ? row : column + e;
                    acc_t z = own[(n + e) * T::THREADS];
                    if (to.bias != nullptr && index < to.columns) z += to.bias[index];
                    own[(n + e) * T::THREADS] = activation(z, to.kind, to.parameter);
                }
            }
            acc_t values[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) values[e] = own[(n + e) * T::THREADS];
            write_quad(values, to, row, column);
        }
    }
}

// The sums of A over k, of which every thread has those of four rows and some k: the one of row threadIdx.x.
template <class T> __device__ __forceinline__ acc_t sum_of_row(const acc_t (&sums)[4], acc_t* words) {
    constexpr int MEMBERS = T::THREADS / (T::ROWS / 4);
    const int member = threadIdx.x / (T::ROWS / 4), i = threadIdx.x % (T::ROWS / 4) * 4;
#pragma unroll
    for (int e = 0; e < 4; ++e) words[member * T::ROWS + i + e] = sums[e];
    __syncthreads();
    acc_t sum = 0;
    if (threadIdx.x < T::ROWS)
        for (int m = 0; m < MEMBERS; ++m) sum += words[m * T::ROWS + threadIdx.x];
    __syncthreads();  // before `words` is used again
    return sum;
}

// A part to its slab. The thread with this number of the block that comes last reads it again: so each thread has its
// elements together, whatever their place in C.
template <class T>
__device__ __forceinline__ void keep(const Quad<acc_t> (&c)[T::SIDE][T::SIDE / 4], acc_t sum, acc_t* slab) {
    Quad<acc_t>* own = (Quad<acc_t>*)slab + threadIdx.x;
#pragma unroll
    for (int n = 0; n < T::SIDE * T::SIDE / 4; ++n) own[n * T::THREADS] = c[n / (T::SIDE / 4)][n % (T::SIDE / 4)];
    if (threadIdx.x < T::ROWS) slab[T::ROWS * T::COLUMNS + threadIdx.x] = sum;
}

// The parts of a tile, added up in order. Four quads of AHEAD parts are on their way at a time: more would take more
// registers than there are.
template <class T>
__device__ __forceinline__ void add_up(
    const acc_t* slab, int parts, bool has_sums, Quad<acc_t> (&c)[T::SIDE][T::SIDE / 4], acc_t& sum) {
    constexpr int OWN = T::SIDE * T::SIDE / 4, GROUP = 4;
    const Quad<acc_t>* quads = (const Quad<acc_t>*)slab + threadIdx.x;
#pragma unroll
    for (int n = 0; n < OWN; n += GROUP) {
        Quad<acc_t> own[GROUP];
#pragma unroll
        for (int g = 0; g < GROUP; ++g) own[g] = quads[(n + g) * T::THREADS];
#pragma unroll 1
        for (int p = 1; p < parts; p += T::AHEAD) {
            Quad<acc_t> next[T::AHEAD][GROUP];
#pragma unroll
            for (int k = 0; k < T::AHEAD * GROUP; ++k) {
                const index_t part = min(p + k / GROUP, parts - 1);
                next[k / GROUP][k % GROUP] = quads[part * (T::SLAB / 4) + (n + k % GROUP) * T::THREADS];
            }
#pragma unroll
            for (int k = 0; k < T::AHEAD * GROUP * 4; ++k) {
                acc_t& to = own[k / 4 % GROUP].v[k % 4];
                if (p + k / (4 * GROUP) < parts) to += next[k / (4 * GROUP)][k / 4 % GROUP].v[k % 4];
            }
        }
#pragma unroll
        for (int g = 0; g < GROUP; ++g) c[(n + g) / (T::SIDE / 4)][(n + g) % (T::SIDE / 4)] = own[g];
    }
    if (!has_sums || threadIdx.x >= T::ROWS) return;
    const acc_t* sums = slab + T::ROWS * T::COLUMNS + threadIdx.x;
    sum = *sums;
#pragma unroll 4
    for (int p = 1; p < parts; ++p) sum += sums[(index_t)p * T::SLAB];
}

// The number of tiles of a matrix.
template <class T> __device__ __forceinline__ int tiles_of(int rows, int columns) {
    return (rows + T::ROWS - 1) / T::ROWS * ((columns + T::COLUMNS - 1) / T::COLUMNS);
}

// What a block does for a product: a tile of C (of C^T where that is computed), counted row by row, and as its part of
// the sum the k from part part_depth on.
template <class T, bool SLOPES = false>
__device__ __forceinline__ void product(
    const Operand& a, const Operand& b, const Slopes& slopes, const Result& to, int tile, int part, int depth,
    int part_depth, acc_t* words) {
    const int tiles_across = tiles_of<T>(1, b.size);
    const int first_row = tile / tiles_across * T::ROWS, first_column = tile % tiles_across * T::COLUMNS;
    const int k_begin = part * part_depth, k_end = min(depth, k_begin + part_depth);
    Quad<acc_t> c[T::SIDE][T::SIDE / 4] = {};
    acc_t sums[4] = {}, sum = 0;
    multiply_tile<T, SLOPES>(a, b, slopes, first_row, first_column, k_begin, k_end, words, c, sums);
    const bool has_sums = first_column == 0 && to.sums != nullptr;
    if (has_sums) sum = sum_of_row<T>(sums, words);
    if (to.arrived != nullptr) {
        acc_t* slabs = to.slabs + (index_t)tile * to.parts * T::SLAB;
        keep<T>(c, sum, slabs + (index_t)part * T::SLAB);
        if (!comes_last(to.arrived + tile, to.parts)) return;
        add_up<T>(slabs, to.parts, has_sums, c, sum);
    }
    write_tile<T>(c, to, first_row, first_column, words);
    const int row = first_row + threadIdx.x;
    if (!has_sums || threadIdx.x >= T::ROWS || row >= to.rows) return;
    if (to.part_of_sums != nullptr) to.part_of_sums[row] = sum;
    else to.sums[row] = sum;
}
