// Functions of one and of two elements, picked by a switch at run time, for every type that acc_t can be.
//
// All threads of a launch take the same branch, so that one kernel serves all functions of a family. A kernel that is
// made for one function (kernel/chain.py) gives it as a constant, and the switch is gone when it is compiled. The host
// reads the numbers of the functions from the enumerations; in small letters they are the names of its primitives.
//
// Results are those of gpunn/backend/numpy/elementwise.py: Python's floor division and remainder, the maximum of NaN
// and anything is NaN, integers that overflow keep their lowest bits.
#pragma once
#include "scalar.cuh"

template <class T> constexpr bool is_float = T(0.5) != T(0) && T(0.5) != T(1);
template <class T> constexpr bool is_bool = T(2) == T(1);

// Integers are computed as unsigned ones, whose overflow is defined.
typedef unsigned long long bits_t;

template <class T> __device__ __forceinline__ bool is_negative(T x) {
    if constexpr (T(-1) < T(0)) return x < 0;
    else return false;
}

// ---- One element, the result is of its type

enum Unary {
    SQUARE, NEGATIVE, ABSOLUTE, SIGN, INVERT,  // these also for integers, and the last one for booleans
    RECIPROCAL, FLOOR, CEIL, TRUNC, RINT,
    EXP, EXP2, EXPM1, LOG, LOG2, LOG10, LOG1P, SQRT, RSQRT,
    SIN, COS, TAN, ARCSIN, ARCCOS, ARCTAN, SINH, COSH, TANH, ARCSINH, ARCCOSH, ARCTANH,
    SIGMOID, ERF,
};

template <class T> __device__ __forceinline__ T unary_of_integer(T x, int function) {
    switch (function) {
        case SQUARE: return bits_t(x) * bits_t(x);
        case NEGATIVE: return -bits_t(x);
        case ABSOLUTE: return is_negative(x) ? -bits_t(x) : bits_t(x);
        case SIGN: return x > 0 ? 1 : is_negative(x) ? -1 : 0;
        default: return is_bool<T> ? !x : ~bits_t(x);
    }
}

template <class T> __device__ __forceinline__ T unary_of_float(T x, int function) {
    switch (function) {
        case SQUARE: return x * x;
        case NEGATIVE: return -x;
        case ABSOLUTE: return fabs(x);
        case SIGN: return x > 0 ? 1 : x < 0 ? -1 : 0;  // 0 for NaN, as in PyTorch
        case RECIPROCAL: return 1 / x;
        case FLOOR: return floor(x);
        case CEIL: return ceil(x);
        case TRUNC: return trunc(x);
        case RINT: return rint(x);
        case EXP: return exp(x);
        case EXP2: return exp2(x);
        case EXPM1: return expm1(x);
        case LOG: return log(x);
        case LOG2: return log2(x);
        case LOG10: return log10(x);
        case LOG1P: return log1p(x);
        case SQRT: return sqrt(x);
        case RSQRT: return rsqrt(x);
        case SIN: return sin(x);
        case COS: return cos(x);
        case TAN: return tan(x);
        case ARCSIN: return asin(x);
        case ARCCOS: return acos(x);
        case ARCTAN: return atan(x);
        case SINH: return sinh(x);
        case COSH: return cosh(x);
        case TANH: return tanh(x);
        case ARCSINH: return asinh(x);
        case ARCCOSH: return acosh(x);
        case ARCTANH: return atanh(x);
        case SIGMOID: return 1 / (1 + exp(-x));  // where e^-x overflows the result is 0, as it should be
        default: return erf(x);
    }
}

template <class T> __device__ __forceinline__ T unary_function(T x, int function) {
    if constexpr (is_float<T>) return unary_of_float(x, function);
    else return unary_of_integer(x, function);
}

// ---- Two elements, the result is of their type

enum Binary {
    ADD, MULTIPLY, MAXIMUM, MINIMUM,  // these for every type, on booleans as "or" and "and"
    SUBTRACT, FLOOR_DIVIDE, REMAINDER, FMOD, POWER,
    DIVIDE, ARCTAN2,                        // only for floats
    BITWISE_AND, BITWISE_OR, BITWISE_XOR,  // not for floats
};

template <class T> __device__ __forceinline__ T integer_power(T x, T y) {
    bits_t power = 1, square = x;
    for (bits_t left = y > 0 ? bits_t(y) : 0; left != 0; left /= 2) {
        if (left % 2 != 0) power *= square;
        square *= square;
    }
    return power;
}

// x / y rounded to 0, and the rest. The host refuses y = 0; the quotient of the lowest number and -1 overflows.
template <class T> __device__ __forceinline__ T quotient(T x, T y) {
    const bool minus_one = T(-1) < 0 && y == T(-1);
    return minus_one ? -bits_t(x) : y == 0 ? 0 : bits_t((long long)x / (long long)y);
}
template <class T> __device__ __forceinline__ T rest(T x, T y) {
    return bits_t(x) - bits_t(quotient(x, y)) * bits_t(y);
}

template <class T> __device__ __forceinline__ T binary_of_integers(T x, T y, int function) {
    switch (function) {
        case ADD: return bits_t(x) + bits_t(y);
        case MULTIPLY: return bits_t(x) * bits_t(y);
        case MAXIMUM: return x < y ? y : x;
        case MINIMUM: return y < x ? y : x;
        case SUBTRACT: return bits_t(x) - bits_t(y);
        case FLOOR_DIVIDE: {
            const T r = rest(x, y);
            return quotient(x, y) - (r != 0 && is_negative(r) != is_negative(y) ? 1 : 0);
        }
        case REMAINDER: {
            const T r = rest(x, y);
            return r != 0 && is_negative(r) != is_negative(y) ? r + y : r;
        }
        case FMOD: return rest(x, y);
        case POWER: return integer_power(x, y);
        case BITWISE_AND: return x & y;
        case BITWISE_OR: return x | y;
        default: return x ^ y;
    }
}

// The floor of x / y such that with `float_remainder` it makes x again: not the quotient is rounded, which may lie on
// an integer because it is rounded itself, but that of what the remainder leaves of x (as in Python and NumPy).
template <class T> __device__ __forceinline__ T float_floor_divide(T x, T y) {
    if (y == 0) return x / y;
    const T r = fmod(x, y);
    const T whole = (x - r) / y - (r != 0 && (r < 0) != (y < 0) ? 1 : 0);
    if (whole == 0) return copysign(T(0), x / y);
    const T below = floor(whole);
    return whole - below > T(0.5) ? below + 1 : below;
}

template <class T> __device__ __forceinline__ T float_remainder(T x, T y) {
    const T r = fmod(x, y);
    if (r == 0) return copysign(T(0), y);
    return (r < 0) != (y < 0) ? r + y : r;
}

template <class T> __device__ __forceinline__ T binary_of_floats(T x, T y, int function) {
    switch (function) {
        case ADD: return x + y;
        case MULTIPLY: return x * y;
        case MAXIMUM: return x >= y || x != x ? x : y;
        case MINIMUM: return x <= y || x != x ? x : y;
        case SUBTRACT: return x - y;
        case FLOOR_DIVIDE: return float_floor_divide(x, y);
        case REMAINDER: return float_remainder(x, y);
        case FMOD: return fmod(x, y);
        case POWER: return pow(x, y);
        case DIVIDE: return x / y;
        default: return atan2(x, y);
    }
}

template <class T> __device__ __forceinline__ T binary_function(T x, T y, int function) {
    if constexpr (is_float<T>) return binary_of_floats(x, y, function);
    else return binary_of_integers(x, y, function);
}

// ---- The result is a boolean

enum Relation {
    EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL,
    LOGICAL_AND, LOGICAL_OR, LOGICAL_XOR,
};

template <class T> __device__ __forceinline__ bool relation_holds(T x, T y, int relation) {
    switch (relation) {
        case EQUAL: return x == y;
        case NOT_EQUAL: return x != y;
        case LESS: return x < y;
        case LESS_EQUAL: return x <= y;
        case GREATER: return x > y;
        case GREATER_EQUAL: return x >= y;
        case LOGICAL_AND: return x != 0 && y != 0;
        case LOGICAL_OR: return x != 0 || y != 0;
        default: return (x != 0) != (y != 0);
    }
}

enum Property { LOGICAL_NOT, ISNAN, ISINF, ISFINITE };

template <class T> __device__ __forceinline__ bool property_holds(T x, int property) {
    if (property == LOGICAL_NOT) return x == 0;
    if constexpr (is_float<T>) return property == ISNAN ? x != x : property == ISINF ? isinf(x) : isfinite(x);
    else return property == ISFINITE;
}
