// Optimizer updates on flat arenas: all parameters of a network in one array, their gradients and moments in others of
// the same length, and one launch for all. In place. A thread updates four neighbours at a time. Each element is read
// and written once, and that is the cost: 3 to 9 arrays through memory, next to no arithmetic.
//
// The formulas, with their sources, stand at the classes of gpunn.optim; the order of operations is that of
// gpunn/backend/numpy/optimizer.py, except that a product and a sum are rounded once (fma). What depends on the step
// alone is computed on the host in float64: in float32, 1 - beta would be wrong in the fifth digit (1.0f - 0.999f is
// 0.00099998713).
//
// In a captured step the numbers, which may be others at the next one, are read from memory: `live` has them in the order
// of the parameters, in float64. And nothing is updated after an error: `errors` has two words for each block of each
// check, and a first one that is not negative is the place of a bad element (check.cu).
//
// In all of them `vector` says that all arrays start at a multiple of four elements; g is the gradient, and
//
//   d = g + decay p,  -g + decay p for `maximize`
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "common.cuh"
#include "quad.cuh"

__device__ __forceinline__ acc_t descent(acc_t p, acc_t g, acc_t decay, bool maximize) {
    const acc_t d = maximize ? -g : g;
    return decay == 0 ? d : fma(decay, p, d);
}

// Reads the numbers of a captured step. Returns whether there is anything to do.
template <class... Numbers>
__device__ __forceinline__ bool begin(
    const double* live, const long long* errors, int error_count, Numbers&... numbers) {
    for (int e = 0; e < error_count; ++e)
        if (errors[2 * e] >= 0) return false;
    if (live != nullptr) {
        int i = 0;
        ((numbers = acc_t(live[i++])), ...);
    }
    return true;
}

// NaN where either is
__device__ __forceinline__ acc_t larger(acc_t a, acc_t b) { return a > b || a != a ? a : b; }

// Calls update(p, g, state) for every element; p and the moments, of which `state` has one of each, are what it makes of
// them. Moments that are null are 0 and go nowhere.
template <int N, class Update>
__device__ __forceinline__ void walk(
    scalar_t* p, const scalar_t* g, scalar_t* const (&moments)[N], index_t count, bool vector, Update update) {
    for (index_t i = 4 * first_index(); i < count; i += 4 * index_stride()) {
        const index_t left = count - i;
        const Quad<scalar_t> old = load_quad(p + i, left, vector), slopes = load_quad(g + i, left, vector);
        acc_t state[4][N] = {}, values[4];
#pragma unroll
        for (int m = 0; m < N; ++m) {
            if (moments[m] == nullptr) continue;
            const Quad<scalar_t> q = load_quad(moments[m] + i, left, vector);
#pragma unroll
            for (int e = 0; e < 4; ++e) state[e][m] = q.v[e];
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            values[e] = old.v[e];
            update(values[e], acc_t(slopes.v[e]), state[e]);
        }
        store_quad(p + i, values, left, vector);
#pragma unroll
        for (int m = 0; m < N; ++m) {
            if (moments[m] == nullptr) continue;
#pragma unroll
            for (int e = 0; e < 4; ++e) values[e] = state[e][m];
            store_quad(moments[m] + i, values, left, vector);
        }
    }
}

// b = d at the `first` step, else momentum b + share d;  p -= lr b;  with Nesterov's momentum p -= lr (d + momentum b)
extern "C" __global__ void sgd_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ buf,  // null: no momentum, b is d
    long long count, bool vector, acc_t lr, acc_t momentum, acc_t share, acc_t decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, lr, momentum, share, decay)) return;
    walk<1>(p, g, {buf}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[1]) {
        acc_t& b = state[0];
        const acc_t d = descent(p, g, decay, maximize);
        b = first || buf == nullptr ? d : fma(momentum, b, share * d);
        p = fma(-lr, nesterov ? fma(momentum, b, d) : b, p);
    });
}

// total += d^2;  p -= rate d / (sqrt(total) + eps)      rate is lr / (1 + (step - 1) lr_decay)
extern "C" __global__ void adagrad_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ total,
    long long count, bool vector, acc_t rate, acc_t eps, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, rate, eps, decay)) return;
    walk<1>(p, g, {total}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[1]) {
        acc_t& total = state[0];
        const acc_t d = descent(p, g, decay, maximize);
        total = fma(d, d, total);
        p = fma(-rate, d / (sqrt(total) + eps), p);
    });
}

// v = keep v + share d^2;  average += share (d - average);  s = v, or v - average^2 where it is centered
// b = momentum b + d / (sqrt(s) + eps);  p -= lr b      keep is alpha, share 1 - alpha
extern "C" __global__ void rmsprop_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ v,
    scalar_t* __restrict__ average,  // null: not centered
    scalar_t* __restrict__ buf,      // null: no momentum
    long long count, bool vector, acc_t lr, acc_t keep, acc_t share, acc_t eps, acc_t momentum, acc_t decay,
    bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, lr, keep, share, eps, momentum, decay)) return;
    walk<3>(p, g, {v, average, buf}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[3]) {
        acc_t &v = state[0], &mean = state[1], &b = state[2];
        const acc_t d = descent(p, g, decay, maximize);
        v = fma(keep, v, d * d * share);
        acc_t variance = v;
        if (average != nullptr) {
            mean = fma(share, d - mean, mean);
            // Rounding makes it negative where gradients hardly change.
            variance = fma(-mean, mean, v);
            variance = variance < 0 ? acc_t(0) : variance;
        }
        b = fma(momentum, b, d / (sqrt(variance) + eps));
        p = fma(-lr, b, p);
    });
}

// p = shrink p      AdamW: 1 - lr weight_decay, else 1
// m += share1 (d - m);  v = keep2 v + share2 d^2;  s = v, or for AMSGrad the largest v so far
// p -= rate m / (sqrt(s) + eps)
//
// share1 is 1 - beta1, keep2 beta2, share2 1 - beta2. With c1 = 1 - beta1^step and c2 = 1 - beta2^step, rate is
// lr sqrt(c2) / c1 and eps is sqrt(c2) times Adam's: lr m / c1 / (sqrt(s / c2) + eps) with one operation less.
extern "C" __global__ void adam_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ v,
    scalar_t* __restrict__ v_max,  // null: not AMSGrad
    long long count, bool vector, acc_t rate, acc_t share1, acc_t keep2, acc_t share2, acc_t eps, acc_t shrink,
    acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, rate, share1, keep2, share2, eps, shrink, decay)) return;
    walk<3>(p, g, {m, v, v_max}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[3]) {
        acc_t &m = state[0], &v = state[1], &largest = state[2];
        p *= shrink;
        const acc_t d = descent(p, g, decay, maximize);
        m = fma(share1, d - m, m);
        v = fma(keep2, v, d * d * share2);
        largest = v_max == nullptr ? v : larger(largest, v);
        p = fma(-rate, m / (sqrt(largest) + eps), p);
    });
}
