// What the loader finds of a kernel: a function that calls it with the addresses of its arguments, and its signature.
//
// A signature has one word a parameter: P an array, C an array of const, V a number, S a structure by value; then the
// NumPy type code and size, such as Pf4; "bf2" for bfloat16, "v" where any type will do.
#pragma once
#include "half.h"
#include "vectors.h"

namespace simulator {

template <class T, size_t N = sizeof(T)> struct Code {
    static void put(char*& out) { out += sprintf(out, "V%zu", N); }
};
// A class that is 16 bits of half precision says so by its name; see the loader.
#define SIMULATOR_CODE(T, code)                                    \
    template <> struct Code<T> {                                   \
        static void put(char*& out) { out += sprintf(out, code); } \
    };
SIMULATOR_CODE(bool, "b1")
SIMULATOR_CODE(char, "i1")
SIMULATOR_CODE(signed char, "i1")
SIMULATOR_CODE(unsigned char, "u1")
SIMULATOR_CODE(short, "i2")
SIMULATOR_CODE(unsigned short, "u2")
SIMULATOR_CODE(int, "i4")
SIMULATOR_CODE(unsigned, "u4")
SIMULATOR_CODE(long, "i8")
SIMULATOR_CODE(unsigned long, "u8")
SIMULATOR_CODE(long long, "i8")
SIMULATOR_CODE(unsigned long long, "u8")
SIMULATOR_CODE(float, "f4")
SIMULATOR_CODE(double, "f8")
SIMULATOR_CODE(__half, "f2")
SIMULATOR_CODE(__half2, "f2")
SIMULATOR_CODE(__nv_bfloat16, "bf2")
SIMULATOR_CODE(__nv_bfloat162, "bf2")
SIMULATOR_CODE(float2, "f4")
SIMULATOR_CODE(float4, "f4")
SIMULATOR_CODE(double2, "f8")
SIMULATOR_CODE(int2, "i4")
SIMULATOR_CODE(int4, "i4")
SIMULATOR_CODE(uint2, "u4")
SIMULATOR_CODE(uint4, "u4")
#undef SIMULATOR_CODE
template <> struct Code<void, 1> {
    static void put(char*& out) { *out++ = 'v'; }
};

template <class T> struct Argument {
    static void put(char*& out) {
        *out++ = __is_class(T) ? 'S' : 'V';
        if (__is_class(T)) out += sprintf(out, "%zu", sizeof(T));
        else if (__is_enum(T)) out += sprintf(out, "i%zu", sizeof(T));
        else Code<T>::put(out);
    }
};
template <class T> struct Pointee {
    static void put(char*& out) { Code<T>::put(out); }
};
template <> struct Pointee<void> {
    static void put(char*& out) { *out++ = 'v'; }
};
template <class T> struct Argument<T*> {
    static void put(char*& out) { *out++ = 'P', Pointee<T>::put(out); }
};
template <class T> struct Argument<const T*> {
    static void put(char*& out) { *out++ = 'C', Pointee<T>::put(out); }
};

template <class T> struct Plain {
    typedef T type;
};
template <class T> struct Plain<const T> {
    typedef T type;
};
template <class T> struct Plain<T* __restrict__> {
    typedef T* type;
};

template <int... I> struct Indices {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> {
    typedef Indices<I...> type;
};

template <class... A> struct Kernel {
    template <void (*F)(A...), int... I> SIMULATOR_QUIET static void call(void** values, Indices<I...>) {
        F(*(typename Plain<A>::type*)values[I]...);
    }
    template <void (*F)(A...)> SIMULATOR_QUIET static void run(void** values) {
        call<F>(values, typename Count<sizeof...(A)>::type());
    }
    SIMULATOR_QUIET static void signature(char* out) {
        int each[] = {0, (Argument<typename Plain<A>::type>::put(out), *out++ = ' ', 0)...};
        (void)each;
        *out = 0;
    }
};
template <class... A> Kernel<A...> kernel_of(void (*)(A...));

}  // namespace simulator

#define SIMULATOR_EXPORT(id, ...)                                                                       \
    extern "C" __attribute__((visibility("default"), used)) void simulator_kernel_##id(void** values) { \
        decltype(simulator::kernel_of(&__VA_ARGS__))::template run<&__VA_ARGS__>(values);               \
    }                                                                                                   \
    extern "C" __attribute__((visibility("default"), used)) void simulator_signature_##id(char* out) {  \
        decltype(simulator::kernel_of(&__VA_ARGS__))::signature(out);                                   \
    }
#define SIMULATOR_BOUND(id, bound) \
    extern "C" __attribute__((visibility("default"), used)) int simulator_bound_##id() { return (int)bound; }
