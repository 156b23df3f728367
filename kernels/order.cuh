// Elements as numbers that are in the same order: unsigned, 64 bits, and equal for elements that are equal.
#pragma once
#include "common.cuh"
#include "scalar.cuh"

typedef unsigned long long order_t;
constexpr order_t GREATEST = 0xffffffffffffffffull;

// IEEE 754 floats are in the order of their bits, but with the sign apart, and negative ones turned around. -0 equals
// 0; NaN is larger than any number.
__device__ __forceinline__ order_t order_of(double v) {
    if (v != v) return GREATEST;
    const order_t sign = 1ull << 63;
    const order_t bits = (order_t)__double_as_longlong(v == 0 ? 0.0 : v);
    return bits & sign ? ~bits : bits | sign;
}
__device__ __forceinline__ order_t order_of(float v) {
    if (v != v) return GREATEST;
    const unsigned sign = 1u << 31;
    const unsigned bits = __float_as_uint(v == 0 ? 0.0f : v);
    return bits & sign ? ~bits : bits | sign;
}
__device__ __forceinline__ order_t order_of(half_t v) { return order_of((float)v); }
__device__ __forceinline__ order_t order_of(bfloat16_t v) { return order_of((float)v); }
__device__ __forceinline__ order_t order_of(long long v) { return (order_t)v ^ 1ull << 63; }
__device__ __forceinline__ order_t order_of(int v) { return order_of((long long)v); }
__device__ __forceinline__ order_t order_of(short v) { return order_of((long long)v); }
__device__ __forceinline__ order_t order_of(signed char v) { return order_of((long long)v); }
__device__ __forceinline__ order_t order_of(unsigned char v) { return v; }
__device__ __forceinline__ order_t order_of(bool v) { return v; }
