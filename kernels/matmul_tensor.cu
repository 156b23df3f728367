// Matrix product on tensor cores, with bias and activation; tensor.cuh says how. The last rung of matmul and of the
// affine map from sm_80 on, for float16 and bfloat16, and for float32 where its factors may be rounded to TF32.
//
//   C = f(A B + bias)      A (batch, rows, depth)  B (batch, depth, columns)  bias (columns)  ->  C (batch, rows, columns)
//   C = (A B) o relu'(behind)                      behind (batch, rows, columns): what a ReLU gave
//
// Lines of A and of B, `pitch` elements apart, run along the depth or across it, so either may lie transposed; either
// may be broadcast along the batch. C is row-major. Products of factors are exact, sums are in float, and C is rounded once.
//
// There is a kernel for each size of tile, and the host picks one by shape: the widest, which is for matrices of whole
// chunks alone, reads shared memory the least. Its memory and that of the large one are dynamic. Where the tiles of C are too few for a GPU,
// the depth is cut too, into parts of `part_depth`, one for each block along y; split_k.cu adds them up.
// `vectors` says what can be moved at once: 1 for a chunk of A, 2 for one of B, 4 for two elements of C.
//
// compiled for scalar_t = float16, bfloat16, float32
#include "layout.cuh"
#include "tensor.cuh"

template <class T> constexpr int WORDS = T::SIZE * sizeof(scalar_t) / 4;  // of shared memory

template <class T>
__device__ __forceinline__ void matmul(
    const scalar_t* a, const scalar_t* b, const scalar_t* bias, const scalar_t* behind, scalar_t* c, float* parts, index_t batch, int rows,
    int columns, int depth, const Layout& a_batch, const Layout& b_batch, int a_pitch, int b_pitch, bool a_along_depth,
    bool b_along_depth, int kind, float parameter, int part_depth, int vectors, unsigned* memory) {
    const int tiles = tiles_of<T>(rows, columns), tile = blockIdx.x % tiles;
    const index_t i = blockIdx.x / tiles, size = (index_t)rows * columns;
    const Operand left = {a + offset_of(a_batch, i), rows, a_pitch, (vectors & 1) != 0};
    const Operand right = {b + offset_of(b_batch, i), columns, b_pitch, (vectors & 2) != 0};
    float* part = parts == nullptr ? nullptr : parts + (blockIdx.y * batch + i) * size;
    const Result to = {c + i * size, part, rows, columns, (vectors & 4) != 0, bias, kind, parameter, behind == nullptr ? nullptr : behind + i * size};
    const Work<T> work(columns, tile, depth, part_depth);
    float sums[T::DOWN][T::ACROSS][4] = {};
    if (a_along_depth) {
        if (b_along_depth) multiply_tile<T, true, true>(left, right, work, (scalar_t*)memory, sums);
        else multiply_tile<T, true, false>(left, right, work, (scalar_t*)memory, sums);
    } else {
        if (b_along_depth) multiply_tile<T, false, true>(left, right, work, (scalar_t*)memory, sums);
        else multiply_tile<T, false, false>(left, right, work, (scalar_t*)memory, sums);
    }
    write_sums<T>(sums, to, work.first_row + work.row, work.first_column + work.column, (float*)memory);
}

extern "C" __global__ void __launch_bounds__(256, 1) matmul_tensor_wide(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    const scalar_t* __restrict__ behind,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, int vectors) {
    extern __shared__ __align__(16) unsigned memory[];  // WORDS<Wide>
    matmul<Wide>(
        a, b, bias, behind, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, kind, parameter, part_depth, vectors, memory);
}

extern "C" __global__ void __launch_bounds__(128, 2) matmul_tensor_large(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    const scalar_t* __restrict__ behind,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, int vectors) {
    extern __shared__ __align__(16) unsigned memory[];  // WORDS<Quarters>
    matmul<Quarters>(
        a, b, bias, behind, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, kind, parameter, part_depth, vectors, memory);
}

extern "C" __global__ void __launch_bounds__(128, 4) matmul_tensor_small(
    const scalar_t* __restrict__ a,
    const scalar_t* __restrict__ b,
    const scalar_t* __restrict__ bias,  // null: none
    const scalar_t* __restrict__ behind,  // null: none
    scalar_t* __restrict__ c,      // null: the parts alone
    float* __restrict__ parts,  // null: no parts
    long long batch, int rows, int columns, int depth,
    Layout a_batch, Layout b_batch, int a_pitch, int b_pitch, bool a_along_depth, bool b_along_depth,
    int kind, float parameter, int part_depth, int vectors) {
    __shared__ __align__(16) unsigned memory[WORDS<Small>];
    matmul<Small>(
        a, b, bias, behind, c, parts, batch, rows, columns, depth, a_batch, b_batch, a_pitch, b_pitch, a_along_depth,
        b_along_depth, kind, parameter, part_depth, vectors, memory);
}
