// One block's tile of a matrix product; matmul_vectorised.cu, linear_forward.cu and linear_backward.cu are made of it.
//
//   C (rows, columns) = A (rows, depth) B (depth, columns)
//
// A block computes ROWS x COLUMNS elements of C, each thread DOWN x ACROSS of them in registers. The block goes along the
// axis that is summed over in steps of DEPTH; a step of A and of B lies in shared memory, where each element is read by
// many threads. For each k a thread reads DOWN + ACROSS elements from there and does DOWN ACROSS multiplications, so the
// larger the sides, the less memory is in the way; but few large tiles do not fill a GPU.
//
// What makes it fast beyond that (after Volkov and Demmel 2008 and the kernels of CUTLASS):
//   - while one step is multiplied, the next one is on its way (fetch), past the registers where it need not be turned,
//     to the other half of shared memory: one barrier a step, and nobody waits for memory;
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
#include "tile.cuh"

// Halves are converted on their way, which takes registers: so fewer k are unrolled.
constexpr bool HALVES = sizeof(scalar_t) == 2;
constexpr int UNROLLED = HALVES ? 2 : sizeof(acc_t) == 8 ? 4 : 32;
typedef Tile<128, 128, 8, 8, HALVES || sizeof(acc_t) == 8 ? 8 : 16, HALVES ? 4 : 1, UNROLLED> Large;  // 256 threads
typedef Tile<64, 64, 8, 4, sizeof(acc_t) == 8 ? 16 : 32, 4, UNROLLED> Medium;                         // 128 threads
typedef Tile<16, 64, 4, 4, sizeof(acc_t) == 8 ? 16 : 32, 4, UNROLLED> Small;                          // 64 threads

// c += A B for one step, which lies in shared memory: this thread's rows of A from `tile_a` on, its columns of B from
// `tile_b` on.
template <class T>
__device__ __forceinline__ void multiply_step(
    const acc_t* tile_a, const acc_t* tile_b, Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4]) {
#pragma unroll T::UNROLLED
    for (int k = 0; k < T::DEPTH; ++k) {
        Quad<acc_t> row[T::DOWN / 4], column[T::ACROSS / 4];
#pragma unroll
        for (int q = 0; q < T::DOWN / 4; ++q)
            row[q] = *(const Quad<acc_t>*)&tile_a[T::template word_of<T::ROWS>(k) + q * (4 * T::ROWS / T::DOWN)];
#pragma unroll
        for (int q = 0; q < T::ACROSS / 4; ++q)
            column[q] = *(const Quad<acc_t>*)&tile_b[T::template word_of<T::COLUMNS>(k) + q * (4 * T::COLUMNS / T::ACROSS)];
#pragma unroll
        for (int i = 0; i < T::DOWN; ++i)
#pragma unroll
            for (int q = 0; q < T::ACROSS / 4; ++q) add_multiple(c[i][q], row[i / 4].v[i % 4], column[q]);
    }
}

// The sums of A over k: of each row some threads have some k of each step.
template <class T> __device__ __forceinline__ void add_to_sum(const acc_t* tile_a, acc_t& sum) {
    constexpr int MEMBERS = T::THREADS / T::ROWS, SHARE = T::DEPTH / MEMBERS;
    static_assert(SHARE % T::RUN == 0, "the same distances for all members");
    tile_a += T::template word_of<T::ROWS>(threadIdx.x / T::ROWS * SHARE) + threadIdx.x % T::ROWS;
#pragma unroll 2
    for (int k = 0; k < SHARE; ++k) sum += tile_a[T::template word_of<T::ROWS>(k)];
}

// That of row threadIdx.x.
template <class T> __device__ __forceinline__ acc_t sum_of_row(acc_t sum, acc_t* words) {
    words[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < T::ROWS)
        for (int member = 1; member < T::THREADS / T::ROWS; ++member) sum += words[member * T::ROWS + threadIdx.x];
    __syncthreads();  // before `words` is used again
    return sum;
}

// c = A B over `depth` k, of operands that come step by step (`Stage`). `words` is shared memory, free again after the
// call. Where they are wanted, the sums of A's rows are left among threads, for `sum_of_row`.
//
// A step that is not whole comes first: so the loop knows only whole ones. The last one has no part in it: with an `if`
// around the copies of the next step, the compiler moves the multiplications before them, and every step waits.
template <class T, class A, class B>
__device__ __forceinline__ void multiply_stages(
    A& stage_a, B& stage_b, int depth, bool sums, acc_t* words, Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], acc_t& sum) {
    const int first = (depth - 1) % T::DEPTH + 1;
    stage_a.template fetch<false>(first, words);
    stage_b.template fetch<false>(first, words + T::WORDS_A);
    cp_async_commit();
    stage_a.place(words);
    stage_b.place(words + T::WORDS_A);
    acc_t *own = words, *next = words + T::WORDS / 2;  // the half of shared memory that has the current step
    const auto multiply = [&] {
        if (sums) add_to_sum<T>(own, sum);
        multiply_step<T>(own + Place<T>::row_of(0), own + T::WORDS_A + Place<T>::column_of(0), c);
    };
    for (int left = depth - first; left > 0; left -= T::DEPTH) {
        cp_async_wait<0>();
        __syncthreads();
        stage_a.template fetch<true>(T::DEPTH, next);
        stage_b.template fetch<true>(T::DEPTH, next + T::WORDS_A);
        cp_async_commit();
        multiply();
        stage_a.place(next);
        stage_b.place(next + T::WORDS_A);
        acc_t* done = own;
        own = next;
        next = done;
    }
    cp_async_wait<0>();
    __syncthreads();
    multiply();
    __syncthreads();
}

// c = A B for the tile at (first_row, first_column), summed over k_begin <= k < k_end.
template <class T>
__device__ __forceinline__ void multiply_tile(
    const Operand& a, const Operand& b, int first_row, int first_column, int k_begin, int k_end, bool sums,
    acc_t* words, Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], acc_t& sum) {
    Stage<T, T::ROWS> stage_a(a, first_row, k_begin);
    Stage<T, T::COLUMNS> stage_b(b, first_column, k_begin);
    multiply_stages<T>(stage_a, stage_b, k_end - k_begin, sums, words, c, sum);
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
    const scalar_t* added = nullptr;  // null: nothing. Of the shape of C, and not where C is in parts for another launch
    // null: not wanted. The sums of A over k, one for each row; A's lines have to run along the rows. In parts for
    // another launch they go to `part_of_sums`.
    scalar_t* sums = nullptr;
    acc_t* part_of_sums = nullptr;
    // null: not wanted. C is multiplied by f' as it follows from f's result, which lies as C does.
    const scalar_t* activated = nullptr;
    SlopeOfOutput slope = {ACTIVATION_NONE, 0};
    // null: C itself is written. Else each element goes to that of the 2 x 2 of its window that was chosen, zeros to the
    // others (max_pool_slope.cu): a row of C is rows of windows, `windows_across` each.
    const unsigned char* chosen = nullptr;
    int windows_across = 1;
    acc_t* slabs = nullptr;
    unsigned* arrived = nullptr;  // null: no slabs. How many of a tile's blocks have come; 0 before and after
    int parts = 1;
};

// What four windows have chosen, a byte each. Beyond the last row and column nothing is read.
__device__ __forceinline__ int chosen_of_quad(const Result& to, int row, int column) {
    Quad<unsigned char> four = {};
    if (row < to.rows)
        four = load_quad(to.chosen + (index_t)row * to.columns + column, to.columns - column, to.vector);
    return *(int*)&four;
}

// Four neighbours of a row of C to their windows.
__device__ __forceinline__ void write_windows(
    const acc_t (&values)[4], int chosen, const Result& to, int row, int column) {
    if (row >= to.rows) return;
    const index_t at = (index_t)row * to.columns + column;
    const int across = to.windows_across;
    const index_t line = quotient(at, across);
    int left = across - int(at - line * across);  // windows of the line
    Pair<scalar_t>* upper = (Pair<scalar_t>*)to.y + (at + line * across);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (column + e >= to.columns) break;
        const int number = chosen >> 8 * e & 255;
        const scalar_t value = values[e], zero = acc_t(0);
        upper[0] = {number == 0 ? value : zero, number == 1 ? value : zero};
        upper[across] = {number == 2 ? value : zero, number == 3 ? value : zero};
        upper += --left == 0 ? across + 1 : 1;
        if (left == 0) left = across;
    }
}

// Four neighbours of a row of the tile's matrix to where they belong.
__device__ __forceinline__ void write_quad(const acc_t (&values)[4], const Result& to, int row, int column) {
    if (!to.transposed) {
        if (row >= to.rows) return;
        const index_t at = (index_t)row * to.columns + column;
        if (to.part != nullptr) store_quad(to.part + at, values, to.columns - column, to.vector);
        else if (to.added == nullptr) store_quad(to.y + at, values, to.columns - column, to.vector);
        else {
            const Quad<scalar_t> added = load_quad(to.added + at, to.columns - column, to.vector);
            acc_t sums[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) sums[e] = acc_t(scalar_t(values[e])) + acc_t(added.v[e]);
            store_quad(to.y + at, sums, to.columns - column, to.vector);
        }
        return;
    }
    if (row >= to.columns) return;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (column + e >= to.rows) break;
        const index_t at = (index_t)(column + e) * to.columns + row;
        if (to.part != nullptr) to.part[at] = values[e];
        else if (to.added == nullptr) to.y[at] = values[e];
        else to.y[at] = acc_t(scalar_t(values[e])) + acc_t(to.added[at]);
    }
}

// c + bias, and a ReLU of that. All biases are read before the first is used; in a loop over the values, which is not
// unrolled, or behind a branch, each value would wait for its own.
template <class T>
__device__ __forceinline__ void add_bias(
    Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Result& to, int first_row, int first_column) {
    if (to.bias != nullptr) {
        constexpr int COUNT = T::DOWN > T::ACROSS ? T::DOWN : T::ACROSS;
        acc_t bias[COUNT];
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            const int index = to.transposed ? first_row + Place<T>::row_of(n) : first_column + Place<T>::column_of(n);
            bias[n] = to.bias[min(index, to.columns - 1)];  // beyond the last column nothing is written
        }
#pragma unroll
        for (int n = 0; n < T::DOWN * T::ACROSS; ++n) {
            const int i = n / T::ACROSS, j = n % T::ACROSS;
            c[i][j / 4].v[j % 4] += to.transposed ? bias[i] : bias[j];
        }
    }
    if (to.kind != ACTIVATION_RELU) return;
#pragma unroll
    for (int n = 0; n < T::DOWN * T::ACROSS; ++n) {
        acc_t& z = c[n / T::ACROSS][n % T::ACROSS / 4].v[n % 4];
        z = activation(z, ACTIVATION_RELU, to.parameter);
    }
}

// c o f', of what is written in row-major order. Four quads are on their way at a time.
template <class T>
__device__ __forceinline__ void multiply_by_slopes(
    Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Result& to, int first_row, int first_column) {
    constexpr int PER_ROW = T::ACROSS / 4, AT_ONCE = 4;
#pragma unroll
    for (int first = 0; first < T::DOWN * PER_ROW; first += AT_ONCE) {
        Quad<scalar_t> y[AT_ONCE];
#pragma unroll
        for (int n = 0; n < AT_ONCE; ++n) {
            const int row = first_row + Place<T>::row_of((first + n) / PER_ROW);
            const int column = first_column + Place<T>::column_of((first + n) % PER_ROW * 4);
            const index_t at = (index_t)row * to.columns + column;
            y[n] = load_quad(to.activated + at, row < to.rows ? to.columns - column : 0, to.vector);
        }
#pragma unroll
        for (int n = 0; n < 4 * AT_ONCE; ++n) {
            const int q = first + n / 4;
            acc_t& dy = c[q / PER_ROW][q % PER_ROW].v[n % 4];
            dy = to.slope.times(dy, y[n / 4].v[n % 4]);
        }
    }
}

// What nothing more is done to, by quads, straight from registers.
template <class T>
__device__ __forceinline__ void write_quads(
    const Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Result& to, int first_row, int first_column) {
    const int column = first_column + Place<T>::column_of(0);
    scalar_t* line = to.y + (index_t)(first_row + Place<T>::row_of(0)) * to.columns + column;
#pragma unroll
    for (int i = 0; i < T::DOWN; ++i) {
        const int below = Place<T>::row_of(i) - Place<T>::row_of(0);
        if (first_row + Place<T>::row_of(i) >= to.rows) return;
#pragma unroll
        for (int q = 0; q < T::ACROSS / 4; ++q) {
            const int right = Place<T>::column_of(4 * q) - Place<T>::column_of(0);
            store_quad(line + (index_t)below * to.columns + right, c[i][q].v, to.columns - column - right, true);
        }
    }
}

// f(c + bias), c f', or c itself where it is a part, to where C lies. What takes more than a store goes through shared
// memory, some rows at a time, where each thread has a word for each of its values. Registers have no index: there the
// loop would have to be unrolled, and the switch over all functions inlined for every value.
template <class T, bool SPREADS = false>
__device__ __forceinline__ void write_tile(
    Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], const Result& to, int first_row, int first_column, acc_t* words) {
    constexpr int GROUP = T::ACROSS == 8 ? 1 : 4;  // rows at a time
    static_assert(GROUP * (T::ACROSS + SPREADS * T::ACROSS / 4) * T::THREADS <= T::WORDS, "a word for each value");
    if (to.part == nullptr) add_bias<T>(c, to, first_row, first_column);
    if (to.part == nullptr && to.activated != nullptr) multiply_by_slopes<T>(c, to, first_row, first_column);
    const bool curved = to.part == nullptr && to.kind != ACTIVATION_NONE && to.kind != ACTIVATION_RELU;
    const bool spread = SPREADS && to.part == nullptr && to.chosen != nullptr;
    if (!curved && !spread && to.vector && !to.transposed && to.part == nullptr && to.added == nullptr) {
        write_quads<T>(c, to, first_row, first_column);
        return;
    }
    acc_t* own = words + threadIdx.x;
    int* chosen = (int*)(words + GROUP * T::ACROSS * T::THREADS) + threadIdx.x;
#pragma unroll
    for (int i = 0; i < T::DOWN; i += GROUP) {
        const auto row_of = [&](int n) { return first_row + Place<T>::row_of(i + n / T::ACROSS); };
        const auto column_of = [&](int n) { return first_column + Place<T>::column_of(n % T::ACROSS); };
#pragma unroll
        for (int n = 0; n < (spread ? GROUP * T::ACROSS : 0); n += 4)
            chosen[n / 4 * T::THREADS] = chosen_of_quad(to, row_of(n), column_of(n));
#pragma unroll
        for (int n = 0; n < GROUP * T::ACROSS; ++n) own[n * T::THREADS] = c[i + n / T::ACROSS][n % T::ACROSS / 4].v[n % 4];
#pragma unroll 1
        for (int n = 0; n < GROUP * T::ACROSS; n += 4) {
#pragma unroll 1
            for (int e = 0; e < (curved ? 4 : 0); ++e) {
                acc_t* z = &own[(n + e) * T::THREADS];
                *z = activation(*z, to.kind, to.parameter);
            }
            acc_t values[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) values[e] = own[(n + e) * T::THREADS];
            if (spread) write_windows(values, chosen[n / 4 * T::THREADS], to, row_of(n), column_of(n));
            else write_quad(values, to, row_of(n), column_of(n));
        }
    }
}

// A part to its slab. The thread with this number of the block that comes last reads it again: so each thread has its
// elements together, whatever their place in C.
template <class T>
__device__ __forceinline__ void keep(const Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], acc_t sum, acc_t* slab) {
    Quad<acc_t>* own = (Quad<acc_t>*)slab + threadIdx.x;
#pragma unroll
    for (int n = 0; n < T::DOWN * T::ACROSS / 4; ++n) own[n * T::THREADS] = c[n / (T::ACROSS / 4)][n % (T::ACROSS / 4)];
    if (threadIdx.x < T::ROWS) slab[T::ROWS * T::COLUMNS + threadIdx.x] = sum;
}

// The parts of a tile, added up in order. Four quads of AHEAD parts are on their way at a time: more would take more
// registers than there are.
template <class T>
__device__ __forceinline__ void add_up(
    const acc_t* slab, int parts, bool has_sums, Quad<acc_t> (&c)[T::DOWN][T::ACROSS / 4], acc_t& sum) {
    constexpr int OWN = T::DOWN * T::ACROSS / 4, GROUP = 4;
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
        for (int g = 0; g < GROUP; ++g) c[(n + g) / (T::ACROSS / 4)][(n + g) % (T::ACROSS / 4)] = own[g];
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
template <class T, bool SPREADS = false>
__device__ __forceinline__ void product(
    const Operand& a, const Operand& b, const Result& to, int tile, int part, int depth, int part_depth, acc_t* words) {
    const int tiles_across = tiles_of<T>(1, b.size);
    const int first_row = tile / tiles_across * T::ROWS, first_column = tile % tiles_across * T::COLUMNS;
    const int k_begin = part * part_depth, k_end = min(depth, k_begin + part_depth);
    const bool has_sums = first_column == 0 && to.sums != nullptr;
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    acc_t sum = 0;
    multiply_tile<T>(a, b, first_row, first_column, k_begin, k_end, has_sums, words, c, sum);
    if (has_sums) sum = sum_of_row<T>(sum, words);
    if (to.arrived != nullptr) {
        acc_t* slabs = to.slabs + (index_t)tile * to.parts * T::SLAB;
        keep<T>(c, sum, slabs + (index_t)part * T::SLAB);
        if (!comes_last(to.arrived + tile, to.parts)) return;
        add_up<T>(slabs, to.parts, has_sums, c, sum);
    }
    write_tile<T, SPREADS>(c, to, first_row, first_column, words);
    const int row = first_row + threadIdx.x;
    if (!has_sums || threadIdx.x >= T::ROWS || row >= to.rows) return;
    if (to.part_of_sums != nullptr) to.part_of_sums[row] = sum;
    else to.sums[row] = sum;
}
