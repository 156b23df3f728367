// Matrix product of halves on the tensor cores of Hopper, with bias and activation; wgmma.cuh says how. A rung beside
// the last one, for those who ask for it on sm_90: it has never run on a GPU.
//
//   C = f(A B + bias)   A (batch, rows, depth)  B (batch, depth, columns)  bias (columns)  ->  C (batch, rows, columns)
//
// A and B are read through tensor maps of their lines, which run along the depth or across it: (line, lines, matrices),
// boxes of 64 x 64 x 1. `a_batch` and `b_batch` give the number of a matrix in its map. `a` and `b` are what the maps are
// of, for those who watch a launch; nothing is read through them. All other arguments are those of matmul_tensor.cu.
// Shared memory is dynamic, for it is more than 48 KiB.
//
// made for sm_90a alone
// compiled for scalar_t = float16, bfloat16
#include "layout.cuh"
#include "wgmma.cuh"

template <class T>
__device__ __forceinline__ void matmul(
    const TensorMap& a_map, const TensorMap& b_map, const scalar_t* bias, const scalar_t* behind, scalar_t* c, float* parts, index_t batch,
    int rows, int columns, int depth, const Layout& a_batch, const Layout& b_batch, bool a_along_depth,
    bool b_along_depth, int kind, float parameter, int part_depth, bool pairs) {
    extern __shared__ __align__(16) unsigned char bytes[];  // T::SIZE elements, and PATTERN bytes
    scalar_t* memory = (scalar_t*)(bytes + (0u - shared_address(bytes)) % PATTERN);
    const int tiles = tiles_of<T>(rows, columns), tile = blockIdx.x % tiles;
    const index_t i = blockIdx.x / tiles, size = (index_t)rows * columns;
    const Matrix left = {a_map, (int)offset_of(a_batch, i), a_along_depth};
    const Matrix right = {b_map, (int)offset_of(b_batch, i), b_along_depth};
    float* part = parts == nullptr ? nullptr : parts + (blockIdx.y * batch + i) * size;
    const Result to = {c + i * size, part, rows, columns, pairs, bias, kind, parameter, behind == nullptr ? nullptr : behind + i * size};
    const Work<T> work(columns, tile, depth, part_depth);
    float sums[T::DOWN][T::ACROSS][4] = {};
    multiply_tile_by_warpgroups<T>(left, right, work, memory, sums);
    if (threadIdx.x < T::THREADS)  // the warp that copies has no sums
        write_sums<T>(sums, to, work.first_row + work.row, work.first_column, (float*)memory);
}

extern "C" __global__ void __launch_bounds__(288, 1) matmul_wgmma_large(
    const __grid_constant__ TensorMap a_map,
    const __grid_constant__ TensorMap b_map,
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    const scalar_t* __restrict__ behind,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, bool pairs) {
    matmul<WgmmaLarge>(
        a_map, b_map, bias, behind, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_along_depth, b_along_depth,
        kind, parameter, part_depth, pairs);
}

extern "C" __global__ void __launch_bounds__(160, 3) matmul_wgmma_small(
    const __grid_constant__ TensorMap a_map,
    const __grid_constant__ TensorMap b_map,
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    const scalar_t* __restrict__ behind,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, bool pairs) {
    matmul<WgmmaSmall>(
        a_map, b_map, bias, behind, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_along_depth, b_along_depth,
        kind, parameter, part_depth, pairs);
}
