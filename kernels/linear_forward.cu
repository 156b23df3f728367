// Affine map of the last axis with its activation: tiles in registers, four elements at a time; gemm.cuh says how. The
// last rung; the formula, naive, is in linear.cu.
//
//   Y = f(Z), Z = X W^T + b      X (rows, inputs)  W (outputs, inputs)  b (outputs)  Y (rows, outputs)
//
// Bias and activation are applied to the sums before they are written: Z is never in memory. That spares a pass over
// memory or two, and a launch or two. So does what is `added` to Y, a matrix of its shape.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, the
// sums are cut too, into parts of `part_depth`, one for each block along y. The last block of a tile adds them up, or,
// without `arrived`, split_k.cu does.
// `vectors` says whose lines can be moved four elements at a time: 1 for the first matrix, 2 for the second, 4 for the
// result.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"

// For few outputs Y^T = f(W X^T + b) is computed: tiles are wider than high.
template <class T>
__device__ __forceinline__ void forward(
    const scalar_t* x, const scalar_t* w, const scalar_t* bias, const scalar_t* added, scalar_t* y, acc_t* parts,
    unsigned* arrived, int rows, int inputs, int outputs, int kind, acc_t parameter, bool transposed, int part_depth,
    int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const bool for_another = parts != nullptr && arrived == nullptr;
    acc_t* part = for_another ? parts + (index_t)blockIdx.y * rows * outputs : nullptr;
    const Operand first = {transposed ? w : x, transposed ? outputs : rows, inputs, true, (vectors & 1) != 0};
    const Operand second = {transposed ? x : w, transposed ? rows : outputs, inputs, true, (vectors & 2) != 0};
    Result to = {y, part, rows, outputs, transposed, (vectors & 4) != 0, bias, kind, parameter, added};
    to.slabs = parts;
    to.arrived = arrived;
    to.parts = gridDim.y;
    product<T>(first, second, to, blockIdx.x, blockIdx.y, inputs, part_depth, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_forward_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,   // null: none
    const scalar_t* __restrict__ added,  // null: nothing
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Large>(x, w, bias, added, y, parts, arrived, rows, inputs, outputs, kind, parameter, transposed, part_depth,
                   vectors);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) linear_forward_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,   // null: none
    const scalar_t* __restrict__ added,  // null: nothing
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Medium>(x, w, bias, added, y, parts, arrived, rows, inputs, outputs, kind, parameter, transposed, part_depth,
                    vectors);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_forward_small(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,   // null: none
    const scalar_t* __restrict__ added,  // null: nothing
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,       // null: no parts
    unsigned* __restrict__ arrived,  // null: another launch adds them up
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Small>(x, w, bias, added, y, parts, arrived, rows, inputs, outputs, kind, parameter, transposed, part_depth,
                   vectors);
}
