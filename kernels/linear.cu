// Affine map of the last axis with its activation, and its gradients. First rung: naive. The fast ones are in
// linear_forward.cu and linear_backward.cu.
//
//   Y = f(Z), Z = X W^T + b      X (rows, inputs)  W (outputs, inputs)  b (outputs)  Y (rows, outputs)
//   dX = dZ W;  dW = dZ^T X;  db = sum of dZ over the rows   (Goodfellow et al. 2016, 6.5)
//
// and, where X = f(V), dX o f'(V) in the place of dX.
//
// One thread computes one element of a result. This adds nothing to the formulas, so it is the one to read first and to
// hold the others against. It costs memory traffic: two elements are read for each multiplication. All matrices are
// row-major.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "common.cuh"
#include "scalar.cuh"

extern "C" __global__ void linear_forward_naive(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    int rows, int inputs, int outputs,
    int kind, acc_t parameter) {
    const index_t count = (index_t)rows * outputs;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / outputs, output = i % outputs;
        acc_t z = 0;
        for (int k = 0; k < inputs; ++k) z = fma(acc_t(x[row * inputs + k]), acc_t(w[output * inputs + k]), z);
        if (bias != nullptr) z += bias[output];
        y[i] = activation(z, kind, parameter);
    }
}

extern "C" __global__ void linear_input_grad_naive(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ x,  // null: not multiplied by f', which is taken from X
    scalar_t* __restrict__ dx,
    int rows, int inputs, int outputs,
    int kind, acc_t parameter) {
    const index_t count = (index_t)rows * inputs;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inputs, input = i % inputs;
        acc_t sum = 0;
        for (int k = 0; k < outputs; ++k)
            sum = fma(acc_t(dz[row * outputs + k]), acc_t(w[k * (index_t)inputs + input]), sum);
        dx[i] = x == nullptr ? sum : SlopeOfOutput(kind, parameter).times(sum, x[i]);
    }
}

// The bias is the weight of one more input, which is always 1.
extern "C" __global__ void linear_weight_grad_naive(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ dw,
    scalar_t* __restrict__ db,  // null: not wanted
    int rows, int inputs, int outputs) {
    const index_t width = inputs + (db != nullptr ? 1 : 0), count = outputs * width;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t output = i / width, input = i % width;
        acc_t sum = 0;
        for (index_t row = 0; row < rows; ++row) {
            const acc_t of_input = input < inputs ? acc_t(x[row * inputs + input]) : acc_t(1);
            sum = fma(acc_t(dz[row * outputs + output]), of_input, sum);
        }
        if (input < inputs) dw[output * inputs + input] = sum;
        else db[output] = sum;
    }
}
