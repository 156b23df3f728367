// The updates of Adadelta, Adamax, NAdam, RAdam, ASGD, Rprop and Lion; see optimizer.cuh.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "optimizer.cuh"

// NaN stays NaN
__device__ __forceinline__ acc_t sign(acc_t x) { return x > 0 ? acc_t(1) : x < 0 ? acc_t(-1) : x; }

// v = rho v + share d^2;  x = d sqrt(u + eps) / sqrt(v + eps);  u = rho u + share x^2;  p -= lr x      share is 1 - rho
extern "C" __global__ void adadelta_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ v,
    scalar_t* __restrict__ u,
    long long count, bool vector, acc_t lr, acc_t rho, acc_t share, acc_t eps, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, lr, rho, share, eps, decay)) return;
    walk<2>(p, g, {v, u}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[2]) {
        acc_t &v = state[0], &u = state[1];
        const acc_t d = descent(p, g, decay, maximize);
        v = fma(rho, v, d * d * share);
        const acc_t x = sqrt(u + eps) / sqrt(v + eps) * d;
        u = fma(rho, u, x * x * share);
        p = fma(-lr, x, p);
    });
}

// m += share (d - m);  u = max(keep u, |d| + eps);  p -= rate m / u      share is 1 - beta1, keep beta2, rate lr / (1
// - beta1^step)
extern "C" __global__ void adamax_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ u,
    long long count, bool vector, acc_t rate, acc_t share, acc_t keep, acc_t eps, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, rate, share, keep, eps, decay)) return;
    walk<2>(p, g, {m, u}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[2]) {
        acc_t &m = state[0], &u = state[1];
        const acc_t d = descent(p, g, decay, maximize);
        m = fma(share, d - m, m);
        u = larger(keep * u, fabs(d) + eps);
        p = fma(-rate, m / u, p);
    });
}

// p = shrink p;  m += share1 (d - m);  v = keep2 v + share2 d^2
// p -= (gradient_rate d + moment_rate m) / (sqrt(corrected v) + eps)      corrected is 1 / (1 - beta2^step)
extern "C" __global__ void nadam_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ v,
    long long count, bool vector, acc_t gradient_rate, acc_t moment_rate, acc_t share1, acc_t keep2,
    acc_t share2, acc_t corrected, acc_t eps, acc_t shrink, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, gradient_rate, moment_rate, share1, keep2, share2, corrected, eps, shrink,
               decay))
        return;
    walk<2>(p, g, {m, v}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[2]) {
        acc_t &m = state[0], &v = state[1];
        p *= shrink;
        const acc_t d = descent(p, g, decay, maximize);
        m = fma(share1, d - m, m);
        v = fma(keep2, v, d * d * share2);
        p -= fma(gradient_rate, d, moment_rate * m) / (sqrt(v * corrected) + eps);
    });
}

// p = shrink p;  m += share1 (d - m);  v = keep2 v + share2 d^2;  p -= rate m / (sqrt(v) + eps), without a divisor
// while
// `rectified` is 0
extern "C" __global__ void radam_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ m,
    scalar_t* __restrict__ v,
    long long count, bool vector, acc_t rate, acc_t share1, acc_t keep2, acc_t share2, acc_t eps,
    acc_t rectified, acc_t shrink, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, rate, share1, keep2, share2, eps, rectified, shrink, decay)) return;
    walk<2>(p, g, {m, v}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[2]) {
        acc_t &m = state[0], &v = state[1];
        p *= shrink;
        const acc_t d = descent(p, g, decay, maximize);
        m = fma(share1, d - m, m);
        v = fma(keep2, v, d * d * share2);
        p = fma(-rate, rectified != 0 ? m / (sqrt(v) + eps) : m, p);
    });
}

// p = shrink p - eta d;  average += mu (p - average)
extern "C" __global__ void asgd_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ average,
    long long count, bool vector, acc_t eta, acc_t shrink, acc_t mu, acc_t decay, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, eta, shrink, mu, decay)) return;
    walk<1>(p, g, {average}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[1]) {
        acc_t &average = state[0];
        const acc_t d = descent(p, g, decay, maximize);
        p = fma(-eta, d, p * shrink);
        average = mu == 1 ? p : fma(mu, p - average, average);
    });
}

// With s = sign(d before): size = size times plus, minus or 1 where s is 1, -1 or 0, and not below smallest or above
// largest; before = d, 0 where s is -1;  p -= size sign(before)
extern "C" __global__ void rprop_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ before,
    scalar_t* __restrict__ size,
    long long count, bool vector, acc_t minus, acc_t plus, acc_t smallest, acc_t largest, bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, minus, plus, smallest, largest)) return;
    walk<2>(p, g, {before, size}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[2]) {
        acc_t &before = state[0], &size = state[1];
        const acc_t d = maximize ? -g : g;
        const acc_t s = sign(d * before);
        const acc_t factor = s > 0 ? plus : s < 0 ? minus : s == 0 ? acc_t(1) : s;
        const acc_t grown = larger(size * factor, smallest);
        size = grown > largest ? largest : grown;
        before = factor == minus ? acc_t(0) : d;
        p = fma(-size, sign(before), p);
    });
}

// p = shrink p - lr sign(keep1 m + share1 d);  m = keep2 m + share2 d      keep1 is beta1, share1 1 - beta1
extern "C" __global__ void lion_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ m,
    long long count, bool vector, acc_t lr, acc_t keep1, acc_t share1, acc_t keep2, acc_t share2, acc_t shrink,
    bool maximize,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    if (!begin(live, errors, error_count, lr, keep1, share1, keep2, share2, shrink)) return;
    walk<1>(p, g, {m}, count, vector, [=](acc_t& p, acc_t g, acc_t (&state)[1]) {
        acc_t &m = state[0];
        const acc_t d = maximize ? -g : g;
        p = fma(-lr, sign(fma(keep1, m, share1 * d)), p * shrink);
        m = fma(keep2, m, share2 * d);
    });
}
