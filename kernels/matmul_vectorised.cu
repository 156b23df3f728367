// Matrix product of floats, the last rung: tiles in registers, four elements at a time; gemm.cuh says how.
//
//   C = A B      A (batch, rows, depth)  B (batch, depth, columns)  ->  C (batch, rows, columns)
//
// Lines of A and of B, `pitch` elements apart, run along the depth or across it, so either may lie transposed; either
// may be broadcast along the batch. C is row-major; where `transposed`, it is its transpose (batch, columns, rows) that
// is: tiles are wider than high, so Y^T X^T is computed for products X Y of many rows and few columns.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles of C are too few for a GPU,
// the depth is cut too, into parts of `part_depth`, one for each block along y. The last block of a tile adds them up,
// or, without `arrived`, split_k.cu does.
// `vectors` says whose lines can be moved four elements at a time: 1 for A, 2 for B, 4 for C.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"
#include "layout.cuh"

// Layouts are known at run time only, which takes registers: of large tiles fewer k are unrolled.
typedef Tile<Large::ROWS, Large::COLUMNS, 8, 8, Large::DEPTH, Large::RUN, 2> LargeOfAnyLayout;

template <class T>
__device__ __forceinline__ void matmul(
    const scalar_t* a, const scalar_t* b, scalar_t* c, acc_t* parts, unsigned* arrived, index_t batch, int rows,
    int columns, int depth, const Layout& a_batch, const Layout& b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    bool transposed, int part_depth, int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const int tiles = tiles_of<T>(rows, columns);
    const index_t i = blockIdx.x / tiles, size = (index_t)rows * columns;
    const Operand left = {a + offset_of(a_batch, i), rows, a_pitch, a_along_depth, (vectors & 1) != 0};
    const Operand right = {b + offset_of(b_batch, i), columns, b_pitch, b_along_depth, (vectors & 2) != 0};
    const bool for_another = parts != nullptr && arrived == nullptr;
    acc_t* part = for_another ? parts + (blockIdx.y * batch + i) * size : nullptr;
    const int high = transposed ? columns : rows, wide = transposed ? rows : columns;
    Result to = {c + i * size, part, high, wide, transposed, (vectors & 4) != 0};
    to.parts = gridDim.y;
    to.slabs = parts + i * tiles * to.parts * T::SLAB;
    to.arrived = arrived == nullptr ? nullptr : arrived + i * tiles;
    product<T>(left, right, to, blockIdx.x % tiles, blockIdx.y, depth, part_depth, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) matmul_large(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    scalar_t* __restrict__ c,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    bool transposed, int part_depth, int vectors) {
    matmul<LargeOfAnyLayout>(
        a, b, c, parts, arrived, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, transposed, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) matmul_medium(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    scalar_t* __restrict__ c,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    bool transposed, int part_depth, int vectors) {
    matmul<Medium>(
        a, b, c, parts, arrived, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, transposed, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(64, 6) matmul_small(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    scalar_t* __restrict__ c,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    bool transposed, int part_depth, int vectors) {
    matmul<Small>(
        a, b, c, parts, arrived, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, transposed, part_depth, vectors);
}
