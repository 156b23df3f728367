// A choice: z[i] = condition[i] ? x[i] : y[i]. x or y may be a number. What an element is does not matter, only its
// size.
//
// Both elements are read and one is written: no thread branches.
//
// compiled for element_t = uint8, int16, int32, int64
#include "elementwise.cuh"

__device__ __forceinline__ Quad<element_t> chosen(
    const Quad<bool>& c, const Quad<element_t>& x, const Quad<element_t>& y) {
    Quad<element_t> z;
#pragma unroll
    for (int e = 0; e < 4; ++e) z.v[e] = c.v[e] ? x.v[e] : y.v[e];
    return z;
}

// All of the result's shape, without gaps. z may be x.
extern "C" __global__ void __launch_bounds__(256) where(
    const bool* condition,
    const element_t* x,  // null: x_number
    const element_t* y,  // null: y_number
    element_t x_number, element_t y_number,
    element_t* z, long long count, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const index_t left = count - i;
        const auto a = x == nullptr ? four_times(x_number) : load_quad(x + i, left, vector);
        const auto b = y == nullptr ? four_times(y_number) : load_quad(y + i, left, vector);
        store_quad(z + i, chosen(load_quad(condition + i, left, vector), a, b).v, left, vector);
    }
}

// With strides or broadcast, by rows; see elementwise.cuh. z may be x where that has no gaps.
extern "C" __global__ void __launch_bounds__(256) where_rows(
    const bool* condition, long long condition_start, Layout condition_rows, long long condition_step,
    const element_t* x,  // null: x_number
    long long x_start, Layout x_rows, long long x_step,
    const element_t* y,  // null: y_number
    long long y_start, Layout y_rows, long long y_step,
    element_t x_number, element_t y_number,
    element_t* z, long long rows, long long columns, bool vector) {
    for (index_t row = first_row(); row < rows; row += row_stride()) {
        const bool* condition_row = condition + condition_start + offset_of(condition_rows, row);
        const element_t* x_row = x + x_start + offset_of(x_rows, row);
        const element_t* y_row = y + y_start + offset_of(y_rows, row);
        for (index_t i = first_quad(); i < columns; i += quad_stride()) {
            const auto c = load_columns(condition_row, condition_step, i, columns, vector);
            const auto a = x == nullptr ? four_times(x_number) : load_columns(x_row, x_step, i, columns, vector);
            const auto b = y == nullptr ? four_times(y_number) : load_columns(y_row, y_step, i, columns, vector);
            store_quad(z + row * columns + i, chosen(c, a, b).v, columns - i, vector);
        }
    }
}
