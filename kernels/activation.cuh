// Activation functions and their derivatives, picked by a switch at run time. Needs acc_t, float or double.
//
// All threads of a launch take the same branch, so the switch costs a few instructions, where one instantiation for
// each function would cost compile time in every kernel that ends in an activation.
//
// `parameter` is the negative slope of the leaky ReLU, the alpha of the ELU and the beta of the softplus; the others
// ignore it. What happens at the kinks and to NaN is the same as in gpunn/backend/numpy/activation.py. Products and
// sums that may become one operation are written as one (fma), so that no compiler has a choice.
#pragma once
#include "scalar.cuh"

// gpunn/backend/kernel/activation.py has the same numbers.
enum ActivationKind {
    ACTIVATION_NONE = 0,
    ACTIVATION_RELU = 1,
    ACTIVATION_LEAKY_RELU = 2,
    ACTIVATION_ELU = 3,
    ACTIVATION_GELU = 4,
    ACTIVATION_GELU_TANH = 5,
    ACTIVATION_SILU = 6,
    ACTIVATION_SIGMOID = 7,
    ACTIVATION_TANH = 8,
    ACTIVATION_SOFTPLUS = 9,
};

constexpr acc_t SQRT_HALF = 0.707106781186547524;          // sqrt(1/2)
constexpr acc_t SQRT_2_OVER_PI = 0.797884560802865356;     // sqrt(2/pi)
constexpr acc_t ONE_OVER_SQRT_2PI = 0.398942280401432678;  // 1/sqrt(2 pi)
constexpr acc_t GELU_CUBIC = 0.044715;                     // Hendrycks and Gimpel 2016, section 2

// 1 / (1 + e^-z). Where e^-z overflows to infinity the quotient is 0, as it should be.
__device__ __forceinline__ acc_t sigmoid(acc_t z) { return 1 / (1 + exp(-z)); }

// The normal distribution
__device__ __forceinline__ acc_t normal_distribution(acc_t z) { return acc_t(0.5) * (1 + erf(SQRT_HALF * z)); }

// (1 + tanh u) / 2 for u = sqrt(2/pi) (z + 0.044715 z^3), as the sigmoid of 2 u: the sum loses its digits for u < 0.
__device__ __forceinline__ acc_t gelu_tanh_share(acc_t z) {
    return sigmoid(2 * SQRT_2_OVER_PI * z * fma(GELU_CUBIC * z, z, acc_t(1)));
}

// ln(1 + e^(b z)) / b as max(z, 0) + ln(1 + e^-|b z|) / b (min for a negative b): nothing overflows.
__device__ __forceinline__ acc_t softplus(acc_t z, acc_t b) {
    const acc_t tail = log1p(exp(-fabs(b * z))) / b;
    return ((b > 0) == (z < 0) ? acc_t(0) : z) + tail;
}

// f(z)
__device__ __forceinline__ acc_t activation(acc_t z, int kind, acc_t parameter) {
    switch (kind) {
        case ACTIVATION_RELU: return z < 0 ? acc_t(0) : z;  // written so that NaN stays NaN
        case ACTIVATION_LEAKY_RELU: return z > 0 ? z : parameter * z;
        case ACTIVATION_ELU: return z > 0 ? z : parameter * expm1(z);
        case ACTIVATION_GELU: return z * normal_distribution(z);
        case ACTIVATION_GELU_TANH: return z * gelu_tanh_share(z);
        case ACTIVATION_SILU: return z * sigmoid(z);
        case ACTIVATION_SIGMOID: return sigmoid(z);
        case ACTIVATION_TANH: return tanh(z);
        case ACTIVATION_SOFTPLUS: return softplus(z, parameter);
        default: return z;
    }
}

// f'(z)
__device__ __forceinline__ acc_t activation_derivative(acc_t z, int kind, acc_t parameter) {
    switch (kind) {
        case ACTIVATION_RELU: return z <= 0 ? 0 : 1;  // of NaN 1, as in PyTorch
        case ACTIVATION_LEAKY_RELU: return z > 0 ? acc_t(1) : parameter;
        case ACTIVATION_ELU: return z > 0 ? acc_t(1) : parameter * exp(z);
        case ACTIVATION_GELU:  // P(z) + z p(z), p the density of the normal distribution P
            return fma(z * ONE_OVER_SQRT_2PI, exp(acc_t(-0.5) * z * z), normal_distribution(z));
        case ACTIVATION_GELU_TANH: {
            const acc_t s = gelu_tanh_share(z);
            const acc_t slope = SQRT_2_OVER_PI * fma(3 * GELU_CUBIC * z, z, acc_t(1));  // of u
            return s * fma(2 * z * (1 - s), slope, acc_t(1));
        }
        case ACTIVATION_SILU: {
            const acc_t s = sigmoid(z);
            return s * fma(z, 1 - s, acc_t(1));
        }
        case ACTIVATION_SIGMOID: {
            const acc_t s = sigmoid(z);
            return s * (1 - s);
        }
        case ACTIVATION_TANH: {
            const acc_t t = tanh(z);
            return fma(-t, t, acc_t(1));
        }
        case ACTIVATION_SOFTPLUS: return sigmoid(parameter * z);
        default: return 1;
    }
}

// f'(z) from y = f(z), for those where that is possible: a curve y (a - y) + 1 - a, or a step from a to 1. Which one, and
// a, are settled once, before the loop over elements: that has a branch instead of a switch, at most.
struct SlopeOfOutput {
    bool curved, closes;
    acc_t a;

    __device__ __forceinline__ SlopeOfOutput(int kind, acc_t parameter)
        : curved(kind == ACTIVATION_SIGMOID || kind == ACTIVATION_TANH), closes(kind == ACTIVATION_RELU), a(1) {
        if (kind == ACTIVATION_TANH) a = 0;
        if (kind == ACTIVATION_LEAKY_RELU) a = parameter;
    }
    __device__ __forceinline__ acc_t curve(acc_t y) const { return fma(y, a - y, 1 - a); }
    // dy times the step. A ReLU that is closed gives 0, which 0 times infinity is not; for NaN it is open.
    __device__ __forceinline__ acc_t stepped(acc_t dy, acc_t y) const {
        const acc_t low = closes ? acc_t(0) : dy * a;
        return y > 0 || (closes && y != y) ? dy : low;
    }
    __device__ __forceinline__ acc_t times(acc_t dy, acc_t y) const { return curved ? dy * curve(y) : stepped(dy, y); }
};

// dy f'(z), where s is f(z) if `from_output`, else z
__device__ __forceinline__ acc_t activation_gradient(acc_t dy, acc_t s, int kind, acc_t parameter, bool from_output) {
    if (from_output) return SlopeOfOutput(kind, parameter).times(dy, s);
    return dy * activation_derivative(s, kind, parameter);
}
