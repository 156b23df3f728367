// The largest of 2 x 2, and its gradient.
#pragma once
#include <cstring>

#include "threads.h"
#include "vectors.h"

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

#pragma GCC visibility push(default)
extern "C" {

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
}
#pragma GCC visibility pop
