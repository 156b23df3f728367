// The updates of SGD, Adagrad, RMSprop and Adam; see optimizer.cuh, and for SGD's and Adam's update.cuh.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "optimizer.cuh"

extern "C" __global__ void sgd_step(
    scalar_t* __restrict__ p,
    const scalar_t* __restrict__ g,
    scalar_t* __restrict__ buf,  // null: no momentum, b is d
    long long count, bool vector, acc_t lr, acc_t momentum, acc_t share, acc_t decay,
    bool nesterov, bool maximize, bool first,
    const double* __restrict__ live,       // null: the numbers are those that are passed
    const long long* __restrict__ errors,  // null: nothing was checked
    int error_count) {
    Sgd rule = {lr, momentum, share, decay, nesterov, maximize, first || buf == nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    walk<Sgd::MOMENTS>(p, g, {buf}, count, vector, rule);
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
    Adam rule = {rate, share1, keep2, share2, eps, shrink, decay, maximize, v_max != nullptr};
    if (!rule.begins(live, errors, error_count)) return;
    walk<Adam::MOMENTS>(p, g, {m, v, v_max}, count, vector, rule);
}
