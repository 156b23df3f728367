// Activations of each element, y[i] = f(x[i]), and their gradients, dx[i] = dy[i] f'(s[i]); the formulas stand in
// activation.cuh. y may be x, and dx may be dy.
//
// Costs one element read (two in the gradient) and one written; memory is what takes the time.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "elementwise.cuh"

extern "C" __global__ void __launch_bounds__(256) activation_forward(
    const scalar_t* x, scalar_t* y, long long count, int kind, acc_t parameter, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const auto values = map_quad<acc_t>(
            load_quad(x + i, count - i, vector), [=](acc_t v) { return activation(v, kind, parameter); });
        store_quad(y + i, values.v, count - i, vector);
    }
}

// s is y if `from_output`, else x.
extern "C" __global__ void __launch_bounds__(256) activation_backward(
    const scalar_t* dy, const scalar_t* s, scalar_t* dx,
    long long count, int kind, acc_t parameter, bool from_output, bool vector) {
    for (index_t i = first_quad(); i < count; i += quad_stride()) {
        const auto back = [=](acc_t g, acc_t v) { return activation_gradient(g, v, kind, parameter, from_output); };
        const auto values = map_quad<acc_t>(
            load_quad(dy + i, count - i, vector), load_quad(s + i, count - i, vector), back);
        store_quad(dx + i, values.v, count - i, vector);
    }
}
