// Mathematical functions, conversions and bit operations that CUDA has built in. The approximate ones are exact here.
#pragma once
#include <math.h>
#include <string.h>

#include "device.h"

// ---- Bits
#define SIMULATOR_BITS(name, From, To)      \
    SIMULATOR_INLINE To name(From value) {  \
        To bits;                            \
        memcpy(&bits, &value, sizeof bits); \
        return bits;                        \
    }
SIMULATOR_BITS(__float_as_int, float, int)
SIMULATOR_BITS(__float_as_uint, float, unsigned)
SIMULATOR_BITS(__int_as_float, int, float)
SIMULATOR_BITS(__uint_as_float, unsigned, float)
SIMULATOR_BITS(__double_as_longlong, double, long long)
SIMULATOR_BITS(__longlong_as_double, long long, double)
#undef SIMULATOR_BITS
SIMULATOR_INLINE int __double2loint(double a) { return (int)__double_as_longlong(a); }
SIMULATOR_INLINE int __double2hiint(double a) { return (int)(__double_as_longlong(a) >> 32); }
SIMULATOR_INLINE double __hiloint2double(int high, int low) {
    return __longlong_as_double((long long)((unsigned long long)(unsigned)high << 32 | (unsigned)low));
}
SIMULATOR_INLINE int __popc(unsigned a) { return __builtin_popcount(a); }
SIMULATOR_INLINE int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
SIMULATOR_INLINE int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
SIMULATOR_INLINE int __clzll(long long a) { return a ? __builtin_clzll((unsigned long long)a) : 64; }
SIMULATOR_INLINE int __ffs(int a) { return __builtin_ffs(a); }
SIMULATOR_INLINE int __ffsll(long long a) { return __builtin_ffsll(a); }
SIMULATOR_INLINE unsigned __brev(unsigned a) {
    unsigned r = 0;
    for (int i = 0; i < 32; ++i) r |= (a >> i & 1u) << (31 - i);
    return r;
}
SIMULATOR_INLINE unsigned long long __brevll(unsigned long long a) {
    return (unsigned long long)__brev((unsigned)a) << 32 | __brev((unsigned)(a >> 32));
}
SIMULATOR_INLINE unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const unsigned long long bytes = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned s = selector >> (4 * i) & 0xfu;
        unsigned byte = (unsigned)(bytes >> (8 * (s & 7u))) & 0xffu;
        if (s & 8u) byte = byte & 0x80u ? 0xffu : 0u;  // the sign, spread over the byte
        r |= byte << (8 * i);
    }
    return r;
}
SIMULATOR_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31u) >> 32);
}
SIMULATOR_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31u));
}
SIMULATOR_INLINE unsigned __funnelshift_lc(unsigned low, unsigned high, unsigned shift) {
    return shift >= 32u ? low : __funnelshift_l(low, high, shift);
}
SIMULATOR_INLINE unsigned __funnelshift_rc(unsigned low, unsigned high, unsigned shift) {
    return shift >= 32u ? high : __funnelshift_r(low, high, shift);
}

// ---- Integers
SIMULATOR_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
SIMULATOR_INLINE int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
SIMULATOR_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
SIMULATOR_INLINE long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
SIMULATOR_INLINE int __mul24(int a, int b) { return a * b; }
SIMULATOR_INLINE unsigned __umul24(unsigned a, unsigned b) { return a * b; }
SIMULATOR_INLINE unsigned __sad(int a, int b, unsigned c) { return (unsigned)(a < b ? b - a : a - b) + c; }
SIMULATOR_INLINE int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; ++i) c += (int)(signed char)(a >> (8 * i)) * (signed char)(b >> (8 * i));
    return c;
}
#define SIMULATOR_MIN_MAX(T)                                   \
    SIMULATOR_INLINE T min(T a, T b) { return b < a ? b : a; } \
    SIMULATOR_INLINE T max(T a, T b) { return a < b ? b : a; }
SIMULATOR_MIN_MAX(int)
SIMULATOR_MIN_MAX(unsigned)
SIMULATOR_MIN_MAX(long)
SIMULATOR_MIN_MAX(unsigned long)
SIMULATOR_MIN_MAX(long long)
SIMULATOR_MIN_MAX(unsigned long long)
#undef SIMULATOR_MIN_MAX
SIMULATOR_INLINE unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
SIMULATOR_INLINE unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
SIMULATOR_INLINE unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
SIMULATOR_INLINE unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
#define SIMULATOR_MIN_MAX(A, B)                                        \
    SIMULATOR_INLINE long long min(A a, B b) { return b < a ? b : a; } \
    SIMULATOR_INLINE long long max(A a, B b) { return a < b ? b : a; }
SIMULATOR_MIN_MAX(long long, int)
SIMULATOR_MIN_MAX(int, long long)
#undef SIMULATOR_MIN_MAX
SIMULATOR_INLINE float min(float a, float b) { return fminf(a, b); }
SIMULATOR_INLINE float max(float a, float b) { return fmaxf(a, b); }
SIMULATOR_INLINE double min(double a, double b) { return fmin(a, b); }
SIMULATOR_INLINE double max(double a, double b) { return fmax(a, b); }
SIMULATOR_INLINE double min(float a, double b) { return fmin(a, b); }
SIMULATOR_INLINE double min(double a, float b) { return fmin(a, b); }
SIMULATOR_INLINE double max(float a, double b) { return fmax(a, b); }
SIMULATOR_INLINE double max(double a, float b) { return fmax(a, b); }
extern "C" {
int abs(int) noexcept;
long labs(long) noexcept;
long long llabs(long long) noexcept;
}
SIMULATOR_INLINE long abs(long a) { return labs(a); }
SIMULATOR_INLINE long long abs(long long a) { return llabs(a); }

// ---- Floating point
// CUDA overloads the functions of <math.h> for float; so they are here, in the global namespace.
#define SIMULATOR_OVERLOAD(name) \
    SIMULATOR_INLINE float name(float a) { return name##f(a); }
SIMULATOR_OVERLOAD(exp)
SIMULATOR_OVERLOAD(exp2)
SIMULATOR_OVERLOAD(expm1)
SIMULATOR_OVERLOAD(log)
SIMULATOR_OVERLOAD(log2)
SIMULATOR_OVERLOAD(log10)
SIMULATOR_OVERLOAD(log1p)
SIMULATOR_OVERLOAD(sqrt)
SIMULATOR_OVERLOAD(cbrt)
SIMULATOR_OVERLOAD(sin)
SIMULATOR_OVERLOAD(cos)
SIMULATOR_OVERLOAD(tan)
SIMULATOR_OVERLOAD(asin)
SIMULATOR_OVERLOAD(acos)
SIMULATOR_OVERLOAD(atan)
SIMULATOR_OVERLOAD(sinh)
SIMULATOR_OVERLOAD(cosh)
SIMULATOR_OVERLOAD(tanh)
SIMULATOR_OVERLOAD(asinh)
SIMULATOR_OVERLOAD(acosh)
SIMULATOR_OVERLOAD(atanh)
SIMULATOR_OVERLOAD(erf)
SIMULATOR_OVERLOAD(erfc)
SIMULATOR_OVERLOAD(tgamma)
SIMULATOR_OVERLOAD(lgamma) SIMULATOR_OVERLOAD(floor) SIMULATOR_OVERLOAD(ceil) SIMULATOR_OVERLOAD(trunc)
    SIMULATOR_OVERLOAD(round) SIMULATOR_OVERLOAD(rint) SIMULATOR_OVERLOAD(nearbyint) SIMULATOR_OVERLOAD(fabs)
#undef SIMULATOR_OVERLOAD
#define SIMULATOR_OVERLOAD(name) \
    SIMULATOR_INLINE float name(float a, float b) { return name##f(a, b); }
        SIMULATOR_OVERLOAD(pow) SIMULATOR_OVERLOAD(fmod) SIMULATOR_OVERLOAD(atan2) SIMULATOR_OVERLOAD(hypot)
            SIMULATOR_OVERLOAD(fmin) SIMULATOR_OVERLOAD(fmax) SIMULATOR_OVERLOAD(copysign) SIMULATOR_OVERLOAD(fdim)
                SIMULATOR_OVERLOAD(remainder) SIMULATOR_OVERLOAD(nextafter)
#undef SIMULATOR_OVERLOAD
                    SIMULATOR_INLINE float pow(float a, int b) {
    return powf(a, (float)b);
}
SIMULATOR_INLINE double pow(double a, int b) { return pow(a, (double)b); }
SIMULATOR_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SIMULATOR_INLINE float abs(float a) { return fabsf(a); }
SIMULATOR_INLINE double abs(double a) { return fabs(a); }
SIMULATOR_INLINE float rsqrtf(float a) { return 1.0f / sqrtf(a); }
SIMULATOR_INLINE float rsqrt(float a) { return 1.0f / sqrtf(a); }
SIMULATOR_INLINE double rsqrt(double a) { return 1.0 / sqrt(a); }
SIMULATOR_INLINE float rcbrtf(float a) { return 1.0f / cbrtf(a); }
SIMULATOR_INLINE double normcdf(double a) { return 0.5 * erfc(-a * 0.70710678118654752440); }
SIMULATOR_INLINE float normcdff(float a) { return (float)normcdf((double)a); }
SIMULATOR_INLINE float normcdf(float a) { return normcdff(a); }
SIMULATOR_INLINE float fdividef(float a, float b) { return a / b; }
SIMULATOR_INLINE double sinpi(double a) { return sin(a * 3.14159265358979323846); }
SIMULATOR_INLINE double cospi(double a) { return cos(a * 3.14159265358979323846); }
SIMULATOR_INLINE float sinpif(float a) { return (float)sinpi((double)a); }
SIMULATOR_INLINE float cospif(float a) { return (float)cospi((double)a); }
SIMULATOR_INLINE void sincospif(float a, float* s, float* c) {
    *s = sinpif(a);
    *c = cospif(a);
}
#ifndef __USE_GNU
SIMULATOR_INLINE void sincosf(float a, float* s, float* c) {
    *s = sinf(a);
    *c = cosf(a);
}
SIMULATOR_INLINE void sincos(double a, double* s, double* c) {
    *s = sin(a);
    *c = cos(a);
}
#endif

#undef isnan
#undef isinf
#undef isfinite
#undef signbit
SIMULATOR_INLINE bool isnan(float a) { return a != a; }
SIMULATOR_INLINE bool isnan(double a) { return a != a; }
SIMULATOR_INLINE bool isinf(float a) { return __builtin_isinf(a); }
SIMULATOR_INLINE bool isinf(double a) { return __builtin_isinf(a); }
SIMULATOR_INLINE bool isfinite(float a) { return __builtin_isfinite(a); }
SIMULATOR_INLINE bool isfinite(double a) { return __builtin_isfinite(a); }
SIMULATOR_INLINE bool signbit(float a) { return __builtin_signbit(a); }
SIMULATOR_INLINE bool signbit(double a) { return __builtin_signbit(a); }

// glibc declares some of these names for itself, so they are macros.
#define __expf(a) expf(a)
#define __exp10f(a) exp2f((a) * 3.321928094887362f)
#define __logf(a) logf(a)
#define __log2f(a) log2f(a)
#define __log10f(a) log10f(a)
#define __sinf(a) sinf(a)
#define __cosf(a) cosf(a)
#define __tanf(a) tanf(a)
#define __sincosf(a, s, c) sincosf(a, s, c)
#define __powf(a, b) powf(a, b)
#define __tanhf(a) tanhf(a)
SIMULATOR_INLINE float __fdividef(float a, float b) { return a / b; }
SIMULATOR_INLINE float __saturatef(float a) { return !(a > 0.0f) ? 0.0f : a > 1.0f ? 1.0f : a; }
SIMULATOR_INLINE float __frsqrt_rn(float a) { return 1.0f / sqrtf(a); }

// Operations rounded to nearest that the compiler must not fuse with others: it can't see through an empty asm.
#define SIMULATOR_UNFUSED(T, name, expression) \
    SIMULATOR_INLINE T name(T a, T b) {        \
        T result = expression;                 \
        asm("" : "+m"(result));                \
        return result;                         \
    }
SIMULATOR_UNFUSED(float, __fadd_rn, a + b)
SIMULATOR_UNFUSED(float, __fsub_rn, a - b)
SIMULATOR_UNFUSED(float, __fmul_rn, a* b)
SIMULATOR_UNFUSED(double, __dadd_rn, a + b)
SIMULATOR_UNFUSED(double, __dsub_rn, a - b)
SIMULATOR_UNFUSED(double, __dmul_rn, a* b)
#undef SIMULATOR_UNFUSED
SIMULATOR_INLINE float __fdiv_rn(float a, float b) { return a / b; }
SIMULATOR_INLINE double __ddiv_rn(double a, double b) { return a / b; }
SIMULATOR_INLINE float __frcp_rn(float a) { return 1.0f / a; }
SIMULATOR_INLINE double __drcp_rn(double a) { return 1.0 / a; }
SIMULATOR_INLINE float __fsqrt_rn(float a) { return sqrtf(a); }
SIMULATOR_INLINE double __dsqrt_rn(double a) { return sqrt(a); }
SIMULATOR_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SIMULATOR_INLINE double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }

// ---- Conversions: to integers they saturate, and NaN becomes 0
namespace simulator {
template <class To, class From> SIMULATOR_INLINE To saturate(From a) {
    const To low = (To)-1 < 0 ? (To)((unsigned long long)1 << (sizeof(To) * 8 - 1)) : 0, high = (To)~low;
    if (a != a) return 0;
    if (a <= (From)low) return low;
    if (a >= (From)high) return high;
    return (To)a;
}
}  // namespace simulator
#define SIMULATOR_CONVERT(prefix, From, suffix)                                                                        \
    SIMULATOR_INLINE int __##prefix##2int_rn(From a) { return simulator::saturate<int>(rint##suffix(a)); }             \
    SIMULATOR_INLINE int __##prefix##2int_rz(From a) { return simulator::saturate<int>(trunc##suffix(a)); }            \
    SIMULATOR_INLINE int __##prefix##2int_rd(From a) { return simulator::saturate<int>(floor##suffix(a)); }            \
    SIMULATOR_INLINE int __##prefix##2int_ru(From a) { return simulator::saturate<int>(ceil##suffix(a)); }             \
    SIMULATOR_INLINE unsigned __##prefix##2uint_rn(From a) { return simulator::saturate<unsigned>(rint##suffix(a)); }  \
    SIMULATOR_INLINE unsigned __##prefix##2uint_rz(From a) { return simulator::saturate<unsigned>(trunc##suffix(a)); } \
    SIMULATOR_INLINE long long __##prefix##2ll_rn(From a) { return simulator::saturate<long long>(rint##suffix(a)); }  \
    SIMULATOR_INLINE long long __##prefix##2ll_rz(From a) { return simulator::saturate<long long>(trunc##suffix(a)); }
SIMULATOR_CONVERT(float, float, f)
SIMULATOR_CONVERT(double, double, )
#undef SIMULATOR_CONVERT
SIMULATOR_INLINE float __int2float_rn(int a) { return (float)a; }
SIMULATOR_INLINE float __uint2float_rn(unsigned a) { return (float)a; }
SIMULATOR_INLINE float __ll2float_rn(long long a) { return (float)a; }
SIMULATOR_INLINE float __ull2float_rn(unsigned long long a) { return (float)a; }
SIMULATOR_INLINE double __int2double_rn(int a) { return (double)a; }
SIMULATOR_INLINE double __ll2double_rn(long long a) { return (double)a; }
SIMULATOR_INLINE double __ull2double_rn(unsigned long long a) { return (double)a; }
SIMULATOR_INLINE float __double2float_rn(double a) { return (float)a; }

// ---- Loads and stores with a hint to the cache
#define SIMULATOR_LOAD(name) \
    template <class T> SIMULATOR_INLINE T name(const T* p) { return *p; }
SIMULATOR_LOAD(__ldg)
SIMULATOR_LOAD(__ldca)
SIMULATOR_LOAD(__ldcg)
SIMULATOR_LOAD(__ldcs)
SIMULATOR_LOAD(__ldlu)
SIMULATOR_LOAD(__ldcv)
#undef SIMULATOR_LOAD
namespace simulator {
template <class T> struct Stored {
    typedef T type;
};
}  // namespace simulator
#define SIMULATOR_STORE(name) \
    template <class T> SIMULATOR_INLINE void name(T* p, typename simulator::Stored<T>::type value) { *p = value; }
SIMULATOR_STORE(__stwb) SIMULATOR_STORE(__stcg) SIMULATOR_STORE(__stcs) SIMULATOR_STORE(__stwt)
#undef SIMULATOR_STORE
