// The updates of SGD, Adagrad, RMSprop and Adam; see optimizer.cuh.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "optimizer.cuh"

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
