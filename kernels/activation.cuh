// Activation functions and their derivatives, picked by a switch at run time.
//
// All threads of a launch take the same branch, so the switch costs a few instructions, where one instantiation for each
// function would cost compile time in every kernel that ends in an activation.
//
// `parameter` is the negative slope of the leaky ReLU, the alpha of the ELU and the beta of the softplus; the others
// ignore it. The definitions, and what happens at the kinks and to NaN, are PyTorch's.
#pragma once

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

constexpr float SQRT_HALF = 0.707106781186547524f;          // sqrt(1/2)
constexpr float SQRT_2_OVER_PI = 0.797884560802865356f;     // sqrt(2/pi)
constexpr float ONE_OVER_SQRT_2PI = 0.398942280401432678f;  // 1/sqrt(2 pi)
constexpr float GELU_CUBIC = 0.044715f;                     // Hendrycks and Gimpel 2016, section 2
constexpr float SOFTPLUS_THRESHOLD = 20.0f;                 // above it softplus(z) is z to float32 precision

// 1 / (1 + exp(-z)). exp overflows to infinity for z < -88, and the quotient is then 0, as it should be.
__device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

__device__ __forceinline__ float gelu_tanh_inner(float z) { return tanhf(SQRT_2_OVER_PI * (z + GELU_CUBIC * z * z * z)); }

// f(z)
__device__ __forceinline__ float activation(float z, int kind, float parameter) {
    switch (kind) {
        case ACTIVATION_RELU: return z < 0.0f ? 0.0f : z;  // written so that NaN stays NaN
        case ACTIVATION_LEAKY_RELU: return z > 0.0f ? z : parameter * z;
        case ACTIVATION_ELU: return z > 0.0f ? z : parameter * expm1f(z);
        case ACTIVATION_GELU: return 0.5f * z * (1.0f + erff(SQRT_HALF * z));
        case ACTIVATION_GELU_TANH: return 0.5f * z * (1.0f + gelu_tanh_inner(z));
        case ACTIVATION_SILU: return z * sigmoid(z);
        case ACTIVATION_SIGMOID: return sigmoid(z);
        case ACTIVATION_TANH: return tanhf(z);
        case ACTIVATION_SOFTPLUS: return parameter * z > SOFTPLUS_THRESHOLD ? z : log1pf(expf(parameter * z)) / parameter;
        default: return z;
    }
}

// f'(z)
__device__ __forceinline__ float activation_derivative(float z, int kind, float parameter) {
    switch (kind) {
        case ACTIVATION_RELU: return z <= 0.0f ? 0.0f : 1.0f;
        case ACTIVATION_LEAKY_RELU: return z > 0.0f ? 1.0f : parameter;
        case ACTIVATION_ELU: return z <= 0.0f ? parameter * expf(z) : 1.0f;
        case ACTIVATION_GELU:  // Phi(z) + z phi(z), with the normal distribution's Phi and density phi
            return 0.5f * (1.0f + erff(SQRT_HALF * z)) + z * ONE_OVER_SQRT_2PI * expf(-0.5f * z * z);
        case ACTIVATION_GELU_TANH: {
            float t = gelu_tanh_inner(z);
            float slope = SQRT_2_OVER_PI * (1.0f + 3.0f * GELU_CUBIC * z * z);
            return 0.5f * (1.0f + t) + 0.5f * z * (1.0f - t * t) * slope;
        }
        case ACTIVATION_SILU: {
            float s = sigmoid(z);
            return s * (1.0f + z * (1.0f - s));
        }
        case ACTIVATION_SIGMOID: {
            float s = sigmoid(z);
            return s * (1.0f - s);
        }
        case ACTIVATION_TANH: {
            float t = tanhf(z);
            return 1.0f - t * t;
        }
        case ACTIVATION_SOFTPLUS: return parameter * z > SOFTPLUS_THRESHOLD ? 1.0f : sigmoid(parameter * z);
        default: return 1.0f;
    }
}
