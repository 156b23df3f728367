// Functions of two elements: z[i] = f(x[i], y[i]). One of x and y may be a number.
//
// Costs one element read of each operand and one written; memory is what takes the time.
//
// compiled for scalar_t = uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, bool
#include "elementwise.cuh"
#include "functions.cuh"

// Operands of the result's shape, without gaps. Half precision meets a number in float32: it is not rounded first.
extern "C" __global__ void __launch_bounds__(256) binary(
    const scalar_t* x,  // null: x_number
    const scalar_t* y,  // null: y_number
    acc_t x_number, acc_t y_number,
    scalar_t* z, long long count, int function, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const index_t left = count - i;
        const auto a = x == nullptr ? four_times(x_number) : converted<acc_t>(load_quad(x + i, left, vector));
        const auto b = y == nullptr ? four_times(y_number) : converted<acc_t>(load_quad(y + i, left, vector));
        const auto values = map_quad<acc_t>(a, b, [=](acc_t v, acc_t w) { return binary_function(v, w, function); });
        store_quad(z + i, values.v, left, vector);
    }
}

// Operands with strides or broadcast, by rows; see elementwise.cuh.
extern "C" __global__ void __launch_bounds__(256) binary_rows(
    const scalar_t* x,  // null: x_number
    long long x_start, Layout x_rows, long long x_step,
    const scalar_t* y,  // null: y_number
    long long y_start, Layout y_rows, long long y_step,
    acc_t x_number, acc_t y_number,
    scalar_t* z, long long rows, long long columns, int function, bool vector) {
    for (index_t row = first_row(); row < rows; row += row_stride()) {
        const scalar_t* x_row = x + x_start + offset_of(x_rows, row);
        const scalar_t* y_row = y + y_start + offset_of(y_rows, row);
        for (index_t i = first_quad(); i < columns; i += quad_stride()) {
            const auto a = x == nullptr ? four_times(x_number)
                                        : converted<acc_t>(load_columns(x_row, x_step, i, columns, vector));
            const auto b = y == nullptr ? four_times(y_number)
                                        : converted<acc_t>(load_columns(y_row, y_step, i, columns, vector));
            const auto values =
                map_quad<acc_t>(a, b, [=](acc_t v, acc_t w) { return binary_function(v, w, function); });
            store_quad(z + row * columns + i, values.v, columns - i, vector);
        }
    }
}
