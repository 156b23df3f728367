// The loops of the CPU's primitives for float32, and threads of their own; matrix products are the BLAS's, one thread
// each. Work is cut into parts by its shape and the number of threads, and whoever is done with one takes the next: a
// thread that has lost its core keeps nobody waiting who could do its part, and the bits do not depend on that.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#ifdef __AVX512F__
constexpr int LANES = 16, OUTPUTS = 8, VECTORS = 3, ROWS = 8, TAPS = 3;
#else
constexpr int LANES = 8, OUTPUTS = 4, VECTORS = 3, ROWS = 4, TAPS = 3;
#endif
typedef float V __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int32_t I __attribute__((vector_size(LANES * 4)));
typedef uint8_t B __attribute__((vector_size(LANES), aligned(1)));

namespace {

using Gemm = void (*)(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                      float, float *, int64_t);
Gemm sgemm;
int (*get_threads)();
void (*set_threads)(int);
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

void product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
             int64_t ldb, float beta, float *c, int64_t ldc) {
    sgemm(ROW_MAJOR, ta ? TRANSPOSED : PLAIN, tb ? TRANSPOSED : PLAIN, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// Threads -------------------------------------------------------------------------------------------------------------

constexpr int SPINS = 4000;  // some tens of microseconds: the next call of a step comes sooner, mostly

struct Job {
    void (*call)(void *, int);
    void *data;
    int parts;
    std::atomic<int> next{0};
};

std::atomic<Job *> current{nullptr};
std::atomic<uint32_t> round_number{0};
std::atomic<int> inside{0};
std::atomic_flag taken = ATOMIC_FLAG_INIT;
int team = 1;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void take_parts(Job *job) {
    for (int k; (k = job->next.fetch_add(1)) < job->parts;) job->call(job->data, k);
}

void work() {
    uint32_t seen = round_number.load();
    for (;;) {
        for (int i = 0; i < SPINS && round_number.load(std::memory_order_relaxed) == seen; i++) pause();
        round_number.wait(seen);
        seen = round_number.load();
        inside.fetch_add(1);
        if (Job *job = current.load()) take_parts(job);
        inside.fetch_sub(1);
        inside.notify_all();
    }
}

// Beside a busy process a thread loses its core for milliseconds in the middle of a part. Where more than a share of the
// time is spent on waiting for such, the caller does all parts for a while: twice as long if it is so again behind that.
class Calm {
    using Clock = std::chrono::steady_clock;
    using Seconds = std::chrono::duration<double>;
    static constexpr double WINDOW = 0.02, SHARE = 0.4, SHORTEST = 0.05, LONGEST = 0.8;
    Clock::time_point until{}, started{}, worked{};
    double length = SHORTEST, waited = 0, all = 0;

  public:
    bool begin() { return (started = Clock::now()) >= until; }
    void wait() { worked = Clock::now(); }
    void end() {
        auto now = Clock::now();
        waited += Seconds(now - worked).count();
        all += Seconds(now - started).count();
        if (all < WINDOW) return;
        bool busy = waited > SHARE * all;
        if (busy) until = now + std::chrono::duration_cast<Clock::duration>(Seconds(length));
        length = busy ? std::min(2 * length, LONGEST) : SHORTEST;
        waited = all = 0;
    }
};
Calm calm;  // of the caller that has the threads

template <class F> void in_parts(int parts, F f) {
    if (parts < 2 || team < 2 || taken.test_and_set()) {
        for (int k = 0; k < parts; k++) f(k);
        return;
    }
    if (!calm.begin()) {
        for (int k = 0; k < parts; k++) f(k);
        taken.clear();
        return;
    }
    Job job;
    job.call = [](void *data, int k) { (*static_cast<F *>(data))(k); };
    job.data = &f;
    job.parts = parts;
    current = &job;
    round_number.fetch_add(1);
    round_number.notify_all();
    take_parts(&job);
    calm.wait();
    current = nullptr;
    // A thread that has lost its core gets one sooner if this one sleeps.
    for (int i = 0, others; (others = inside.load()); i++) i < SPINS ? pause() : inside.wait(others);
    calm.end();
    taken.clear();
}

struct OneThread {  // of the BLAS, since there are others already
    int before = get_threads();
    OneThread() { if (before > 1) set_threads(1); }
    ~OneThread() { if (before > 1) set_threads(before); }
};

int64_t at(int64_t count, int k, int parts) { return count * k / parts; }

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

thread_local std::vector<float> memory[3];

float *room(int which, size_t count) {
    auto &m = memory[which];
    if (m.size() < count + LANES) m.resize(count + LANES);
    return reinterpret_cast<float *>((reinterpret_cast<uintptr_t>(m.data()) + LANES * 4 - 1) / (LANES * 4) * (LANES * 4));
}

V load(const float *p) { return *reinterpret_cast<const V *>(p); }

void store(float *p, V v) { *reinterpret_cast<V *>(p) = v; }

template <int WIDTH> float sum(const float *v) {
    float half[WIDTH / 2];
    for (int i = 0; i < WIDTH / 2; i++) half[i] = v[i] + v[i + WIDTH / 2];
    return sum<WIDTH / 2>(half);
}

template <> float sum<1>(const float *v) { return *v; }

float sum(V v) { return sum<LANES>(reinterpret_cast<const float *>(&v)); }

// Convolution ---------------------------------------------------------------------------------------------------------

struct Image {
    int channels, h, w, kh, kw, top, left, oh, ow;
    int height() const { return oh + kh - 1; }
    int pitch() const { return ow + kw - 1; }
    size_t plane() const { return size_t(height()) * pitch(); }
    int pixels() const { return (oh - 1) * pitch() + ow; }
};

// The image inside its padding, one row behind the other.
void pad(const Image &g, const float *x, float *padded) {
    int low = std::max(g.left, 0), high = std::min(g.left + g.w, g.pitch());
    for (int c = 0; c < g.channels; c++, padded += g.plane())
        for (int r = 0; r < g.height(); r++) {
            float *row = padded + size_t(r) * g.pitch();
            int from = r - g.top;
            if (from < 0 || from >= g.h || high <= low) {
                std::memset(row, 0, g.pitch() * 4);
                continue;
            }
            std::memset(row, 0, low * 4);
            std::memcpy(row + low, x + (size_t(c) * g.h + from) * g.w + low - g.left, (high - low) * 4);
            std::memset(row + high, 0, (g.pitch() - high) * 4);
        }
}

// OUTPUTS channels at VECTORS x LANES pixels: each element of the kernel is a product with the shifted image.
void pixels_of(const Image &g, const float *padded, const float *w, float *result, size_t distance) {
    V sums[OUTPUTS][VECTORS] = {};
    for (int c = 0; c < g.channels; c++)
        for (int i = 0; i < g.kh; i++) {
            const float *x = padded + c * g.plane() + size_t(i) * g.pitch();
            for (int j = 0; j < g.kw; j++, w += OUTPUTS) {
                V v[VECTORS];
                for (int k = 0; k < VECTORS; k++) v[k] = load(x + j + k * LANES);
                for (int o = 0; o < OUTPUTS; o++)
                    for (int k = 0; k < VECTORS; k++) sums[o][k] += v[k] * w[o];
            }
        }
    for (int o = 0; o < OUTPUTS; o++)
        for (int k = 0; k < VECTORS; k++) store(result + o * distance + k * LANES, sums[o][k]);
}

// The weights (o, c, kh, kw) as (o / OUTPUTS, c, kh, kw, OUTPUTS); for the input's gradient turned around.
std::vector<float> packed(const float *w, int o, int c, int kh, int kw, bool turned) {
    int results = turned ? c : o, sources = turned ? o : c, blocks = (results + OUTPUTS - 1) / OUTPUTS;
    std::vector<float> all(size_t(blocks) * sources * kh * kw * OUTPUTS);
    for (int r = 0; r < results; r++)
        for (int s = 0; s < sources; s++)
            for (int i = 0; i < kh; i++)
                for (int j = 0; j < kw; j++) {
                    float value = turned ? w[((size_t(s) * c + r) * kh + kh - 1 - i) * kw + kw - 1 - j]
                                         : w[((size_t(r) * c + s) * kh + i) * kw + j];
                    all[((((size_t(r / OUTPUTS)) * sources + s) * kh + i) * kw + j) * OUTPUTS + r % OUTPUTS] = value;
                }
    return all;
}

void convolve(const Image &g, const float *x, const std::vector<float> &w, const float *b, int outputs, bool relu,
              float *y, int images, int parts) {
    constexpr int STEP = VECTORS * LANES;
    size_t length = (g.pixels() + STEP - 1) / STEP * STEP, kernel = size_t(g.channels) * g.kh * g.kw * OUTPUTS;
    in_parts(parts, [&](int k) {
        float *padded = room(0, g.channels * g.plane() + STEP), *row = room(1, OUTPUTS * length);
        for (int64_t n = at(images, k, parts); n < at(images, k + 1, parts); n++) {
            pad(g, x + size_t(n) * g.channels * g.h * g.w, padded);
            for (int o = 0; o < outputs; o += OUTPUTS) {
                const float *weights = w.data() + o / OUTPUTS * kernel;
                for (size_t p = 0; p < length; p += STEP) pixels_of(g, padded + p, weights, row + p, length);
                for (int q = o; q < std::min(o + OUTPUTS, outputs); q++) {
                    float bias = b ? b[q] : 0, *to = y + (size_t(n) * outputs + q) * g.oh * g.ow;
                    const float *from = row + (q - o) * length;
                    for (int r = 0; r < g.oh; r++, to += g.ow, from += g.pitch())
                        if (relu)
                            for (int s = 0; s < g.ow; s++) { float z = from[s] + bias; to[s] = z < 0 ? 0 : z; }
                        else
                            for (int s = 0; s < g.ow; s++) to[s] = from[s] + bias;
                }
            }
        }
    });
}

// ROWS channels of dz, at all pixels of some images, times what lies under TAPS elements of the kernel.
void weights_of(const float *const *dz, const size_t *taps, const float *padded, int images, size_t dz_image,
                size_t x_image, size_t length, float (&result)[ROWS][TAPS]) {
    V sums[ROWS][TAPS] = {};
    for (int n = 0; n < images; n++) {
        const float *x = padded + n * x_image;
        for (size_t p = 0; p < length; p += LANES) {
            V g[ROWS];
            for (int o = 0; o < ROWS; o++) g[o] = load(dz[o] + n * dz_image + p);
            for (int t = 0; t < TAPS; t++) {
                V v = load(x + taps[t] + p);
                for (int o = 0; o < ROWS; o++) sums[o][t] += g[o] * v;
            }
        }
    }
    for (int o = 0; o < ROWS; o++)
        for (int t = 0; t < TAPS; t++) result[o][t] = sum(sums[o][t]);
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

namespace {

struct Order {
    I even, odd, low, high;
    constexpr Order() : even(), odd(), low(), high() {
        for (int i = 0; i < LANES; i++) {
            even[i] = 2 * i, odd[i] = 2 * i + 1;
            low[i] = i / 2 + i % 2 * LANES, high[i] = low[i] + LANES / 2;
        }
    }
};
const Order order;

// Plane n; a copy where fewer than `beyond` elements follow it, since vectors read so many beyond its end.
const float *plane_of(const float *x, int64_t n, int64_t planes, int size, int beyond, float *copy) {
    if ((planes - n - 1) * size >= beyond) return x + n * size;
    std::memcpy(copy, x + n * size, size * 4);
    return copy;
}

// Where x is larger than v, or no number, it takes its place.
void larger(V &v, I &taps, V x, int tap) {
    I wins = x > v | x != x;
    v = wins ? x : v;
    taps = wins ? I{} + tap : taps;
}

}  // namespace

// The largest of 2 x 2 and which it is, of equal ones the first, of NaNs the last.
void gpunn_max_pool(const float *x, float *y, uint8_t *which, int64_t planes, int h, int w, int parts) {
    int oh = h / 2, ow = w / 2;
    in_parts(parts, [=](int k) {
        float *last = room(0, h * w + 2 * LANES), *results = room(1, oh * ow + LANES);
        auto *numbers = reinterpret_cast<uint8_t *>(room(2, (oh * ow + LANES) / 4 + 1));
        for (int64_t n = at(planes, k, parts); n < at(planes, k + 1, parts); n++) {
            const float *image = plane_of(x, n, planes, h * w, 2 * LANES, last);
            for (int r = 0; r < oh; r++)
                for (int q = 0; q < ow; q += LANES) {
                    const float *a = image + 2 * r * w + 2 * q, *b = a + w;
                    V v = __builtin_shuffle(load(a), load(a + LANES), order.even);
                    I t = {};
                    larger(v, t, __builtin_shuffle(load(a), load(a + LANES), order.odd), 1);
                    larger(v, t, __builtin_shuffle(load(b), load(b + LANES), order.even), 2);
                    larger(v, t, __builtin_shuffle(load(b), load(b + LANES), order.odd), 3);
                    store(results + r * ow + q, v);
                    *reinterpret_cast<B *>(numbers + r * ow + q) = __builtin_convertvector(t, B);
                }
            std::memcpy(y + n * oh * ow, results, oh * ow * 4);
            std::memcpy(which + n * oh * ow, numbers, oh * ow);
        }
    });
}

// Each dy at the place that its window chose, 0 elsewhere.
void gpunn_max_pool_backward(const float *dy, const uint8_t *which, float *dx, int64_t planes, int h, int w,
                             int parts) {
    int oh = h / 2, ow = w / 2;
    in_parts(parts, [=](int k) {
        float *last = room(0, oh * ow + LANES), *image = room(1, h * w + 2 * LANES);
        auto *numbers = reinterpret_cast<uint8_t *>(room(2, (oh * ow + LANES) / 4 + 1));
        std::memset(image, 0, h * w * 4);  // what lies in no window
        for (int64_t n = at(planes, k, parts); n < at(planes, k + 1, parts); n++) {
            const float *given = plane_of(dy, n, planes, oh * ow, LANES, last);
            std::memcpy(numbers, which + n * oh * ow, oh * ow);
            for (int r = 0; r < 2 * oh; r++) {  // what is written behind the end of a row is written over by the next
                int q = 0, from = r / 2 * ow;
                for (; q < ow; q += LANES) {
                    I t = __builtin_convertvector(*reinterpret_cast<B *>(numbers + from + q), I);
                    I v = I(load(given + from + q));
                    V left = V((t == r % 2 * 2) & v), right = V((t == r % 2 * 2 + 1) & v);
                    store(image + r * w + 2 * q, __builtin_shuffle(left, right, order.low));
                    store(image + r * w + 2 * q + LANES, __builtin_shuffle(left, right, order.high));
                }
                if (w % 2) image[r * w + w - 1] = 0;
            }
            if (h % 2) std::memset(image + (h - 1) * w, 0, w * 4);
            std::memcpy(dx + n * h * w, image, h * w * 4);
        }
    });
}

// y = f(x * w + b), stride 1
void gpunn_conv(const float *x, const float *w, const float *b, float *y,
                                                       int n, int c, int h, int wide, int o, int kh, int kw, int top,
                                                       int left, int oh, int ow, int relu, int parts) {
    convolve({c, h, wide, kh, kw, top, left, oh, ow}, x, packed(w, o, c, kh, kw, false), b, o, relu, y, n, parts);
}

// dx: the convolution of dz with the weights turned around
void gpunn_conv_input(const float *dz, const float *w, float *dx, int n, int c,
                                                             int h, int wide, int o, int kh, int kw, int top, int left,
                                                             int oh, int ow, int parts) {
    Image g{o, oh, ow, kh, kw, kh - 1 - top, kw - 1 - left, h, wide};
    convolve(g, dz, packed(w, o, c, kh, kw, true), nullptr, c, false, dx, n, parts);
}

// dw and db; `sums` has room for one of both for each part
void gpunn_conv_weight(const float *x, const float *dz, float *dw, float *db,
                                                              float *sums, int n, int c, int h, int wide, int o, int kh,
                                                              int kw, int top, int left, int oh, int ow, int parts) {
    constexpr int IMAGES = 8;
    Image g{c, h, wide, kh, kw, top, left, oh, ow};
    size_t length = (g.pixels() + LANES - 1) / LANES * LANES, kernel = size_t(c) * kh * kw, own = o * (kernel + 1);
    size_t x_image = c * g.plane(), dz_image = o * length;
    std::vector<size_t> taps(kernel + TAPS);
    for (size_t t = 0; t < kernel; t++)
        taps[t] = t / (kh * kw) * g.plane() + t / kw % kh * g.pitch() + t % kw;
    in_parts(parts, [&](int k) {
        float *total = sums + k * own, *padded = room(0, IMAGES * x_image + LANES), *pixels = room(1, IMAGES * dz_image);
        std::memset(total, 0, own * 4);
        std::memset(pixels, 0, IMAGES * dz_image * 4);
        for (int64_t start = at(n, k, parts), end = at(n, k + 1, parts); start < end; start += IMAGES) {
            int images = int(std::min<int64_t>(IMAGES, end - start));
            for (int m = 0; m < images; m++) {
                pad(g, x + (start + m) * c * h * wide, padded + m * x_image);
                for (int q = 0; q < o; q++) {
                    const float *from = dz + ((start + m) * o + q) * oh * ow;
                    float *to = pixels + m * dz_image + q * length;
                    V all = {};
                    for (int r = 0; r < oh; r++) std::memcpy(to + size_t(r) * g.pitch(), from + r * ow, ow * 4);
                    for (size_t p = 0; p < length; p += LANES) all += load(to + p);
                    total[o * kernel + q] += sum(all);
                }
            }
            std::memset(padded + images * x_image, 0, LANES * 4);  // is read, times 0: no number must be there
            for (int q = 0; q < o; q += ROWS) {
                const float *rows[ROWS];
                for (int r = 0; r < ROWS; r++) rows[r] = pixels + std::min(q + r, o - 1) * length;
                for (size_t t = 0; t < kernel; t += TAPS) {
                    float result[ROWS][TAPS];
                    weights_of(rows, taps.data() + t, padded, images, dz_image, x_image, length, result);
                    for (int r = 0; r < ROWS && q + r < o; r++)
                        for (size_t s = 0; s < TAPS && t + s < kernel; s++)
                            total[(q + r) * kernel + t + s] += result[r][s];
                }
            }
        }
    });
    for (int k = 1; k < parts; k++)
        for (size_t s = 0; s < own; s++) sums[s] += sums[k * own + s];
    std::memcpy(dw, sums, o * kernel * 4);
    if (db) std::memcpy(db, sums + o * kernel, o * 4);
}
}
#pragma GCC visibility pop
