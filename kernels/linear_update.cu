// An optimizer's update of the weight of an affine map (linear_forward.cu), whose gradient is made as it is used:
//
//   dW = dZ^T X      dZ (rows, outputs)  X (rows, inputs)  ->  dW (outputs, inputs)
//
// and W and its moments, which lie as dW would, change by it where a tile of it stands in registers (gemm.cuh,
// update.cuh). So dW goes to memory not at all. In a launch of its own it is written, and read by the update: of Adam's 32
// bytes an element 8 are spared, and while some blocks update, others multiply. Sums are whole, from the first row on.
//
// W is read nowhere else in the launch, so the gradient of X, which needs it as it was, has been made before.
// `vectors` says whose lines can be moved four elements at a time: 1 for dZ, 2 for X, 4 for W and its moments.
//
// compiled for scalar_t = float32, float64
#include "gemm.cuh"
#include "update.cuh"

template <class T, class Rule>
__device__ __forceinline__ void update(
    const scalar_t* dz, const scalar_t* x, int rows, int vectors, const Updated<Rule>& to) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const int tiles_across = tiles_of<T>(1, to.columns);
    const int first_row = blockIdx.x / tiles_across * T::ROWS, first_column = blockIdx.x % tiles_across * T::COLUMNS;
    Quad<acc_t> c[T::DOWN][T::ACROSS / 4] = {};
    acc_t no_sum = 0;
    const Operand left = {dz, to.rows, to.rows, false, (vectors & 1) != 0};
    const Operand right = {x, to.columns, to.columns, false, (vectors & 2) != 0};
    multiply_tile<T>(left, right, first_row, first_column, 0, rows, false, words, c, no_sum);
    // Some rows at a time go through shared memory, where each thread has a word for each of its values: registers have no
    // index, and unrolled the update would stand there for every value.
    constexpr int ROWS = T::WORDS / (T::ACROSS * T::THREADS) < T::DOWN ? T::WORDS / (T::ACROSS * T::THREADS) : T::DOWN;
    static_assert(T::DOWN % ROWS == 0, "as many every time");
    constexpr int QUADS = T::ACROSS / 4, TOGETHER = 2;
    Quad<acc_t>* own = (Quad<acc_t>*)words + threadIdx.x;
#pragma unroll
    for (int first = 0; first < T::DOWN; first += ROWS) {
#pragma unroll
        for (int n = 0; n < ROWS * QUADS; ++n) own[n * T::THREADS] = c[first + n / QUADS][n % QUADS];
#pragma unroll 1
        for (int next = 0; next < ROWS * QUADS; next += TOGETHER) {
            int row[TOGETHER], column[TOGETHER];
            Quad<acc_t> gradients[TOGETHER];
#pragma unroll
            for (int n = 0; n < TOGETHER; ++n) {
                row[n] = first_row + Place<T>::row_of(first + (next + n) / QUADS);
                column[n] = first_column + Place<T>::column_of((next + n) % QUADS * 4);
                gradients[n] = own[(next + n) * T::THREADS];
            }
            update_neighbours(to, row, column, gradients);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_sgd_step_large(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ p,
    scalar_t* __restrict__ buf,  // null: no momentum, b is d
    int rows, int inputs, int outputs, int vectors, acc_t lr, acc_t momentum, acc_t share, acc_t decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    Sgd rule = {lr, momentum, share, decay, nesterov, maximize, first || buf == nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Large>(dz, x, rows, vectors, Updated<Sgd>{p, {buf}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) linear_sgd_step_medium(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ p,
    scalar_t* __restrict__ buf,  // null: no momentum, b is d
    int rows, int inputs, int outputs, int vectors, acc_t lr, acc_t momentum, acc_t share, acc_t decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    Sgd rule = {lr, momentum, share, decay, nesterov, maximize, first || buf == nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Medium>(dz, x, rows, vectors, Updated<Sgd>{p, {buf}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_adam_step_large(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ p,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ v,
    scalar_t* __restrict__ v_max,  // null: not AMSGrad
    int rows, int inputs, int outputs, int vectors, acc_t rate, acc_t share1, acc_t keep2, acc_t share2, acc_t eps,
    acc_t shrink, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    Adam rule = {rate, share1, keep2, share2, eps, shrink, decay, maximize, v_max != nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Large>(dz, x, rows, vectors, Updated<Adam>{p, {m, v, v_max}, outputs, inputs, (vectors & 4) != 0, rule});
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) linear_adam_step_medium(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ x,
    scalar_t* __restrict__ p,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ v,
    scalar_t* __restrict__ v_max,  // null: not AMSGrad
    int rows, int inputs, int outputs, int vectors, acc_t rate, acc_t share1, acc_t keep2, acc_t share2, acc_t eps,
    acc_t shrink, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    Adam rule = {rate, share1, keep2, share2, eps, shrink, decay, maximize, v_max != nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    update<Medium>(dz, x, rows, vectors, Updated<Adam>{p, {m, v, v_max}, outputs, inputs, (vectors & 4) != 0, rule});
}
