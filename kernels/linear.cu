// Linear layer, bias and activation in one pass. First rung: naive.
//
//   Y = f(X W^T + b)      X (rows, in_features)  W (out_features, in_features)  b (out_features)  Y (rows, out_features)
//
// One thread computes one element of Y. It adds nothing to the formula, so it is the one to read first and to hold the
// others against. It costs memory traffic: every element of Y reads a row of X and a row of W again, and neighbouring
// threads read W with a distance of in_features. All matrices are in row-major order.
#include "activation.cuh"
#include "common.cuh"

extern "C" __global__ void linear_forward_naive(
    const float* __restrict__ x,
    const float* __restrict__ w,
    const float* __restrict__ bias,  // null: no bias
    float* __restrict__ y,
    int rows, int in_features, int out_features,
    int activation_kind, float activation_parameter) {
    const index_t count = (index_t)rows * out_features;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / out_features;
        const index_t column = i % out_features;
        float z = 0.0f;
        for (int k = 0; k < in_features; ++k) z = fmaf(x[row * in_features + k], w[column * in_features + k], z);
        if (bias != nullptr) z += bias[column];
        y[i] = activation(z, activation_kind, activation_parameter);
    }
}
