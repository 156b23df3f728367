// Reductions of x (outer, length, inner) along its middle axis, by teams (team.cuh), in a fixed order.
//
// The axis may be cut into `parts` of `chunk` elements, so that long rows are shared by many blocks; the result is then
// (outer, parts, inner), which goes through a reduction once more. A thread so adds up few elements one after another,
// and what threads have found is put together as a tree: the rounding error grows with the logarithm of the length.
#pragma once
#include "functions.cuh"
#include "team.cuh"

// The smallest and the largest number of a type
template <class T> __device__ __forceinline__ T lowest() {
    if constexpr (is_float<T>) return -__int_as_float(0x7f800000);  // minus infinity
    else return T(-1) < 0 ? T(bits_t(1) << (8 * sizeof(T) - 1)) : T(0);
}
template <class T> __device__ __forceinline__ T highest() {
    if constexpr (is_float<T>) return __int_as_float(0x7f800000);
    else return is_bool<T> ? T(1) : T(~bits_t(lowest<T>()));
}

// A sum, a product, or the largest or smallest element: what one of the functions of two elements makes of many.
struct Value {
    acc_t value;
    int combine;  // ADD, MULTIPLY, MAXIMUM or MINIMUM

    static __device__ __forceinline__ Value of_none(int combine) {
        switch (combine) {
            case ADD: return {acc_t(0), combine};
            case MULTIPLY: return {acc_t(1), combine};
            case MAXIMUM: return {lowest<acc_t>(), combine};
            default: return {highest<acc_t>(), combine};
        }
    }
    __device__ __forceinline__ Value of_lane(int lane) const {
        return {acc_t(__shfl_sync(0xffffffffu, value, lane)), combine};
    }
    __device__ __forceinline__ void merge(const Value& other) {
        const Value one[] = {other};
        merge(one);
    }
    // One after another
    template <int N> __device__ __forceinline__ void merge(const Value (&others)[N]) {
        switch (combine) {
            case ADD: take<ADD>(others); break;
            case MULTIPLY: take<MULTIPLY>(others); break;
            case MAXIMUM: take<MAXIMUM>(others); break;
            default: take<MINIMUM>(others);
        }
    }

  private:
    template <int function, int N> __device__ __forceinline__ void take(const Value (&others)[N]) {
#pragma unroll
        for (int e = 0; e < N; ++e) value = binary_function(value, others[e].value, function);
    }
};

// What is made of the elements before they are put together, and of the result
enum Map { ELEMENT, ELEMENT_SQUARED };
enum Finish { AS_IT_IS, QUOTIENT, SQUARE_ROOT };

template <class T> __device__ __forceinline__ T mapped(T x, int map) {
    return map == ELEMENT_SQUARED ? unary_function(x, SQUARE) : x;
}

template <class T> __device__ __forceinline__ T finished(T x, int finish, T divisor) {
    if constexpr (is_float<T>) return finish == QUOTIENT ? x / divisor : finish == SQUARE_ROOT ? sqrt(x) : x;
    else return x;
}

// The result of a row goes to y, or, where that is null, as it is to the parts that another launch puts together.
__device__ __forceinline__ void store_value(
    const Value& found, index_t row, scalar_t* y, acc_t* parts_of_y, int finish, acc_t divisor) {
    if (y == nullptr) parts_of_y[row] = found.value;
    else y[row] = finished(found.value, finish, divisor);
}

// source(i) is what element i brings, and result(row, found) takes what was found in a row of (outer, parts, inner).
// `found` begins as what none bring.
template <class Team, class State, class Source, class Result>
__device__ __forceinline__ void reduce_rows(
    State found, const Source& source, const Result& result,
    index_t outer, index_t length, index_t inner, index_t parts, index_t chunk) {
    const index_t row = Team::row();
    const bool exists = row < outer * parts * inner;
    index_t line = row, column = 0, part = 0;
    if (inner > 1) {
        line = row / inner;
        column = row - line * inner;
    }
    if (parts > 1) {
        part = line % parts;
        line /= parts;
    }
    const index_t begin = part * chunk, end = exists ? (begin + chunk < length ? begin + chunk : length) : 0;
    const index_t start = line * length * inner + column, step = Team::size();
    index_t k = begin + Team::rank();
    for (; k + (AT_ONCE - 1) * step < end; k += AT_ONCE * step) {
        State next[AT_ONCE];
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e) next[e] = source(start + (k + e * step) * inner);
        found.merge(next);
    }
#pragma unroll 1
    for (; k < end; k += step) found.merge(source(start + k * inner));
    found = Team::reduce(found);
    if (exists && Team::rank() == 0) result(row, found);
}
