// The loops of the CPU's primitives for float32; matrix products are the BLAS's.
#include <cmath>

#include "convolution.h"
#include "pooling.h"

namespace {

// OpenBLAS multiplies matrices of up to 100^3 products without copying them first, where it has kernels for that (AVX-512).
// With few samples that is several times as fast: so many columns of a product at a time.
int64_t columns_at_once(int64_t n, int64_t k, int64_t all) {
    constexpr int64_t SMALL = 1000000, FEWEST = 32;
    int64_t most = SMALL / (n * k);
    return most < FEWEST ? all : most / FEWEST * FEWEST;
}

// With more samples, up to so many, OpenBLAS takes less time for the transposed product, and with it for turning that.
constexpr int64_t MOST_TURNED = 256;

bool is_turned(int64_t n, int64_t k, int64_t all) { return n <= MOST_TURNED && columns_at_once(n, k, all) == all; }

// y = f(t^T + b) for t (width, n)
void turn(const float *t, const float *b, bool relu, float *y, int64_t n, int64_t width, int64_t distance) {
    constexpr int64_t TILE = 16;
    for (int64_t s = 0; s < width; s += TILE)
        for (int64_t r = 0; r < n; r += TILE)
            for (int64_t q = r; q < std::min(r + TILE, n); q++)
                for (int64_t p = s; p < std::min(s + TILE, width); p++) {
                    float z = t[p * n + q] + (b ? b[p] : 0);
                    y[q * distance + p] = relu && z < 0 ? 0 : z;
                }
}

template <class F> void in_chunks(int64_t start, int64_t end, int64_t step, F f) {
    for (; start < end; start += step) f(start, std::min(step, end - start));
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void gpunn_start(int threads, void *gemm, void *get, void *set) {
    sgemm = reinterpret_cast<Gemm>(gemm);
    get_threads = reinterpret_cast<int (*)()>(get);
    set_threads = reinterpret_cast<void (*)(int)>(set);
    for (; team < threads; team++) std::thread(work).detach();
}

// In a child process there are no threads but its own.
void gpunn_forked() {
    team = 1;
    inside = 0;
    taken.clear();
}

// y = f(x w^T + b)
void gpunn_linear(const float *x, const float *w, const float *b, float *y,
                                                         int64_t n, int64_t i, int64_t o, int relu, int parts) {
    OneThread scope;
    if (n > o && parts > 1) {  // of the larger side each thread takes its part
        in_parts(parts, [=](int k) {
            int64_t start = at(n, k, parts), rows = at(n, k + 1, parts) - start;
            gpunn_linear(x + start * i, w, b, y + start * o, rows, i, o, relu, 1);
        });
        return;
    }
    in_parts(parts, [=](int k) {
        if (is_turned(n, i, o)) {
            int64_t start = at(o, k, parts), width = at(o, k + 1, parts) - start;
            float *t = room(0, width * n);
            product(false, true, width, n, i, 1, w + start * i, i, x, i, 0, t, n);
            turn(t, b ? b + start : nullptr, relu, y + start, n, width, o);
            return;
        }
        in_chunks(at(o, k, parts), at(o, k + 1, parts), columns_at_once(n, i, o), [=](int64_t start, int64_t width) {
            product(false, true, n, width, i, 1, x, i, w + start * i, i, 0, y + start, o);
            for (int64_t r = 0; r < n && (b || relu); r++) {
                float *z = y + r * o + start;
                if (b) for (int64_t s = 0; s < width; s++) z[s] += b[start + s];
                if (relu) for (int64_t s = 0; s < width; s++) z[s] = z[s] < 0 ? 0 : z[s];
            }
        });
    });
}

// dx = dz w
void gpunn_linear_input(const float *dz, const float *w, float *dx, int64_t n,
                                                               int64_t i, int64_t o, int parts) {
    OneThread scope;
    if (n > i && parts > 1) {
        in_parts(parts, [=](int k) {
            int64_t start = at(n, k, parts), rows = at(n, k + 1, parts) - start;
            gpunn_linear_input(dz + start * o, w, dx + start * i, rows, i, o, 1);
        });
        return;
    }
    in_parts(parts, [=](int k) {
        if (is_turned(n, o, i)) {
            int64_t start = at(i, k, parts), width = at(i, k + 1, parts) - start;
            float *t = room(0, width * n);
            product(true, true, width, n, o, 1, w + start, i, dz, o, 0, t, n);
            turn(t, nullptr, false, dx + start, n, width, i);
            return;
        }
        in_chunks(at(i, k, parts), at(i, k + 1, parts), columns_at_once(n, o, i), [=](int64_t start, int64_t width) {
            product(false, false, n, width, o, 1, dz, o, w + start, i, 0, dx + start, i);
        });
    });
}

// dw = dz^T x
void gpunn_linear_weight(const float *dz, const float *x, float *dw, int64_t n,
                                                                int64_t i, int64_t o, int parts) {
    OneThread scope;
    in_parts(parts, [=](int k) {
        int64_t start = at(o, k, parts), rows = at(o, k + 1, parts) - start;
        product(true, false, rows, i, n, 1, dz + start, o, x, i, 0, dw + start * i, i);
    });
}

// b = mu b + share (g + decay p), p -= lr b, for g = dz^T x; without b, p -= lr (g + decay p). For few samples some rows
// at a time, so that b is still in the cache when it is subtracted; with many the product takes longer than that.
void gpunn_sgd_product(float *p, float *b, const float *dz, const float *x,
                                                              int64_t n, int64_t i, int64_t o, float lr, float mu,
                                                              float share, float decay, int parts) {
    constexpr int64_t ELEMENTS = 1 << 16, FEW = 64;
    OneThread scope;
    int64_t step = n > FEW ? o : std::min(columns_at_once(n, i, o), std::max<int64_t>(ELEMENTS / i, 1));
    in_parts(parts, [=](int k) {
        in_chunks(at(o, k, parts), at(o, k + 1, parts), step, [=](int64_t r, int64_t rows) {
            int64_t size = rows * i;
            float *w = p + r * i, *m = b ? b + r * i : nullptr;
            if (!b) {
                product(true, false, rows, i, n, -lr * share, dz + r, o, x, i, 1 - lr * decay, w, i);
                return;
            }
            product(true, false, rows, i, n, share, dz + r, o, x, i, mu, m, i);
            if (decay != 0)
                for (int64_t s = 0; s < size; s++) m[s] += share * decay * w[s];
            for (int64_t s = 0; s < size; s++) w[s] -= lr * m[s];
        });
    });
}

// The same for a flat gradient; `sign` is -1 to go up.
void gpunn_sgd(float *p, float *b, const float *g, int64_t n, float lr, float mu,
                                                      float share, float decay, float sign, int parts) {
    in_parts(parts, [=](int k) {
        int64_t start = at(n, k, parts), end = at(n, k + 1, parts);
        if (b)
            for (int64_t s = start; s < end; s++) {
                float d = sign * g[s] + decay * p[s], m = mu * b[s] + share * d;
                b[s] = m;
                p[s] -= lr * m;
            }
        else
            for (int64_t s = start; s < end; s++) p[s] -= lr * (sign * g[s] + decay * p[s]);
    });
}

// The mean of ln s - (x_y - m), with m = max x and s = sum of e^(x - m); -1, or the place of a label that is no class.
int64_t gpunn_cross_entropy(const float *x, const int64_t *labels, int64_t n,
                                                                   int64_t classes, float *loss, float *m, float *s) {
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

// dx = (e^(x - m) / s - I_y) dy / n
void gpunn_cross_entropy_backward(float dy, const float *x,
                                                                         const int64_t *labels, const float *m,
                                                                         const float *s, int64_t n, int64_t classes,
                                                                         float *dx) {
    float share = dy / float(n);
    for (int64_t r = 0; r < n; r++, x += classes, dx += classes) {
        float factor = share / s[r];
        for (int64_t c = 0; c < classes; c++) dx[c] = std::exp(x[c] - m[r]) * factor;
        dx[labels[r]] -= share;
    }
}

// dz = dy where y > 0
void gpunn_relu_backward(const float *dy, const float *y, float *dz, int64_t n,
                                                                int parts) {
    in_parts(parts, [=](int k) {
        int64_t end = at(n, k + 1, parts);
#pragma GCC ivdep
        for (int64_t s = at(n, k, parts); s < end; s++) {
            float g = dy[s];
            dz[s] = y[s] > 0 ? g : 0;
        }
    });
}
}
#pragma GCC visibility pop
