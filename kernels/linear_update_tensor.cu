// linear_update.cu on tensor cores (tensor.cuh), from sm_80 on: for factors in float16 and bfloat16, and for float32 that
// may be rounded to TF32. W and its moments are in float32.
//
//   dW = dZ^T X      dZ (rows, outputs)  X (rows, inputs)  ->  dW (outputs, inputs)
//
// Gradients are rounded to the type of the factors, as they would be in memory: so mixed precision has the bits of a
// gradient in half precision that is converted for the update. Of the 36 bytes of an element that Adam would move then, 12
// for the gradient, 24 are left.
//
// The large tile's shared memory is dynamic. `vectors` says what can be moved at once: 1 for a chunk of dZ, 2 for one of
// X, 4 for two elements of W and of its moments.
//
// compiled for scalar_t = float16, bfloat16, float32
#include "tensor.cuh"
#include "update.cuh"

template <class T> constexpr int WORDS = T::SIZE * sizeof(scalar_t) / 4;  // of shared memory

template <class T, class Rule>
__device__ __forceinline__ void update(
    const scalar_t* dz, const scalar_t* x, int rows, int vectors, unsigned* memory, const Updated<Rule>& to) {
    const Operand left = {dz, to.rows, to.rows, (vectors & 1) != 0}, right = {x, to.columns, to.columns, (vectors & 2) != 0};
    const Work<T> work(to.columns, blockIdx.x, rows, rows);
    float sums[T::DOWN][T::ACROSS][4] = {};
    multiply_tile<T, false, false>(left, right, work, (scalar_t*)memory, sums);
    // They go through shared memory, where each thread has a word for each of its values: registers have no index, and
    // unrolled the update would stand there for every value.
    // The upper eight rows of all fragments come before the lower ones.
    constexpr int FRAGMENTS = T::DOWN * T::ACROSS, TOGETHER = 8;
    static_assert(FRAGMENTS * 4 * T::THREADS * 4 <= T::SIZE * sizeof(scalar_t), "a word for each value");
    const int lane = threadIdx.x % 32;
    Pair<float>* own = (Pair<float>*)memory + threadIdx.x;
#pragma unroll
    for (int n = 0; n < 2 * FRAGMENTS; ++n) {
        const float(&sum)[4] = sums[n % FRAGMENTS / T::ACROSS][n % T::ACROSS];
        own[n * T::THREADS] = {{sum[n / FRAGMENTS * 2], sum[n / FRAGMENTS * 2 + 1]}};
    }
#pragma unroll 1
    for (int next = 0; next < 2 * FRAGMENTS; next += TOGETHER) {
        int row[TOGETHER], column[TOGETHER];
        Pair<float> gradients[TOGETHER];
#pragma unroll
        for (int n = 0; n < TOGETHER; ++n) {
            const int half = (next + n) / FRAGMENTS, fragment = (next + n) % FRAGMENTS;
            row[n] = work.first_row + work.row + fragment / T::ACROSS * 16 + half * 8 + lane / 4;
            column[n] = work.first_column + work.column + fragment % T::ACROSS * 8 + lane % 4 * 2;
            gradients[n] = own[(next + n) * T::THREADS];
#pragma unroll
            for (int e = 0; e < 2; ++e) gradients[n].v[e] = scalar_t(gradients[n].v[e]);
        }
        update_neighbours(to, row, column, gradients);
    }
}

extern "C" __global__ void __launch_bounds__(128, 2) linear_sgd_step_tensor_large(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    float* __restrict__ p,
    float* __restrict__ buf,  // null: no momentum, b is d
    int rows, int inputs, int outputs, int vectors, float lr, float momentum, float share, float decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    extern __shared__ __align__(16) unsigned memory[];  // WORDS<Quarters>
    Sgd rule = {lr, momentum, share, decay, nesterov, maximize, first || buf == nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Quarters>(dz, x, rows, vectors, memory, Updated<Sgd>{p, {buf}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(128, 4) linear_sgd_step_tensor_small(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    float* __restrict__ p,
    float* __restrict__ buf,  // null: no momentum, b is d
    int rows, int inputs, int outputs, int vectors, float lr, float momentum, float share, float decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    __shared__ __align__(16) unsigned memory[WORDS<Small>];
    Sgd rule = {lr, momentum, share, decay, nesterov, maximize, first || buf == nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Small>(dz, x, rows, vectors, memory, Updated<Sgd>{p, {buf}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(128, 2) linear_adam_step_tensor_large(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    float* __restrict__ p,
    float* __restrict__ m,
    float* __restrict__ v,
    float* __restrict__ v_max,  // null: not AMSGrad
    int rows, int inputs, int outputs, int vectors, float rate, float share1, float keep2, float share2,
    float eps, float shrink, float decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    extern __shared__ __align__(16) unsigned memory[];  // WORDS<Quarters>
    Adam rule = {rate, share1, keep2, share2, eps, shrink, decay, maximize, v_max != nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Quarters>(
        dz, x, rows, vectors, memory, Updated<Adam>{p, {m, v, v_max}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(128, 4) linear_adam_step_tensor_small(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    float* __restrict__ p,
    float* __restrict__ m,
    float* __restrict__ v,
    float* __restrict__ v_max,  // null: not AMSGrad
    int rows, int inputs, int outputs, int vectors, float rate, float share1, float keep2, float share2,
    float eps, float shrink, float decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    __shared__ __align__(16) unsigned memory[WORDS<Small>];
    Adam rule = {rate, share1, keep2, share2, eps, shrink, decay, maximize, v_max != nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Small>(dz, x, rows, vectors, memory, Updated<Adam>{p, {m, v, v_max}, outputs, inputs, (vectors & 4) != 0, rule});
}
