// The types that a text is compiled for. A text that says `compiled for scalar_t = ...` leaves `scalar_t` open; the host
// defines it as one of
//
//   float  double  half_t  bfloat16_t  int  long long  short  signed char  unsigned char  bool
//
// and `acc_t` is what its elements are computed in: float for the half types, else the type itself. Half precision
// converts by itself, once rounded, so that a kernel reads the same for every type:
//
//   acc_t v = x[i];  ...  y[i] = v;
#pragma once
#include "ptx.cuh"

// IEEE 754 binary16
struct half_t {
    unsigned short bits;
    half_t() = default;
    __device__ __forceinline__ half_t(float value) : bits(float_to_half(value)) {}
    __device__ __forceinline__ operator float() const { return half_to_float(bits); }
};

// The upper half of a float
struct bfloat16_t {
    unsigned short bits;
    bfloat16_t() = default;
    __device__ __forceinline__ bfloat16_t(float value) : bits(float_to_bfloat16(value)) {}
    __device__ __forceinline__ operator float() const { return bfloat16_to_float(bits); }
};

template <class T> struct Accumulator { typedef T type; };
template <> struct Accumulator<half_t> { typedef float type; };
template <> struct Accumulator<bfloat16_t> { typedef float type; };

#ifdef scalar_t
typedef Accumulator<scalar_t>::type acc_t;

// So many elements a thread reads before it puts them together: what takes long is the way to memory, not what comes.
constexpr int AT_ONCE = sizeof(acc_t) == 8 ? 4 : 8;
#endif
