// Vector types, with CUDA's alignments.
#pragma once
#include "device.h"

#define SIMULATOR_VECTORS(T, name, bytes)                                          \
    struct name##1 { T x; };                                                       \
    struct alignas((bytes) * 2) name##2 { T x, y; };                               \
    struct name##3 { T x, y, z; };                                                 \
    struct alignas((bytes) * 4 > 16 ? 16 : (bytes) * 4) name##4 { T x, y, z, w; }; \
    SIMULATOR_INLINE name##1 make_##name##1(T x) { return {x}; }                   \
    SIMULATOR_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; }           \
    SIMULATOR_INLINE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }   \
    SIMULATOR_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMULATOR_VECTORS(char, char, 1)
SIMULATOR_VECTORS(unsigned char, uchar, 1)
SIMULATOR_VECTORS(short, short, 2)
SIMULATOR_VECTORS(unsigned short, ushort, 2)
SIMULATOR_VECTORS(int, int, 4)
SIMULATOR_VECTORS(unsigned, uint, 4)
SIMULATOR_VECTORS(long, long, 8)
SIMULATOR_VECTORS(unsigned long, ulong, 8)
SIMULATOR_VECTORS(long long, longlong, 8)
SIMULATOR_VECTORS(unsigned long long, ulonglong, 8)
SIMULATOR_VECTORS(float, float, 4)
SIMULATOR_VECTORS(double, double, 8)
#undef SIMULATOR_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return {x, y, z}; }
};
