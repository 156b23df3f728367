// The gradients of the affine map with its activation, of linear_forward.cu: tiles in registers, four elements at a
// time; gemm.cuh says how. The last rung; the formulas, naive, are in linear.cu.
//
//   dZ = dY o f'(Z);  dX = dZ W;  dW = dZ^T X;  db = sum of dZ over the rows
//
// dZ is made of dY on its way to the product, and db is added up from the same elements as dW. That spares a pass over
// memory or two, and a launch or two; it costs that f' is computed again by every block that needs an element.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, the
// sums are cut too, into parts of `part_depth`, one for each block along y; split_k.cu adds them up.
// `vectors` says whose lines can be moved four elements at a time: 1 for the first matrix, 2 for the second, 4 for the
// result.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"

// Both gradients are products of dZ with a row-major matrix: dX = dZ W, and, `transposed`, dW = dZ^T X. There db is the
// sum of dZ over the depth, the rows; in a part it lies behind dW.
template <class T>
__device__ __forceinline__ void backward(
    const scalar_t* dy, const scalar_t* y, const scalar_t* factor, scalar_t* result, scalar_t* db, acc_t* parts,
    int rows, int columns, int depth, bool transposed, int kind, acc_t parameter, int part_depth, int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const index_t size = (index_t)rows * columns;
    acc_t* part = parts == nullptr ? nullptr : parts + blockIdx.y * (size + (db != nullptr ? rows : 0));
    acc_t* part_of_db = part == nullptr || db == nullptr ? nullptr : part + size;
    const Operand dz = {dy, rows, transposed ? rows : depth, !transposed, (vectors & 1) != 0};
    const Operand other = {factor, columns, columns, false, (vectors & 2) != 0};
    Result to = {result, part, rows, columns, false, (vectors & 4) != 0};
    to.sums = db;
    to.part_of_sums = part_of_db;
    const Slopes slopes = {y, {kind, parameter}, y - dy};
    product<T, true>(dz, other, slopes, to, blockIdx.x, depth, part_depth, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_backward_large(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Large>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(256, 2) linear_backward_medium(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Medium>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_backward_small(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Small>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}
