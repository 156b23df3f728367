// Convolution as products with shifted images, in registers, without columns.
#pragma once
#include <cstring>

#include "threads.h"
#include "vectors.h"

namespace {

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

bool are_finite(const float *v, size_t count) {
    V rest = {};  // NaN once one is not
    size_t p = 0;
    for (; p + LANES <= count; p += LANES) rest += load(v + p) - load(v + p);
    float last = sum(rest);
    for (; p < count; p++) last += v[p] - v[p];
    return last == 0;
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

// The three give -1, or 0 where they multiply zeros of the padding by what is not finite: it is to be done without these.

// y = f(x * w + b), stride 1
int64_t gpunn_conv(const float *x, const float *w, const float *b, float *y, int n, int c, int h, int wide, int o, int kh,
                int kw, int top, int left, int oh, int ow, int relu, int parts) {
    if (!are_finite(w, size_t(o) * c * kh * kw)) return 0;
    convolve({c, h, wide, kh, kw, top, left, oh, ow}, x, packed(w, o, c, kh, kw, false), b, o, relu, y, n, parts);
    return -1;
}

// dx: the convolution of dz with the weights turned around
int64_t gpunn_conv_input(const float *dz, const float *w, float *dx, int n, int c, int h, int wide, int o, int kh, int kw,
                      int top, int left, int oh, int ow, int parts) {
    if (!are_finite(w, size_t(o) * c * kh * kw)) return 0;
    Image g{o, oh, ow, kh, kw, kh - 1 - top, kw - 1 - left, h, wide};
    convolve(g, dz, packed(w, o, c, kh, kw, true), nullptr, c, false, dx, n, parts);
    return -1;
}

// dw and db
int64_t gpunn_conv_weight(const float *x, const float *dz, float *dw, float *db, int n, int c, int h, int wide, int o, int kh,
                       int kw, int top, int left, int oh, int ow, int parts) {
    constexpr int IMAGES = 8;
    Image g{c, h, wide, kh, kw, top, left, oh, ow};
    size_t length = (g.pixels() + LANES - 1) / LANES * LANES, kernel = size_t(c) * kh * kw, own = o * (kernel + 1);
    size_t x_image = c * g.plane(), dz_image = o * length;
    std::vector<size_t> taps(kernel + TAPS);
    for (size_t t = 0; t < kernel; t++)
        taps[t] = t / (kh * kw) * g.plane() + t / kw % kh * g.pitch() + t % kw;
    float *sums = room(2, parts * own);  // of both, for each part
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
    return are_finite(dw, o * kernel) ? -1 : 0;
}
}
#pragma GCC visibility pop
