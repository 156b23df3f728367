// The tile of a matrix product in shared memory, and its operands on their way there, step by step (gemm.cuh).
#pragma once
#include "bring.cuh"
#include "common.cuh"

// In shared memory a step of an operand lies as [k][i]. A line along k is stored in runs of RUN neighbours, by a thread
// one after the other: at a time a warp stores one element of each of RUNS runs, of as many lines as it has threads.
// With a gap behind each run all 32 lie in different banks.
//
// A thread computes DOWN x ACROSS elements. Of a step, as many k are unrolled as there are registers for: unrolled, they
// are read ahead.
template <int R, int C, int I, int J, int D, int N = 1, int U = D> struct Tile {
    static constexpr int ROWS = R, COLUMNS = C, DOWN = I, ACROSS = J, THREADS = R / I * (C / J);
    static constexpr int DEPTH = D, RUN = N, UNROLLED = U;
    static constexpr int SLAB = R * C + R;  // words that a part of a tile and of its sums takes
    // Parts that are read before they are added.
    static constexpr int AHEAD = (I * J == 64 ? 2 : THREADS == 64 ? 8 : 4) * sizeof(float) / sizeof(acc_t);
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
    static constexpr int WARPS_ACROSS = T::COLUMNS / T::ACROSS / 8;
    static __device__ __forceinline__ int row_of(int i) {
        const int lane = threadIdx.x % 32;
        const int thread = threadIdx.x / 32 / WARPS_ACROSS * 4 + lane / 16 * 2 + lane % 2;
        return i / 4 * (4 * T::ROWS / T::DOWN) + thread * 4 + i % 4;
    }
    static __device__ __forceinline__ int column_of(int j) {
        const int thread = threadIdx.x / 32 % WARPS_ACROSS * 8 + threadIdx.x % 16 / 2;
        return j / 4 * (4 * T::COLUMNS / T::ACROSS) + thread * 4 + j % 4;
    }
};

// A or B. Its axis i is the one that the product keeps, its axis k is summed over. Its lines, `pitch` elements apart,
// run along k or along i.
struct Operand {
    const scalar_t* x;
    int size;  // of axis i
    int pitch;
    bool along_k;
    bool vector;  // whether its lines are made of quads that can be read at once
};

// An operand step by step, WIDTH x DEPTH elements each, of which a thread has OWN quads. Those of lines along i are
// copied to shared memory at once (fetch), or element by element where addresses do not allow it. Those of lines along k
// have to be turned: they come into registers (fetch), and go from there to shared memory (place).
//
// Where runs are of one element, those of lines along k are copied too, one by one: a warp takes eight neighbours, a
// sector of memory, of four lines. That takes no registers, but four times as many accesses.
//
// Where the tile reaches beyond the matrix along i, something else is read in the place of what is not there, or zeros:
// what comes of it is not written.
template <class T, int WIDTH> struct Stage {
    static constexpr int OWN = WIDTH * T::DEPTH / 4 / T::THREADS, LINES = 4 * T::THREADS / WIDTH;
    static constexpr int POINTERS = T::RUN == 1 ? WIDTH * 8 / T::THREADS : OWN, EIGHTHS = T::DEPTH / 8;
    static_assert(OWN * 4 * T::THREADS == WIDTH * T::DEPTH && POINTERS >= OWN, "every thread has as many quads");
    static_assert(LINES % T::RUN == 0, "from each of its lines along i to the next as many words");
    const Operand from;
    const int per_line, apart, line, position;  // of the thread's first element or quad; lines to the next one
    const int beyond;                           // along i, how many elements there are behind its first one
    const scalar_t* at[POINTERS];               // those of the next step
    Quad<scalar_t> quads[OWN];

    __device__ __forceinline__ Stage(const Operand& from, int first_i, int first_k)
        : from(from), per_line(from.along_k ? T::RUN == 1 ? 8 : T::DEPTH / 4 : WIDTH / 4), apart(T::THREADS / per_line),
          line(threadIdx.x / per_line), position(threadIdx.x % per_line * (from.along_k && T::RUN == 1 ? 1 : 4)),
          beyond(from.size - first_i - 1 - position) {
        const scalar_t* first = from.x + (from.along_k ? first_k : first_i + min(beyond - 3, 0)) + position;
        if (!from.along_k && !from.vector) first = from.x + first_i + position;
#pragma unroll
        for (int n = 0; n < POINTERS; ++n) {
            const int to = line + n * apart;
            at[n] = first + (index_t)(from.along_k ? min(first_i + to, from.size - 1) : first_k + to) * from.pitch;
        }
    }

    // The next DEPTH k, or the first `count` ones and zeros.
    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t* tile) {
        const int step = WHOLE ? T::DEPTH : count;
        if (from.along_k) {
            along_k<WHOLE>(count, tile);
#pragma unroll
            for (int n = 0; n < POINTERS; ++n) at[n] += step;
        } else {
            along_i<WHOLE>(count, tile);
#pragma unroll
            for (int n = 0; n < OWN; ++n) at[n] += (index_t)step * from.pitch;
        }
    }

    // What has been fetched into registers to shared memory, as [k][i].
    __device__ __forceinline__ void place(acc_t* tile) const {
        if (T::RUN == 1 || !from.along_k) return;
        acc_t* to = tile + T::template word_of<WIDTH>(position) + line;
#pragma unroll
        for (int n = 0; n < 4 * OWN; ++n)
            to[n / 4 * apart + T::template word_of<WIDTH>(n % 4)] = quads[n / 4].v[n % 4];
    }

    template <bool WHOLE> __device__ __forceinline__ void along_k(int count, acc_t* tile) {
        if constexpr (T::RUN == 1) {
            acc_t* to = tile + T::template word_of<WIDTH>(position) + line;
#pragma unroll
            for (int n = 0; n < POINTERS * EIGHTHS; ++n) {
                const int own = n / EIGHTHS, k = n % EIGHTHS * 8;
                bring(to + own * apart + T::template word_of<WIDTH>(k), at[own] + k, WHOLE || position + k < count);
            }
        } else if (from.vector) {
#pragma unroll
            for (int own = 0; own < OWN; ++own) {
                if (!WHOLE) quads[own] = {};
                if (WHOLE || position < count) quads[own] = *(const Quad<scalar_t>*)at[own];
            }
        } else {
#pragma unroll
            for (int n = 0; n < 4 * OWN; ++n)
                quads[n / 4].v[n % 4] = WHOLE || position + n % 4 < count ? at[n / 4][n % 4] : scalar_t(0);
        }
    }

    template <bool WHOLE> __device__ __forceinline__ void along_i(int count, acc_t* tile) {
        acc_t* to = tile + T::template word_of<WIDTH>(line) + position;
        if (from.vector) {
#pragma unroll
            for (int n = 0; n < OWN; ++n)
                bring_quad(to + T::template word_of<WIDTH>(n * LINES), at[n], WHOLE || line + n * LINES < count);
        } else {
#pragma unroll
            for (int n = 0; n < 4 * OWN; ++n)
                bring(to + T::template word_of<WIDTH>(n / 4 * LINES) + n % 4, at[n / 4] + n % 4,
                      n % 4 <= beyond && (WHOLE || line + n / 4 * LINES < count));
        }
    }
};
