// Matrix product of halves on the tensor cores of Hopper, with bias and activation; wgmma.cuh says how. A rung beside
// the last one, for those who ask for it on sm_90: it has never run on a GPU.
//
//   C = f(A B + bias)   A (batch, rows, depth)  B (batch, depth, columns)  bias (columns)  ->  C (batch, rows, columns)
//
// All arguments are those of matmul_tensor.cu. Shared memory is dynamic, for it is more than 48 KiB.
//
// made for sm_90a alone
// compiled for scalar_t = float16, bfloat16
#include "layout.cuh"
#include "wgmma.cuh"

template <class T>
__device__ __forceinline__ void matmul(
    const scalar_t* a, const scalar_t* b, const scalar_t* bias, scalar_t* c, float* parts, index_t batch, int rows,
    int columns, int depth, const Layout& a_batch, const Layout& b_batch, int a_pitch, int b_pitch, bool a_along_depth,
    bool b_along_depth, int kind, float parameter, int part_depth, int vectors) {
    extern __shared__ __align__(16) unsigned char bytes[];  // T::SIZE elements, and PATTERN bytes
    scalar_t* memory = (scalar_t*)(bytes + (0u - shared_address(bytes)) % PATTERN);
    const int tiles = tiles_of<T>(rows, columns), tile = blockIdx.x % tiles;
    const index_t i = blockIdx.x / tiles, size = (index_t)rows * columns;
    const Operand left = {a + offset_of(a_batch, i), rows, a_pitch, (vectors & 1) != 0};
    const Operand right = {b + offset_of(b_batch, i), columns, b_pitch, (vectors & 2) != 0};
    float* part = parts == nullptr ? nullptr : parts + (blockIdx.y * batch + i) * size;
    const Result to = {c + i * size, part, rows, columns, (vectors & 4) != 0, bias, kind, parameter};
    const Work<T> work(columns, tile, depth, part_depth);
    float sums[T::PARTS][T::DOWN][T::ACROSS][4] = {};
    if (a_along_depth) {
        if (b_along_depth) multiply_tile_by_warpgroups<T, true, true>(left, right, work, memory, sums);
        else multiply_tile_by_warpgroups<T, true, false>(left, right, work, memory, sums);
    } else {
        if (b_along_depth) multiply_tile_by_warpgroups<T, false, true>(left, right, work, memory, sums);
        else multiply_tile_by_warpgroups<T, false, false>(left, right, work, memory, sums);
    }
    write_sums<T>(sums, to, work, memory);
}

extern "C" __global__ void __launch_bounds__(256, 1) matmul_wgmma_large(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, int vectors) {
    matmul<WgmmaLarge>(
        a, b, bias, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, kind, parameter, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(128, 3) matmul_wgmma_small(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, int vectors) {
    matmul<WgmmaSmall>(
        a, b, bias, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, kind, parameter, part_depth, vectors);
}
