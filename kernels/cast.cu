// y[i] = x[i] in another type: integers wrap around, floats become integers towards 0, and whatever is not 0 is true. A
// float that fits no int becomes the nearest one that there is, and for types of 8 and 16 bits the low bits of that.
//
// There are a hundred pairs of types, and a hundred texts would be too many to compile. So the source's type is
// compiled in, and the target's is a switch outside of the loop; to the host y is an array of bytes. Costs what a copy
// costs, and ten loops where one is run.
//
// compiled for source_t = bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64
#include "common.cuh"
#include "scalar.cuh"

// A double as the float next to it that keeps what rounding needs: cut off, and with the last bit set where bits were
// lost. Rounding that to half precision gives the same as rounding the double, which two roundings to nearest do not
// (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd").
__device__ __forceinline__ float round_to_odd(double value) {
    const float nearest = (float)value;
    const double back = nearest;
    if (back == value || value != value) return nearest;
    const unsigned bits = __float_as_uint(nearest);
    const unsigned cut = fabs(back) > fabs(value) ? bits - 1 : bits;
    return __uint_as_float(cut | 1u);
}
__device__ __forceinline__ float for_half(double v) { return round_to_odd(v); }
__device__ __forceinline__ float for_half(float v) { return v; }
__device__ __forceinline__ float for_half(long long v) { return (float)v; }

template <class T> __device__ __forceinline__ T integer(float v) {
    return sizeof(T) == 8 ? (T)__float2ll_rz(v) : (T)__float2int_rz(v);
}
template <class T> __device__ __forceinline__ T integer(double v) {
    return sizeof(T) == 8 ? (T)__double2ll_rz(v) : (T)__double2int_rz(v);
}
template <class T> __device__ __forceinline__ T integer(long long v) { return (T)v; }

// What elements are computed in here: long long for all integers
template <class T> struct Wide { typedef long long type; };
template <> struct Wide<half_t> { typedef float type; };
template <> struct Wide<bfloat16_t> { typedef float type; };
template <> struct Wide<float> { typedef float type; };
template <> struct Wide<double> { typedef double type; };
typedef Wide<source_t>::type wide_t;

template <class T> __device__ __forceinline__ void put(T& y, wide_t v) { y = integer<T>(v); }
__device__ __forceinline__ void put(bool& y, wide_t v) { y = v != 0; }
__device__ __forceinline__ void put(float& y, wide_t v) { y = (float)v; }
__device__ __forceinline__ void put(double& y, wide_t v) { y = (double)v; }
__device__ __forceinline__ void put(half_t& y, wide_t v) { y = for_half(v); }
__device__ __forceinline__ void put(bfloat16_t& y, wide_t v) { y = (float)v; }

template <class T> __device__ __forceinline__ void convert(const source_t* x, unsigned char* y, index_t count) {
    for (index_t i = first_index(); i < count; i += index_stride()) put(((T*)y)[i], (wide_t)x[i]);
}

// The kind is the target's place in the list of types above.
extern "C" __global__ void cast(
    const source_t* __restrict__ x, unsigned char* __restrict__ y, int kind, long long count) {
    switch (kind) {
        case 0: return convert<bool>(x, y, count);
        case 1: return convert<unsigned char>(x, y, count);
        case 2: return convert<signed char>(x, y, count);
        case 3: return convert<short>(x, y, count);
        case 4: return convert<int>(x, y, count);
        case 5: return convert<long long>(x, y, count);
        case 6: return convert<half_t>(x, y, count);
        case 7: return convert<bfloat16_t>(x, y, count);
        case 8: return convert<float>(x, y, count);
        case 9: return convert<double>(x, y, count);
    }
}
