// Half precision: conversions in integers, and the types of <cuda_fp16.h> and <cuda_bf16.h> as far as they are
// storage that converts to float.
#pragma once
#include "intrinsics.h"
#include "vectors.h"

namespace simulator {

#if defined(__F16C__)
typedef short Halves __attribute__((vector_size(16)));
typedef float Floats __attribute__((vector_size(16)));
#endif

SIMULATOR_QUIET static inline float half_to_float(unsigned short bits) {
#if defined(__F16C__)
    return __builtin_ia32_vcvtph2ps(Halves{(short)bits})[0];
#else
    const unsigned sign = (unsigned)(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude >= 0x400u) return __uint_as_float(sign | ((magnitude << 13) + 0x38000000u));
    const float value = (float)magnitude * 0x1p-24f;  // subnormal
    return sign ? -value : value;
#endif
}

// To nearest, ties to even.
SIMULATOR_QUIET static inline unsigned short float_to_half(float value) {
#if defined(__F16C__)
    return (unsigned short)__builtin_ia32_vcvtps2ph(Floats{value}, 0)[0];
#else
    const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (unsigned short)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);  // 65520 rounds up to infinity
    if (magnitude >= 0x38800000u)
        return (unsigned short)(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
    // Subnormal: adding 0.5 makes the sum's last bit worth 2^-24, so the hardware rounds.
    return (unsigned short)(sign | (__float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u));
#endif
}

SIMULATOR_QUIET static inline unsigned float_to_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x1000u) & 0xffffe000u;
}

SIMULATOR_QUIET static inline unsigned short float_to_bfloat16(float value) {
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace simulator

struct __half {
    unsigned short x;
};
struct alignas(4) __half2 {
    __half x, y;
};
struct __nv_bfloat16 {
    unsigned short x;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
typedef __half half;
typedef __half2 half2;

SIMULATOR_INLINE float __half2float(__half h) { return simulator::half_to_float(h.x); }
SIMULATOR_INLINE __half __float2half(float f) { return {simulator::float_to_half(f)}; }
SIMULATOR_INLINE __half __float2half_rn(float f) { return {simulator::float_to_half(f)}; }
SIMULATOR_INLINE float2 __half22float2(__half2 h) { return {__half2float(h.x), __half2float(h.y)}; }
SIMULATOR_INLINE __half2 __floats2half2_rn(float a, float b) { return {__float2half(a), __float2half(b)}; }
SIMULATOR_INLINE float __bfloat162float(__nv_bfloat16 h) { return __uint_as_float((unsigned)h.x << 16); }
SIMULATOR_INLINE __nv_bfloat16 __float2bfloat16(float f) { return {simulator::float_to_bfloat16(f)}; }
SIMULATOR_INLINE __nv_bfloat16 __float2bfloat16_rn(float f) { return {simulator::float_to_bfloat16(f)}; }
SIMULATOR_INLINE float2 __bfloat1622float2(__nv_bfloat162 h) { return {__bfloat162float(h.x), __bfloat162float(h.y)}; }
SIMULATOR_INLINE __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
    return {__float2bfloat16(a), __float2bfloat16(b)};
}
