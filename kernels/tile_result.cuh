// Where the tile of a matrix product goes (gemm.cuh): with a bias, an activation or the slope of one, to memory.
#pragma once
#include "activation.cuh"
#include "tile.cuh"

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
