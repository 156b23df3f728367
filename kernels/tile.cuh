// The tile of a matrix product in shared memory, and its operands on their way there, step by step (gemm.cuh).
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
