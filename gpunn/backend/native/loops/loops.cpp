// The loops of the CPU's primitives for float32.
#include <bit>
#include <cmath>
#include <utility>

#include "convolution.h"
#include "pooling.h"
#include "product.h"

namespace {

// Fewer rows of a gradient than this are not divided among threads; its columns are.
constexpr int64_t FEW = 4 * OUTPUTS, MANY = 512;

// dz^T x: `end` takes it. One column, as a bias has it, is computed as a row.
template <class End> void gradient(const float *dz, const float *x, int64_t n, int64_t i, int64_t o, int parts, End end) {
    in_parts(parts, [=](int k) {
        if (i == 1) rows_by_columns({x, 1, 1}, {dz, o, 1}, n, 0, 1, at(o, k, parts), at(o, k + 1, parts), end);
        else if (o < FEW) rows_by_columns({dz, 1, o}, {x, i, 1}, n, 0, o, at(i, k, parts), at(i, k + 1, parts), end);
        else rows_by_columns({dz, 1, o}, {x, i, 1}, n, at(o, k, parts), at(o, k + 1, parts), 0, i, end);
    });
}

// Where each thread has enough samples, it takes the same ones in every layer: what it has computed is in its cache.
bool by_samples(int64_t n, int parts) { return n >= 2 * OUTPUTS * parts; }

// An argument of a function from the word that it is in a table.
template <class T> T from(int64_t word) {
    if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(word);
    else if constexpr (std::is_floating_point_v<T>) return T(std::bit_cast<double>(word));
    else return T(word);
}

template <class R, class... A, size_t... I> bool done(R (*f)(A...), const int64_t *words, std::index_sequence<I...>) {
    if constexpr (std::is_void_v<R>) return f(from<A>(words[I])...), true;
    else return f(from<A>(words[I])...) < 0;
}

template <class R, class... A> bool done(R (*f)(A...), const int64_t *words) {
    return done(f, words, std::make_index_sequence<sizeof...(A)>());
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void gpunn_start(int threads) {
    for (; team < threads; team++) std::thread(work, team).detach();
}

// In a child process there are no threads but its own.
void gpunn_forked() {
    team = 1;
    inside = 0;
    taken.clear();
}

// y = f(x w^T + b). With many samples it pays to turn the weights before.
void gpunn_linear(const float *x, const float *w, const float *b, float *y, int64_t n, int64_t i, int64_t o, int relu,
                  int parts) {
    in_parts(parts, [=](int k) {
        int64_t start = at(n, k, parts), stop = at(n, k + 1, parts);
        if (n >= MANY) rows_by_columns({x, i, 1}, {w, 1, i}, i, start, stop, 0, o, Activate{b, y, o, bool(relu)});
        else if (by_samples(n, parts)) rows_by_rows(x, w, b, y, i, o, start, stop, 0, o, relu);
        else rows_by_rows(x, w, b, y, i, o, 0, n, at(o, k, parts), at(o, k + 1, parts), relu);
    });
}

// dx = dz w
void gpunn_linear_input(const float *dz, const float *w, float *dx, int64_t n, int64_t i, int64_t o, int parts) {
    in_parts(parts, [=](int k) {
        Put end{dx, i};
        if (by_samples(n, parts)) rows_by_columns({dz, o, 1}, {w, i, 1}, o, at(n, k, parts), at(n, k + 1, parts), 0, i, end);
        else rows_by_columns({dz, o, 1}, {w, i, 1}, o, 0, n, at(i, k, parts), at(i, k + 1, parts), end);
    });
}

// db: the sums of dz over the samples
void gpunn_linear_bias(const float *dz, float *db, int64_t n, int64_t o, int parts) {
    in_parts(parts, [=](int k) {
        float one = 1;
        rows_by_columns({&one, 0, 0}, {dz, o, 1}, n, 0, 1, at(o, k, parts), at(o, k + 1, parts), Put{db, o});
    });
}

// dw = dz^T x
void gpunn_linear_weight(const float *dz, const float *x, float *dw, int64_t n, int64_t i, int64_t o, int parts) {
    gradient(dz, x, n, i, o, parts, Put{dw, i == 1 ? o : i});
}

// A step of SGD for the gradient dz^T x
void gpunn_sgd_product(float *p, float *b, const float *dz, const float *x, int64_t n, int64_t i, int64_t o, float lr,
                       float mu, float share, float decay, int parts) {
    gradient(dz, x, n, i, o, parts, Descend{p, b, i == 1 ? o : i, lr, mu, share, decay});
}

// The same for a flat gradient; `sign` is -1 to go up.
void gpunn_sgd(float *p, float *b, const float *g, int64_t n, float lr, float mu, float share, float decay, float sign,
               int parts) {
    in_parts(parts, [=](int k) {
        int64_t start = at(n, k, parts), end = at(n, k + 1, parts);
        if (b)
            for (int64_t s = start; s < end; s++) {
                float d = sign * g[s] + decay * p[s], m = (mu != 0 ? mu * b[s] : 0) + share * d;
                b[s] = m;
                p[s] -= lr * m;
            }
        else
            for (int64_t s = start; s < end; s++) p[s] -= lr * (sign * g[s] + decay * p[s]);
    });
}

// The mean of ln s - (x_y - m), with m = max x and s = sum of e^(x - m); -1, or the place of a label that is no class.
int64_t gpunn_cross_entropy(const float *x, const int64_t *labels, int64_t n, int64_t classes, float *loss, float *m,
                            float *s) {
    double total = 0;
    for (int64_t r = 0; r < n; r++, x += classes) {
        if (labels[r] < 0 || labels[r] >= classes) return r;
        float top = x[0];
        double sum = 0;  // of tens of thousands of classes a float would lose digits
        for (int64_t c = 1; c < classes; c++) top = x[c] > top || x[c] != x[c] ? x[c] : top;
        for (int64_t c = 0; c < classes; c++) sum += std::exp(x[c] - top);
        m[r] = top;
        s[r] = float(sum);
        total += std::log(sum) - double(x[labels[r]] - top);
    }
    *loss = float(total / double(n));
    return -1;
}

// dx = (e^(x - m) / s - I_y) dy / n; -1, or the place of a label that is no class.
int64_t gpunn_cross_entropy_backward(const float *dy, const float *x, const int64_t *labels, const float *m,
                                     const float *s, int64_t n, int64_t classes, float *dx) {
    for (int64_t r = 0; r < n; r++)
        if (labels[r] < 0 || labels[r] >= classes) return r;
    float share = *dy / float(n);
    for (int64_t r = 0; r < n; r++, x += classes, dx += classes) {
        float factor = share / s[r];
        for (int64_t c = 0; c < classes; c++) dx[c] = std::exp(x[c] - m[r]) * factor;
        dx[labels[r]] -= share;
    }
    return -1;
}

// dz = dy, and 0 where y <= 0
void gpunn_relu_backward(const float *dy, const float *y, float *dz, int64_t n, int parts) {
    in_parts(parts, [=](int k) {
        for (int64_t s = at(n, k, parts), end = at(n, k + 1, parts); s < end; s += LANES) {
            int64_t count = std::min<int64_t>(LANES, end - s);
            store(dz + s, load(y + s, count) <= 0 ? V{} : load(dy + s, count), count);
        }
    });
}

// The same functions with their arguments as words of 8 bytes: of a table, see joined.py. False: not done.
#define IN_A_TABLE(name) bool name##_in_a_table(const int64_t *words) { return done(name, words); }
IN_A_TABLE(gpunn_linear)
IN_A_TABLE(gpunn_linear_input)
IN_A_TABLE(gpunn_linear_bias)
IN_A_TABLE(gpunn_linear_weight)
IN_A_TABLE(gpunn_sgd_product)
IN_A_TABLE(gpunn_sgd)
IN_A_TABLE(gpunn_cross_entropy)
IN_A_TABLE(gpunn_cross_entropy_backward)
IN_A_TABLE(gpunn_relu_backward)
IN_A_TABLE(gpunn_max_pool)
IN_A_TABLE(gpunn_max_pool_backward)
IN_A_TABLE(gpunn_conv)
IN_A_TABLE(gpunn_conv_input)
IN_A_TABLE(gpunn_conv_weight)

// Rows of a table from `row` on, up to one that is empty or not done, or to `end`; `at` is the number of the one it is at.
void gpunn_rows(const int64_t *table, int64_t pitch, int64_t row, int64_t end, int64_t *at) {
    for (*at = row; row < end; *at = ++row) {
        const int64_t *words = table + row * pitch;
        auto function = reinterpret_cast<bool (*)(const int64_t *)>(words[0]);
        if (!function || !function(words + 1)) break;
    }
}
}
#pragma GCC visibility pop
