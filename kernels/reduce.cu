// Reductions along one axis: y[o, c] = finish(combination of map(x[o, k, c]) over k).
//
//   combination: sum, product, largest, smallest     map: x, x^2     finish: y, y / n, sqrt y
//
// First rung, naive: one thread a result, from the first element to the last. Reads memory well only where inner > 1,
// and needs many results. Second rung, tree: teams (team.cuh), long axes in parts (reduce.cuh). Each rung reads every
// element once; parts cost a second, small launch. Axes that are not neighbours are reduced one after another, the last
// one first: the first launch reads all, what is left for the others is small.
//
// Between two launches are parts, of acc_t. A launch reads x or parts, and writes y or parts.
//
// compiled for scalar_t = uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, bool
#include "reduce.cuh"

template <class Team>
__device__ __forceinline__ void reduce(
    const scalar_t* __restrict__ x, const acc_t* __restrict__ parts_of_x,
    scalar_t* __restrict__ y, acc_t* __restrict__ parts_of_y,
    index_t outer, index_t length, index_t inner, index_t parts, index_t chunk,
    int combine, int map, int finish, acc_t divisor) {
    const Value none = Value::of_none(combine);
    const auto of_x = [=](index_t i) -> Value { return {mapped<acc_t>(x[i], map), combine}; };
    const auto of_part = [=](index_t i) -> Value { return {parts_of_x[i], combine}; };
    const auto store = [=](index_t row, Value found) { store_value(found, row, y, parts_of_y, finish, divisor); };
    if (x != nullptr) reduce_rows<Team>(none, of_x, store, outer, length, inner, parts, chunk);
    else reduce_rows<Team>(none, of_part, store, outer, length, inner, parts, chunk);
}

extern "C" __global__ void __launch_bounds__(256, 4) reduce_naive(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk,
    int combine, int map, int finish, acc_t divisor) {
    reduce<Alone>(
        x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk, combine, map, finish, divisor);
}

extern "C" __global__ void __launch_bounds__(256, 4) reduce_columns(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk,
    int combine, int map, int finish, acc_t divisor) {
    reduce<Columns>(
        x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk, combine, map, finish, divisor);
}

extern "C" __global__ void __launch_bounds__(256, 4) reduce_lanes(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk,
    int combine, int map, int finish, acc_t divisor) {
    reduce<Lanes>(
        x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk, combine, map, finish, divisor);
}

extern "C" __global__ void __launch_bounds__(256, 4) reduce_warp(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk,
    int combine, int map, int finish, acc_t divisor) {
    reduce<Warp>(
        x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk, combine, map, finish, divisor);
}

extern "C" __global__ void __launch_bounds__(256, 4) reduce_block(
    const scalar_t* __restrict__ x,        // null: parts_of_x
    const acc_t* __restrict__ parts_of_x,  // null: x
    scalar_t* __restrict__ y,              // null: parts_of_y
    acc_t* __restrict__ parts_of_y,        // null: y
    long long outer, long long length, long long inner, long long parts, long long chunk,
    int combine, int map, int finish, acc_t divisor) {
    reduce<Block>(
        x, parts_of_x, y, parts_of_y, outer, length, inner, parts, chunk, combine, map, finish, divisor);
}
