// Products of matrices, in registers. A sum does not depend on how many threads there are or which rows are computed
// together: it is taken over k in order, DEEP (along rows of both: LONG) of them at a time.
#pragma once
#include <cstring>
#include <utility>

#include "threads.h"
#include "vectors.h"

namespace {

#define INLINE inline __attribute__((always_inline))
constexpr int64_t WIDE = VECTORS * LANES, DEEP = 512, TALL = 256, LONG = 1024, CACHED = 1 << 17, GROUP = 8 * VECTORS;

V load(const float *p, int64_t count) {
    if (count == LANES) return load(p);
    V v = {};
    std::memcpy(&v, p, count * 4);
    return v;
}

void store(float *p, V v, int64_t count) { count == LANES ? store(p, v) : (void)std::memcpy(p, &v, count * 4); }

// Loaded once: GCC else takes it from memory for each of the products.
V in_register(V v) {
#if defined(__x86_64__)
    asm("" : "+v"(v));
#endif
    return v;
}

// f.operator()<R>(start) for R rows at a time, then R / 2, ...
template <int R, class F> void by_rows(int64_t start, int64_t end, F f) {
    for (; start + R <= end; start += R) f.template operator()<R>(start);
    if constexpr (R > 1) by_rows<R / 2>(start, end, f);
}

// Shuffles within groups of four lanes, and of such groups, which processors have as single instructions.
using Lanes = std::make_integer_sequence<int, LANES>;

template <int PART, int... i> V singles(V a, V b, std::integer_sequence<int, i...>) {
    return __builtin_shuffle(a, b, I{(i / 4 * 4 + PART * 2 + i % 4 / 2 + i % 2 * LANES)...});
}

template <int PART, int... i> V pairs(V a, V b, std::integer_sequence<int, i...>) {
    return __builtin_shuffle(a, b, I{(i / 4 * 4 + PART * 2 + i % 2 + i % 4 / 2 * LANES)...});
}

template <int PART, int... i> V groups(V a, V b, std::integer_sequence<int, i...>) {
    return __builtin_shuffle(a, b, I{(i / 4 * 8 + PART * 4 + i % 4)...});
}

// In each group of four lanes a share of the sums of a, b, c and d.
V four_sums(V a, V b, V c, V d) {
    Lanes all;
    V ab = singles<0>(a, b, all) + singles<1>(a, b, all), cd = singles<0>(c, d, all) + singles<1>(c, d, all);
    return pairs<0>(ab, cd, all) + pairs<1>(ab, cd, all);
}

// The sums of R vectors, in the first R lanes.
template <int R> INLINE V sums_of(const V (&v)[R]) {
    constexpr int B = R > 1, C = R > 2 ? 2 : 0, D = R > 2 ? 3 : B, E = R > 4 ? 4 : 0;
    V low = four_sums(v[0], v[B], v[C], v[D]), high = E ? four_sums(v[E], v[E + B], v[E + C], v[E + D]) : low;
    Lanes all;
    V sums = groups<0>(low, high, all) + groups<1>(low, high, all);
    for (int left = LANES / 8; left > 1; left /= 2) sums = groups<0>(sums, sums, all) + groups<1>(sums, sums, all);
    return sums;
}

// R rows of x times VECTORS rows of w: lane r of result[c]. `x` has LANES elements of each of the R rows in turn.
template <int R> INLINE void dots(const float *x, const float *const *w, int64_t depth, V (&result)[VECTORS]) {
    V sums[VECTORS][R];
    for (auto &some : sums)
        for (V &v : some) v = V{};
    int64_t k = 0;
    for (; k + LANES <= depth; k += LANES, x += R * LANES) {
        V v[VECTORS];
        for (int c = 0; c < VECTORS; c++) v[c] = load(w[c] + k);
        for (int r = 0; r < R; r++) {
            V u = in_register(load(x + r * LANES));
            for (int c = 0; c < VECTORS; c++) sums[c][r] += u * v[c];
        }
    }
    if (k < depth)
        for (int c = 0; c < VECTORS; c++) {
            V v = load(w[c] + k, depth - k);
            for (int r = 0; r < R; r++) sums[c][r] += load(x + r * LANES) * v;
        }
    for (int c = 0; c < VECTORS; c++) result[c] = sums_of<R>(sums[c]);
}

// y = f(x w^T + b) of some rows and columns; x (., i), w (., i), y (., o). Some rows of x lie in the cache.
void rows_by_rows(const float *x, const float *w, const float *b, float *y, int64_t i, int64_t o, int64_t top,
                  int64_t bottom, int64_t left, int64_t right, bool relu) {
    for (int64_t k = 0; k < i; k += LONG) {
        int64_t depth = std::min(LONG, i - k), filled = (depth + LANES - 1) / LANES * LANES;
        int64_t tall = CACHED / filled / OUTPUTS * OUTPUTS;
        bool first = k == 0, last = k + depth == i;
        for (int64_t start = top; start < bottom; start += tall) {
            int64_t stop = std::min(start + tall, bottom);
            float *packed = room(0, (stop - start) * filled);
            by_rows<OUTPUTS>(start, stop, [=]<int R>(int64_t r) {
                float *to = packed + (r - start) * filled;
                const float *from = x + r * i + k;
                for (int64_t q = 0; q < depth; q += LANES)
                    for (int p = 0; p < R; p++, to += LANES)
                        store(to, load(from + p * i + q, std::min<int64_t>(LANES, depth - q)));
            });
            for (int64_t group = left; group < right; group += GROUP)
                by_rows<OUTPUTS>(start, stop, [=]<int R>(int64_t r) {
                    for (int64_t c = group, end = std::min(group + GROUP, right); c < end; c += VECTORS) {
                        const float *some[VECTORS];
                        for (int64_t q = 0; q < VECTORS; q++) some[q] = w + std::min(c + q, end - 1) * i + k;
                        V result[VECTORS];
                        dots<R>(packed + (r - start) * filled, some, depth, result);
                        for (int64_t q = c; q < std::min(c + VECTORS, end); q++) {
                            float z[LANES] = {}, *to = y + r * o + q;
                            V v = result[q - c];
                            if (!first) {
                                for (int p = 0; p < R; p++) z[p] = to[p * o];
                                v += load(z);
                            }
                            if (last && b) v += b[q];
                            store(z, last && relu ? v < 0 ? V{} : v : v);
                            for (int p = 0; p < R; p++) to[p * o] = z[p];
                        }
                    }
                });
        }
    }
}

// R rows times N vectors: `a` has R elements for each k, `b` a row.
template <int R, int N, class End> INLINE void tile(const float *a, const float *b, int64_t pitch, int64_t depth, End end) {
    V sums[R][N] = {};
    for (int64_t k = 0; k < depth; k++, a += R, b += pitch) {
        V v[N];
        for (int j = 0; j < N; j++) v[j] = load(b + j * LANES);
        for (int r = 0; r < R; r++)
            for (int j = 0; j < N; j++) sums[r][j] += a[r] * v[j];
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < N; j++) end(r, j * LANES, sums[r][j]);
}

// The plain product.
struct Put {
    float *result;
    int64_t pitch;
    INLINE void operator()(int64_t m, int64_t n, int64_t count, V v, bool first, bool) const {
        float *to = result + m * pitch + n;
        store(to, first ? v : v + load(to, count), count);
    }
};

// f(product + b)
struct Activate {
    const float *b;
    float *y;
    int64_t pitch;
    bool relu;
    INLINE void operator()(int64_t m, int64_t n, int64_t count, V v, bool first, bool last) const {
        float *to = y + m * pitch + n;
        if (!first) v += load(to, count);
        if (last && b) v += load(b + n, count);
        store(to, last && relu ? v < 0 ? V{} : v : v, count);
    }
};

// b = mu b + share (g + decay p), p -= lr b, for the gradient g; without b, p -= lr (g + decay p). Where mu is 0, what is
// in b is not looked at: it may be no number.
struct Descend {
    float *p, *b;
    int64_t pitch;
    float lr, mu, share, decay;
    INLINE void operator()(int64_t m, int64_t n, int64_t count, V g, bool first, bool last) const {
        float *to = p + m * pitch + n, *sum = b + m * pitch + n;
        V w = load(to, count);
        if (!b) {
            store(to, (first ? w * (1 - lr * decay) : w) - g * (lr * share), count);
            return;
        }
        V v = first && mu == 0 ? V{} : load(sum, count);
        v = first ? v * mu + (g + w * decay) * share : v + g * share;
        store(sum, v, count);
        if (last) store(to, w - v * lr, count);
    }
};

// Element (r, c) lies at data[r * down + c * right].
struct Matrix {
    const float *data;
    int64_t down, right;
    const float &operator()(int64_t r, int64_t c) const { return data[r * down + c * right]; }
};

// Rows k to k + deep of b, of each `width` columns from n on; zeros fill up the last vector.
void pack(float *panel, Matrix b, int64_t k, int64_t deep, int64_t n, int64_t width) {
    int64_t filled = (width + LANES - 1) / LANES * LANES;
    if (b.right == 1)
        for (int64_t q = 0; q < deep; q++)
            for (int64_t p = 0; p < filled; p += LANES)
                store(panel + q * WIDE + p, load(&b(k + q, n + p), std::min<int64_t>(LANES, width - p)));
    else
        for (int64_t p = 0; p < filled; p++)
            for (int64_t q = 0; q < deep; q++) panel[q * WIDE + p] = p < width ? b(k + q, n + p) : 0;
}

// a b, of rows top to bottom and columns left to right: end(m, n, count, v, first, last) takes `count` neighbours, of each
// DEEP of the depth one after another.
template <class End> void rows_by_columns(Matrix a, Matrix b, int64_t depth, int64_t top, int64_t bottom, int64_t left,
                                          int64_t right, End end) {
    for (int64_t start = top; start < bottom; start += TALL)
        for (int64_t k = 0; k < depth; k += DEEP) {
            int64_t stop = std::min(start + TALL, bottom), deep = std::min(DEEP, depth - k);
            bool first = k == 0, last = k + deep == depth;
            float *factors = room(0, (stop - start) * deep), *panel = room(1, deep * WIDE);
            by_rows<OUTPUTS>(start, stop, [=]<int R>(int64_t m) {
                float *to = factors + (m - start) * deep;
                for (int64_t q = 0; q < deep; q++)
                    for (int r = 0; r < R; r++) to[q * R + r] = a(m + r, k + q);
            });
            for (int64_t n = left; n < right; n += WIDE) {
                int64_t width = std::min(WIDE, right - n), pitch = WIDE;
                const float *source = panel;
                if (width == WIDE && b.right == 1 && stop - start <= 2 * OUTPUTS) source = &b(k, n), pitch = b.down;
                else pack(panel, b, k, deep, n, width);
                by_rows<OUTPUTS>(start, stop, [=]<int R>(int64_t m) {
                    auto each = [=](int r, int64_t c, V v) __attribute__((always_inline)) {
                        end(m + r, n + c, std::min<int64_t>(width - c, LANES), v, first, last);
                    };
                    const float *some = factors + (m - start) * deep;
                    if (width > 2 * LANES) tile<R, VECTORS>(some, source, pitch, deep, each);
                    else if (width > LANES) tile<R, 2>(some, source, pitch, deep, each);
                    else tile<R, 1>(some, source, pitch, deep, each);
                });
            }
        }
}

}  // namespace
