// Vectors of floats, as wide as the processor's, and room for what a thread computes on the way.
#pragma once
#include <cstdint>
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

}  // namespace
