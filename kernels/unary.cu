// Functions of each element: y[i] = f(x[i]). y may be x.
//
// Costs one element read and one written; for all but the slowest functions in float64 memory is what takes the time.
//
// compiled for scalar_t = uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, bool
#include "elementwise.cuh"
#include "functions.cuh"

extern "C" __global__ void __launch_bounds__(256) unary(
    const scalar_t* x, scalar_t* y, long long count, int function, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const Quad<acc_t> values = map_quad<acc_t>(
            load_quad(x + i, count - i, vector), [=](acc_t v) { return unary_function(v, function); });
        store_quad(y + i, values.v, count - i, vector);
    }
}

// y[i] = min(max(x[i], low), high); NaN stays NaN.
extern "C" __global__ void __launch_bounds__(256) clip(
    const scalar_t* x, scalar_t* y, long long count, acc_t low, acc_t high, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const Quad<acc_t> values = map_quad<acc_t>(load_quad(x + i, count - i, vector), [=](acc_t v) {
            return binary_function(binary_function(v, low, MAXIMUM), high, MINIMUM);
        });
        store_quad(y + i, values.v, count - i, vector);
    }
}
