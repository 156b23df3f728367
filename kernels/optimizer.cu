// Optimizer updates on flat arenas: all parameters of a network in one array, their gradients and moments in others of
// the same length, and one launch for all. In place; one thread an element. The formulas are PyTorch's.
//
// What depends on the step alone is computed on the host in float64 and passed in: in float32, 1 - beta would be wrong
// in the fifth digit (1.0f - 0.999f is 0.00099998713).
#include "common.cuh"

// g = gradient + weight_decay * p;  p -= lr * g
extern "C" __global__ void sgd_step(
    float* __restrict__ parameter,
    const float* __restrict__ gradient,
    long long count, float lr, float weight_decay) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const float p = parameter[i];
        const float g = fmaf(weight_decay, p, gradient[i]);
        parameter[i] = fmaf(-lr, g, p);
    }
}

// g = gradient + weight_decay * p
// buffer = momentum * buffer + gradient_weight * g
// p -= lr * (nesterov ? g + momentum * buffer : buffer)
//
// gradient_weight is 1 - dampening, but 1 at the first step, where the buffer is 0: PyTorch starts it with g itself.
extern "C" __global__ void sgd_momentum_step(
    float* __restrict__ parameter,
    const float* __restrict__ gradient,
    float* __restrict__ buffer,
    long long count, float lr, float momentum, float gradient_weight, int nesterov, float weight_decay) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const float p = parameter[i];
        const float g = fmaf(weight_decay, p, gradient[i]);
        const float b = fmaf(momentum, buffer[i], gradient_weight * g);
        buffer[i] = b;
        parameter[i] = fmaf(-lr, nesterov ? fmaf(momentum, b, g) : b, p);
    }
}

// Adam (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019, algorithm 2), at step t:
//
// p *= shrink                            AdamW: 1 - lr * weight_decay.  Adam: 1
// g = gradient + l2 * p                  AdamW: 0.                      Adam: weight_decay
// m = m + one_minus_beta1 * (g - m)
// v = beta2 * v + one_minus_beta2 * g^2
// p -= step_size * m / (sqrt(v) / root_correction + epsilon)
//
// step_size is lr / (1 - beta1^t); root_correction is sqrt(1 - beta2^t).
extern "C" __global__ void adam_step(
    float* __restrict__ parameter,
    const float* __restrict__ gradient,
    float* __restrict__ first_moment,
    float* __restrict__ second_moment,
    long long count, float one_minus_beta1, float beta2, float one_minus_beta2, float epsilon,
    float step_size, float root_correction, float l2, float shrink) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const float p = parameter[i] * shrink;
        const float g = fmaf(l2, p, gradient[i]);
        const float m = fmaf(one_minus_beta1, g - first_moment[i], first_moment[i]);
        const float v = fmaf(beta2, second_moment[i], one_minus_beta2 * g * g);
        first_moment[i] = m;
        second_moment[i] = v;
        parameter[i] = p - step_size * m / (sqrtf(v) / root_correction + epsilon);
    }
}
