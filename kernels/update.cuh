// The updates of SGD and Adam for an element: of a walk over all parameters (optimizer.cu), and where a product makes the
// gradient (linear_update.cu, linear_update_tensor.cu). The formulas, with their sources, stand at the classes of
// gpunn.optim; what depends on the step alone comes from the host, in float64, where 1 - beta is exact.
//
// In a captured step the numbers, which may be others at the next one, are read from memory: `live` has them in the order
// of the parameters, in float64. And nothing is updated after an error: `errors` has two words for each block of each
// check, and a first one that is not negative is the place of a bad element (check.cu).
//
// g is the gradient, and d = g + decay p,  -g + decay p for `maximize`
#pragma once
#include "common.cuh"
#include "scalar.cuh"

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

// b = d where it is `plain`, else momentum b + share d;  p -= lr b;  with Nesterov's momentum p -= lr (d + momentum b)
struct Sgd {
    static constexpr int MOMENTS = 1;  // b
    acc_t lr, momentum, share, decay;
    bool nesterov, maximize, plain;

    __device__ __forceinline__ bool begins(const double* live, const long long* errors, int error_count) {
        return begin(live, errors, error_count, lr, momentum, share, decay);
    }
    __device__ __forceinline__ void operator()(acc_t& p, acc_t g, acc_t (&state)[MOMENTS]) const {
        acc_t& b = state[0];
        const acc_t d = descent(p, g, decay, maximize);
        b = plain ? d : fma(momentum, b, share * d);
        p = fma(-lr, nesterov ? fma(momentum, b, d) : b, p);
    }
};

// p = shrink p      AdamW: 1 - lr weight_decay, else 1
// m += share1 (d - m);  v = keep2 v + share2 d^2;  s = v, or for AMSGrad the largest v so far
// p -= rate m / (sqrt(s) + eps)
//
// share1 is 1 - beta1, keep2 beta2, share2 1 - beta2. With c1 = 1 - beta1^step and c2 = 1 - beta2^step, rate is
// lr sqrt(c2) / c1 and eps is sqrt(c2) times Adam's: lr m / c1 / (sqrt(s / c2) + eps) with one operation less.
struct Adam {
    static constexpr int MOMENTS = 3;  // m, v, the largest v
    acc_t rate, share1, keep2, share2, eps, shrink, decay;
    bool maximize, amsgrad;

    __device__ __forceinline__ bool begins(const double* live, const long long* errors, int error_count) {
        return begin(live, errors, error_count, rate, share1, keep2, share2, eps, shrink, decay);
    }
    __device__ __forceinline__ void operator()(acc_t& p, acc_t g, acc_t (&state)[MOMENTS]) const {
        acc_t &m = state[0], &v = state[1], &largest = state[2];
        p *= shrink;
        const acc_t d = descent(p, g, decay, maximize);
        m = fma(share1, d - m, m);
        v = fma(keep2, v, d * d * share2);
        largest = amsgrad ? larger(largest, v) : v;
        p = fma(-rate, m / (sqrt(largest) + eps), p);
    }
};

// A matrix of parameters, rows x columns in row-major order, with its moments, which lie likewise; null where there are
// none.
template <class Rule> struct Updated {
    acc_t* p;
    acc_t* moments[Rule::MOMENTS];
    int rows, columns;
    bool vector;  // whether neighbours can be moved at once
    Rule rule;
};

// N times as many neighbours of a row as V has, the first of which are at (row, column), by their gradients. What is
// beyond the matrix stays. All are on their way before the first one is used.
template <int N, class V, class Rule>
__device__ __forceinline__ void update_neighbours(
    const Updated<Rule>& to, const int (&row)[N], const int (&column)[N], const V (&gradients)[N]) {
    constexpr int WIDTH = sizeof(V) / sizeof(acc_t), M = Rule::MOMENTS;
    V old[M + 1][N];
#pragma unroll
    for (int a = 0; a <= M; ++a) {
        const acc_t* from = a == 0 ? to.p : to.moments[a - 1];
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const int there = row[n] < to.rows && from != nullptr ? to.columns - column[n] : 0;
            const acc_t* x = from + (index_t)row[n] * to.columns + column[n];
            if (to.vector && there >= WIDTH) {
                old[a][n] = *(const V*)x;
            } else {
#pragma unroll
                for (int e = 0; e < WIDTH; ++e) old[a][n].v[e] = e < there ? x[e] : acc_t(0);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int e = 0; e < WIDTH; ++e) {
            acc_t state[M];
#pragma unroll
            for (int m = 0; m < M; ++m) state[m] = old[m + 1][n].v[e];
            to.rule(old[0][n].v[e], gradients[n].v[e], state);
#pragma unroll
            for (int m = 0; m < M; ++m) old[m + 1][n].v[e] = state[m];
        }
#pragma unroll
        for (int a = 0; a <= M; ++a) {
            acc_t* into = a == 0 ? to.p : to.moments[a - 1];
            const int there = row[n] < to.rows && into != nullptr ? to.columns - column[n] : 0;
            acc_t* x = into + (index_t)row[n] * to.columns + column[n];
            if (to.vector && there >= WIDTH) {
                *(V*)x = old[a][n];
            } else {
#pragma unroll
                for (int e = 0; e < WIDTH; ++e)
                    if (e < there) x[e] = old[a][n].v[e];
            }
        }
    }
}
